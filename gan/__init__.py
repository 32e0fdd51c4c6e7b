"""The engine: takes adversarial steps, keeps runs, reads and writes audio."""

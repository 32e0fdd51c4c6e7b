"""The doctor: reads a run's lines as the journal gets them, and says what goes wrong in an adversarial training.

lines.py keeps the figures; game.py looks at the critics, learning.py at the losses; verdicts.py says what was seen.
"""

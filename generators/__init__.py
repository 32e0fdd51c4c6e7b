"""Networks that turn a source into an estimate of the target."""

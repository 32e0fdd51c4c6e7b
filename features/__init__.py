"""Frozen ears: waveform to feature maps."""

"""Pairs on disk as training examples."""

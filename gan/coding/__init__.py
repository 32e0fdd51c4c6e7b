"""Encoded audio: the file format, its entropy coder, and the ways from audio files to it and back."""

"""The unshift command."""

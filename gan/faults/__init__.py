"""What a long run meets: signals, kills, damaged checkpoints, numbers that go bad, processes that hang."""

"""What takes too long for a lesson, measured once, and how checkpoints are made."""

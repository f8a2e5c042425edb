"""Judging a trained model: bits, how far back it listens, clips that went wrong, and a page that shows it."""

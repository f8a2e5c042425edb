"""A new speaker for a trained model: its row, the audio it is trained on, what is kept of it and what is said of it."""

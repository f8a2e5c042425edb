"""The inputs that a model can be conditioned on: one file for each kind. Nothing here waits for torch."""

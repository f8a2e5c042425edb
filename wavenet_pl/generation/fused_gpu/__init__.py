"""The fast engine on GPUs."""

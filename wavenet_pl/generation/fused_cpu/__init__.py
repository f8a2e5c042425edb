"""The fast engine on CPUs."""

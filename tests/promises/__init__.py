"""What docs/reliability.md promises: one file for each of its tables."""

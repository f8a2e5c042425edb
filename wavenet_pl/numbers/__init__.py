"""Random numbers by counter, and intervals of means."""

"""Random numbers by counter, intervals of means, and which numbers make sense."""

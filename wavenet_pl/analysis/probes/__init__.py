"""One file for each probe: what it measures, what that says of the claims, and its figures."""

"""Runs on disk: the folder, its checkpoints, weights in files, deltas, starts of jobs."""

"""Jobs on a SLURM cluster: what is asked for, the script, the checks before, and what follows it."""

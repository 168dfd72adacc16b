"""What Dagster watches: decisions that wait for a run, deadlines, runs that ended badly."""

"""What Dagit shows as assets."""

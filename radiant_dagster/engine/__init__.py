"""Our extension of Dagster: threaded executor, id-only IO manager, pooled instance, launcher."""

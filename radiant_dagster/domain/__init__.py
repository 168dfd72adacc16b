"""Pure decisions: no I/O, clock, randomness, Dagster or drivers."""

"""RADIANT Think Tank: human-supervised swarm reasoning on Dagster."""

"""Sensors: what Dagster watches."""

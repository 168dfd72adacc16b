"""Thin Dagster resources over the adapters."""

"""Thin ops: read ids, call an adapter, call the domain, write, report metadata."""

"""The Grimoire in Postgres: search, keep, credit, curate, maintain."""

"""Everything that speaks SQL or HTTP, one module a service or table family; no Dagster."""

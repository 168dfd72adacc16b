-- The floors of the embedding models are measured by the maintenance role, from what sessions were
-- worth: numbers of all tenants, no text. The vector indexes are made by `radiant db migrate` itself,
-- since CONCURRENTLY cannot stand in a migration's transaction.
grant select (similarity) on radiant.heuristic_usage to radiant_maintenance;
grant update (threshold, source, calibrated_at, calibration) on radiant.embedding_model
    to radiant_maintenance;

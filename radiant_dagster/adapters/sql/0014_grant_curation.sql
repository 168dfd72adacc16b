-- Curators work through Mission Control as well as on the command line: radiant_api may do what the
-- acts of a curator change and no more. It neither deletes a heuristic nor rewrites a version.

grant insert on radiant.heuristic_version to radiant_api;
grant insert, update (trigger_pattern, action_template, embedding, embedding_model, content_sha256,
    state, version, pinned, merged_into, approved_by, approved_at, approved_sha256)
    on radiant.knowledge_heuristics to radiant_api;
grant update (state, decided_by, decided_at) on radiant.heuristic_link to radiant_api;

-- What came of a session is looked up by a purge and on a heuristic's page.
create index heuristic_by_source on radiant.knowledge_heuristics (tenant_id, source_execution_id);

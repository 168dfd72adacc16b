-- What learning needs on top of 0010: a merged row remembers what it was, so that a merge can be
-- undone exactly; today's new candidates are counted for the daily caps; and feedback, which Mission
-- Control's role records, is evidence that may make a candidate active.

alter table radiant.knowledge_heuristics add column merged_from text
    check (merged_from in ('quarantined', 'active'));  -- its state before; null where not merged
create index heuristic_by_day on radiant.knowledge_heuristics (tenant_id, created_at)
    where created_by = 'librarian';

grant update (state, approved_by, approved_at, approved_sha256, merged_into, merged_from)
    on radiant.knowledge_heuristics to radiant_api;
grant update (state, decided_by, decided_at) on radiant.heuristic_link to radiant_api;

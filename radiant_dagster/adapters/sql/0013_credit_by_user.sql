-- What credit and the daily maintenance need: when a use was credited, so that one user can move a
-- heuristic only so far in a day; and for maintenance the numbers, never the texts, that say what
-- lapsed, what was merged and how much of the Grimoire is used.

-- The owner is subject to row-level security; forced again below.
alter table radiant.heuristic_usage no force row level security;
alter table radiant.knowledge_heuristics no force row level security;

alter table radiant.heuristic_usage add column credited_at timestamptz;  -- when the reward was set
update radiant.heuristic_usage set credited_at = at where reward is not null;
create index usage_by_credit on radiant.heuristic_usage (tenant_id, heuristic_id, credited_at)
    where weight > 0;

-- A posterior is what its recorded uses add up to. Uses that were credited in two parts, because an
-- agent answered after the credit, counted with more than their share before.
update radiant.knowledge_heuristics h
    set alpha = 1 + coalesce(u.good, 0), beta = 1 + coalesce(u.bad, 0)
    from radiant.knowledge_heuristics k
    left join (select tenant_id, heuristic_id, sum(weight::float8 * reward) as good,
                      sum(weight::float8 * (1 - reward)) as bad
               from radiant.heuristic_usage where reward is not null group by 1, 2) u
        on u.tenant_id = k.tenant_id and u.heuristic_id = k.id
    where k.tenant_id = h.tenant_id and k.id = h.id;

alter table radiant.heuristic_usage force row level security;
alter table radiant.knowledge_heuristics force row level security;
create index heuristic_by_survivor on radiant.knowledge_heuristics (tenant_id, merged_into)
    where merged_into is not null;

grant update (credited_at) on radiant.heuristic_usage to radiant_api;

-- radiant_maintenance: ids, numbers and times of all tenants.
grant select (last_credited_at, pinned, merged_into) on radiant.knowledge_heuristics
    to radiant_maintenance;
grant select (session_id, weight, credited_at) on radiant.heuristic_usage to radiant_maintenance;
grant select (tenant_id, a, b, kind, state, created_at) on radiant.heuristic_link
    to radiant_maintenance;
grant select (tenant_id, session_id, decision, reason, at) on radiant.librarian_decision
    to radiant_maintenance;
grant select (tenant_id, id, answered_at) on radiant.session to radiant_maintenance;
grant select (tenant_id, action, at) on radiant.audit to radiant_maintenance;
create policy maintenance_link on radiant.heuristic_link for select to radiant_maintenance
    using (true);
create policy maintenance_librarian on radiant.librarian_decision for select
    to radiant_maintenance using (true);
create policy maintenance_session on radiant.session for select to radiant_maintenance
    using (answered_at is not null);
create policy maintenance_growth on radiant.audit for select to radiant_maintenance
    using (action like 'heuristic.%');

-- It may end what time or outcomes have ended, nothing that a person pinned. An upper 90 % bound
-- below 0.3 implies a mean below 0.3, so the policy stays with the mean.
drop policy maintenance_state on radiant.knowledge_heuristics;
create policy maintenance_state on radiant.knowledge_heuristics for update to radiant_maintenance
    using (state in ('quarantined', 'active') and not pinned
           and (expires_at <= clock_timestamp() or confidence < 0.3))
    with check (state in ('expired', 'retired'));
-- What was merged counts for its survivor, so it stays for as long as that is there.
drop policy maintenance_delete on radiant.knowledge_heuristics;
create policy maintenance_delete on radiant.knowledge_heuristics for delete to radiant_maintenance
    using (state in ('expired', 'retired', 'revoked', 'merged')
           and updated_at < clock_timestamp() - interval '30 days'
           and (state <> 'merged' or not exists (
               select 1 from radiant.knowledge_heuristics s
               where s.tenant_id = knowledge_heuristics.tenant_id
                 and s.id = knowledge_heuristics.merged_into)));

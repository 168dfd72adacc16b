-- The Governor's ladder and the spend report. Why floors by domain: with a short budget a general
-- question is better answered by less than not at all, a medical one is not. Why a session keeps
-- what it gave up: a reader must see that an answer is not the one that was asked for.

alter table radiant.domain_policy
    add column lowest_max_tokens integer not null default 256 check (lowest_max_tokens >= 1),
    add column lowest_agents integer not null default 2 check (lowest_agents between 1 and 64),
    add column cheaper_models boolean not null default true;
-- Domains that are there already get the floors that new ones get. FORCE hides their rows from the
-- owner as well, so it is lifted inside of this transaction.
alter table radiant.domain_policy no force row level security;
update radiant.domain_policy set lowest_max_tokens = 1024, lowest_agents = 3, cheaper_models = false
where name in ('medical', 'legal', 'financial');
alter table radiant.domain_policy force row level security;

alter table radiant.session
    add column panel text,                            -- null: the caller spelled the agents out
    add column downgrades jsonb not null default '[]';  -- what, agent_id, from, to, why
alter table radiant.agent_run
    add column downgraded_from jsonb;                 -- model and max_tokens asked, null as asked

-- What stands for a tenant where its name must not: a hash with a key that only the database has.
create table radiant.pseudonym_key (
    only_row boolean primary key default true check (only_row),
    key bytea not null
);
insert into radiant.pseudonym_key (key)
values (uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()));

-- radiant_maintenance: what was held and spent, and which sessions were refused, over all tenants.
grant select on radiant.pseudonym_key to radiant_maintenance;
grant select (tenant_id, session_id, agent_id, role) on radiant.agent_run to radiant_maintenance;
grant select (tenant_id, session_id, agent_id, user_id, held_on, model, purpose, estimate_micro_usd,
    actual_micro_usd, state, created_at, closed_at, booked_at)
    on radiant.reservation to radiant_maintenance;
grant select (tenant_id, scope, user_id, period_key, reserved_micro_usd, spent_micro_usd)
    on radiant.budget_account to radiant_maintenance;
create policy maintenance_agent on radiant.agent_run for select to radiant_maintenance
    using (true);
create policy maintenance_reservation on radiant.reservation for select to radiant_maintenance
    using (true);
create policy maintenance_account on radiant.budget_account for select to radiant_maintenance
    using (true);

grant select (tenant_id, session_id, at) on radiant.budget_refusal to radiant_maintenance;
create policy maintenance_refusal on radiant.budget_refusal for select to radiant_maintenance
    using (true);
grant execute on function radiant.ledger_accounts to radiant_maintenance;

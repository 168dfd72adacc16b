-- The Economic Governor's ledger: what a tenant may spend a day and a month, and what is held for
-- whom. Why held and not only counted: a check before the call and a charge after it lets every call
-- that is in flight at once pass the same check; money that is held first cannot be spent twice.

create table radiant.budget (                    -- what may be spent; no row means nothing may
    tenant_id uuid not null references radiant.tenant,
    scope text not null check (scope in ('day', 'month')),
    limit_micro_usd bigint not null check (limit_micro_usd >= 0),
    set_by text not null,
    set_at timestamptz not null default clock_timestamp(),
    primary key (tenant_id, scope)
);

create table radiant.budget_account (            -- one a day and one a month, in UTC
    tenant_id uuid not null references radiant.tenant,
    scope text not null check (scope in ('day', 'month')),
    period_key text not null,                    -- 2026-11-22 or 2026-11
    limit_micro_usd bigint not null check (limit_micro_usd >= 0),
    reserved_micro_usd bigint not null default 0 check (reserved_micro_usd >= 0),
    spent_micro_usd bigint not null default 0 check (spent_micro_usd >= 0),
    primary key (tenant_id, scope, period_key)
);

create table radiant.reservation (
    tenant_id uuid not null,
    id uuid not null default gen_random_uuid(),
    session_id uuid not null,
    attempt_key text not null,                   -- asked for twice, held once
    accounts jsonb not null,                     -- scope -> period_key it is held in
    model text not null,                         -- that may be called; several with commas
    purpose text not null,
    estimate_micro_usd bigint not null check (estimate_micro_usd >= 0),
    actual_micro_usd bigint check (actual_micro_usd >= 0),  -- charged; null while held
    state text not null default 'held' check (state in ('held', 'settled', 'released', 'expired')),
    created_at timestamptz not null default clock_timestamp(),
    expires_at timestamptz not null,
    closed_at timestamptz,
    primary key (tenant_id, id),
    unique (tenant_id, attempt_key),
    foreign key (tenant_id, session_id) references radiant.session,
    check ((state = 'held') = (actual_micro_usd is null))
);
create index reservation_by_session on radiant.reservation (tenant_id, session_id);
create index reservation_by_age on radiant.reservation (tenant_id, created_at desc);
create index reservation_overdue on radiant.reservation (expires_at) where state = 'held';

-- Tenants that are there already get the limits that new ones get (DEFAULT_LIMITS_MICRO_USD). FORCE
-- hides their rows from the owner as well, so it is lifted inside of this transaction.
alter table radiant.tenant no force row level security;
insert into radiant.budget (tenant_id, scope, limit_micro_usd, set_by)
select t.id, d.scope, d.limit_micro_usd, 'system:migration'
from radiant.tenant t
cross join (values ('day', 500000000), ('month', 5000000000)) d (scope, limit_micro_usd);
alter table radiant.tenant force row level security;

do $$
declare name text;
begin
    foreach name in array array['budget', 'budget_account', 'reservation'] loop
        execute format('alter table radiant.%I enable row level security', name);
        execute format('alter table radiant.%I force row level security', name);
        execute format(
            'create policy tenant_isolation on radiant.%I to radiant_app, radiant_review'
            ' using (tenant_id = (select radiant.current_tenant()))'
            ' with check (tenant_id = (select radiant.current_tenant()))', name);
    end loop;
end $$;

-- radiant_app: holds, settles, and sets limits. What was held for whom is never rewritten or deleted.
grant select, insert, update (limit_micro_usd, set_by, set_at) on radiant.budget to radiant_app;
grant select, insert, update (limit_micro_usd, reserved_micro_usd, spent_micro_usd)
    on radiant.budget_account to radiant_app;
grant select, insert, update (state, actual_micro_usd, closed_at) on radiant.reservation
    to radiant_app;

-- radiant_dispatch: settles for runs that died and sweeps what nobody settled, over all tenants. It
-- can neither hold money nor change a limit.
grant select (tenant_id, scope, period_key, limit_micro_usd, reserved_micro_usd, spent_micro_usd),
    update (reserved_micro_usd, spent_micro_usd) on radiant.budget_account to radiant_dispatch;
grant select (tenant_id, id, session_id, attempt_key, accounts, estimate_micro_usd, actual_micro_usd,
    state, created_at, expires_at), update (state, actual_micro_usd, closed_at)
    on radiant.reservation to radiant_dispatch;
create policy dispatch_account on radiant.budget_account to radiant_dispatch
    using (true) with check (true);
create policy dispatch_reservation on radiant.reservation to radiant_dispatch
    using (true) with check (true);

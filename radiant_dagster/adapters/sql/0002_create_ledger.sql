-- The Economic Governor's ledger: what may be spent, and what is held for which call. Why held and
-- not only counted: a check before the call and a charge after it lets every call that is in flight
-- at once pass the same check; money that is held first cannot be spent twice.
--
-- Why functions: they run while a tenant's accounts are locked, and every round trip in there is
-- time in which nobody else of that tenant can reserve. They run with the caller's rights. Locks are
-- taken in one order everywhere: session, agents, accounts (scope, user, period), reservations.

create table radiant.budget (                    -- what may be spent; no row means nothing may
    tenant_id uuid not null references radiant.tenant,
    scope text not null check (scope in ('day', 'month', 'session', 'user_day', 'user_month')),
    user_id text not null default '',            -- one user's own limit; '' holds for every user
    limit_micro_usd bigint not null check (limit_micro_usd >= 0),
    set_by text not null,
    set_at timestamptz not null default clock_timestamp(),
    primary key (tenant_id, scope, user_id),
    check (user_id = '' or scope in ('user_day', 'user_month'))
);

create table radiant.budget_account (            -- periods are days and months in UTC, or a session
    tenant_id uuid not null references radiant.tenant,
    scope text not null check (scope in ('day', 'month', 'session', 'user_day', 'user_month')),
    user_id text not null default '',
    period_key text not null,                    -- 2026-11-22, 2026-11 or a session's id
    reserved_micro_usd bigint not null default 0 check (reserved_micro_usd >= 0),
    spent_micro_usd bigint not null default 0 check (spent_micro_usd >= 0),
    primary key (tenant_id, scope, user_id, period_key)
) with (fillfactor = 50);                        -- rewritten at each reservation; room to do so in place

create table radiant.reservation (               -- one a paid attempt of a call
    tenant_id uuid not null,
    session_id uuid not null,
    call text not null,                          -- agent:<id>, synthesis, librarian, embedding:<what>
    attempt integer not null,
    attempt_key text not null generated always as
        (session_id::text || ':' || call || ':' || attempt::text) stored,
    purpose text not null check (purpose in ('agent', 'synthesis', 'librarian', 'embedding')),
    agent_id text,
    user_id text not null,
    held_on date not null,                       -- with user_id and session_id: in which accounts
    model text not null,
    estimate_micro_usd bigint not null check (estimate_micro_usd >= 0),
    actual_micro_usd bigint check (actual_micro_usd >= 0),  -- charged; null while held
    actual_is_estimated boolean not null default false,     -- it may have been billed; no bill came
    state text not null default 'held' check (state in ('held', 'settled', 'released', 'expired')),
    begun_at timestamptz,                        -- the call may be under way; null: surely unbilled
    begun_by uuid,                               -- which begin took it; asked twice, taken once
    created_at timestamptz not null default clock_timestamp(),
    expires_at timestamptz not null,
    closed_at timestamptz,
    booked_at timestamptz,                       -- the accounts were moved from reserved to spent
    primary key (tenant_id, session_id, call, attempt),
    foreign key (tenant_id, session_id) references radiant.session,
    check ((state = 'held') = (actual_micro_usd is null)),
    check (booked_at is null or state <> 'held')
);
create index reservation_by_age on radiant.reservation (tenant_id, created_at desc);
create index reservation_unbooked on radiant.reservation (expires_at) where booked_at is null;

create table radiant.budget_refusal (            -- what did not fit
    tenant_id uuid not null references radiant.tenant,
    id uuid not null default gen_random_uuid(),
    session_id uuid not null,
    scope text not null,
    user_id text not null default '',
    needed_micro_usd bigint not null,
    at timestamptz not null default clock_timestamp(),
    primary key (tenant_id, id)
);
create index refusal_by_age on radiant.budget_refusal (tenant_id, at desc);

-- Tenants that are there already get the limits that new ones get (DEFAULT_LIMITS_MICRO_USD), and
-- their unfinished sessions a plan in which each call costs as much as the whole session, which is
-- an upper bound. FORCE hides rows from the owner as well, so it is lifted in this transaction.
alter table radiant.tenant no force row level security;
insert into radiant.budget (tenant_id, scope, limit_micro_usd, set_by)
select t.id, d.scope, d.limit_micro_usd, 'system:migration'
from radiant.tenant t
cross join (values ('day', 500000000), ('month', 5000000000), ('session', 25000000),
    ('user_day', 100000000), ('user_month', 1000000000)) d (scope, limit_micro_usd);
alter table radiant.tenant force row level security;

alter table radiant.session no force row level security;
alter table radiant.agent_run no force row level security;
alter table radiant.session add cost_plan jsonb not null default '[]';  -- calls and their estimates
update radiant.session s set cost_plan = (
    select jsonb_agg(c) from (
        select 'agent:' || a.agent_id as call, 'agent' as purpose, a.agent_id, a.model,
               s.estimated_micro_usd as estimate, 1 as times
        from radiant.agent_run a where a.tenant_id = s.tenant_id and a.session_id = s.id
        union all
        select p, p, null, '', s.estimated_micro_usd, 1
        from unnest(array['synthesis', 'librarian']) p) c)
where s.status not in ('completed', 'rejected', 'expired', 'cancelled');
alter table radiant.agent_run force row level security;
alter table radiant.session force row level security;

do $$
declare name text;
begin
    foreach name in array array['budget', 'budget_account', 'reservation', 'budget_refusal'] loop
        execute format('alter table radiant.%I enable row level security', name);
        execute format('alter table radiant.%I force row level security', name);
        execute format(
            'create policy tenant_isolation on radiant.%I to radiant_app, radiant_review'
            ' using (tenant_id = (select radiant.current_tenant()))'
            ' with check (tenant_id = (select radiant.current_tenant()))', name);
    end loop;
end $$;

-- The accounts that a call of a user's session on a day is held in.
create function radiant.ledger_accounts(p_session uuid, p_user text, p_day date)
returns table (scope text, user_id text, period_key text) language sql stable as $$
    values ('day', '', to_char(p_day, 'YYYY-MM-DD')),
           ('month', '', to_char(p_day, 'YYYY-MM')),
           ('session', '', p_session::text),
           ('user_day', p_user, to_char(p_day, 'YYYY-MM-DD')),
           ('user_month', p_user, to_char(p_day, 'YYYY-MM'))
$$;

-- Hold what calls may cost, all of them or none: [{call, purpose, agent_id, model, estimate, times}].
-- With p_begun_by, one call that begins at once. Calls that hold something already are left out.
-- Returns {held} in micro-USD, or {refused: scope, user_id, limit, reserved, spent, needed, at}.
create function radiant.ledger_reserve(
    p_tenant uuid, p_session uuid, p_user text, p_lifetime double precision, p_calls jsonb,
    p_begun_by uuid)
returns jsonb language plpgsql as $$
declare
    v_now timestamptz := clock_timestamp();
    v_day date := (v_now at time zone 'UTC')::date;
    v_accounts jsonb;
    v_refused jsonb;
    v_calls jsonb;
    v_needed bigint;
begin
    insert into radiant.budget_account (tenant_id, scope, user_id, period_key)
    select p_tenant, k.scope, k.user_id, k.period_key
    from radiant.ledger_accounts(p_session, p_user, v_day) k
    where not exists (select from radiant.budget_account a where a.tenant_id = p_tenant
        and a.scope = k.scope and a.user_id = k.user_id and a.period_key = k.period_key)
    order by 2, 3, 4 on conflict do nothing;

    select jsonb_agg(to_jsonb(l)) into v_accounts from (
        select a.scope, a.user_id, a.reserved_micro_usd as reserved, a.spent_micro_usd as spent
        from radiant.budget_account a
        join radiant.ledger_accounts(p_session, p_user, v_day) k using (scope, user_id, period_key)
        where a.tenant_id = p_tenant
        order by a.scope, a.user_id, a.period_key for no key update of a) l;

    if p_begun_by is not null and exists (
        select from radiant.reservation r where r.tenant_id = p_tenant
            and r.session_id = p_session and r.begun_by = p_begun_by) then
        return jsonb_build_object('held', 0);
    end if;
    select jsonb_agg(c), sum((c->>'estimate')::bigint * (c->>'times')::integer)
    into v_calls, v_needed from jsonb_array_elements(p_calls) c
    where p_begun_by is not null or not exists (
        select from radiant.reservation r where r.tenant_id = p_tenant and r.session_id = p_session
            and r.call = c->>'call' and r.state = 'held');
    if v_calls is null then
        return jsonb_build_object('held', 0);
    end if;

    select e || jsonb_build_object('limit', b.limit_micro_usd, 'needed', v_needed, 'at', v_now)
    into v_refused
    from jsonb_array_elements(v_accounts) with ordinality x (e, position)
    left join lateral (
        select limit_micro_usd from radiant.budget b
        where b.tenant_id = p_tenant and b.scope = e->>'scope' and b.user_id in ('', e->>'user_id')
        order by b.user_id desc limit 1) b on true
    where b.limit_micro_usd is null
        or b.limit_micro_usd - (e->>'spent')::bigint - (e->>'reserved')::bigint < v_needed
    order by position limit 1;
    if v_refused is not null then
        return jsonb_build_object('refused', v_refused);
    end if;

    insert into radiant.reservation (tenant_id, session_id, call, attempt, purpose, agent_id,
        user_id, held_on, model, estimate_micro_usd, begun_at, begun_by, expires_at)
    select p_tenant, p_session, c->>'call',
        row_number() over (partition by c->>'call' order by position, n) + coalesce((
            select max(attempt) from radiant.reservation r where r.tenant_id = p_tenant
                and r.session_id = p_session and r.call = c->>'call'), 0),
        c->>'purpose', c->>'agent_id', p_user, v_day, c->>'model', (c->>'estimate')::bigint,
        case when p_begun_by is not null then v_now end, p_begun_by,
        v_now + make_interval(secs => p_lifetime)
    from jsonb_array_elements(v_calls) with ordinality x (c, position),
        generate_series(1, (c->>'times')::integer) n;
    update radiant.budget_account a set reserved_micro_usd = reserved_micro_usd + v_needed
    from radiant.ledger_accounts(p_session, p_user, v_day) k
    where a.tenant_id = p_tenant and a.scope = k.scope and a.user_id = k.user_id
        and a.period_key = k.period_key;
    return jsonb_build_object('held', v_needed);
end $$;

-- Charge an attempt. p_actual null: no bill came, so the estimate is charged. p_unbilled: it surely
-- cost nothing, so it is held for the next try, or released where it was closed meanwhile. Returns
-- what is charged now. Only where it was booked before are the accounts corrected, and locked.
create function radiant.ledger_settle(
    p_tenant uuid, p_session uuid, p_call text, p_attempt integer, p_actual bigint,
    p_estimated boolean, p_unbilled boolean)
returns bigint language plpgsql as $$
declare
    r radiant.reservation;
    v_actual bigint;
    v_change bigint;
begin
    perform from radiant.session where tenant_id = p_tenant and id = p_session for no key update;
    perform from radiant.agent_run a where a.tenant_id = p_tenant and a.session_id = p_session
        and 'agent:' || a.agent_id = p_call for no key update;
    select * into r from radiant.reservation where tenant_id = p_tenant
        and session_id = p_session and call = p_call and attempt = p_attempt for update;
    if not found then
        return null;
    end if;
    if p_unbilled and r.state = 'held' then
        update radiant.reservation set begun_at = null, begun_by = null where tenant_id = p_tenant
            and session_id = p_session and call = p_call and attempt = p_attempt;
        return 0;
    end if;
    v_actual := case when p_unbilled then 0 else coalesce(p_actual, r.estimate_micro_usd) end;
    v_change := v_actual - coalesce(r.actual_micro_usd, 0);
    update radiant.reservation set actual_micro_usd = v_actual,
        state = case when p_unbilled then 'released' else 'settled' end,
        actual_is_estimated = not p_unbilled and (p_estimated or p_actual is null),
        closed_at = clock_timestamp()
    where tenant_id = p_tenant and session_id = p_session and call = p_call and attempt = p_attempt;
    if v_change <> 0 then
        update radiant.session set cost_micro_usd = cost_micro_usd + v_change
        where tenant_id = p_tenant and id = p_session;
        update radiant.agent_run set cost_micro_usd = cost_micro_usd + v_change
        where tenant_id = p_tenant and session_id = p_session and agent_id = r.agent_id;
        if r.booked_at is not null then
            perform from radiant.budget_account a
            join radiant.ledger_accounts(p_session, r.user_id, r.held_on) k
                using (scope, user_id, period_key)
            where a.tenant_id = p_tenant
            order by a.scope, a.user_id, a.period_key for no key update of a;
            update radiant.budget_account a set spent_micro_usd = spent_micro_usd + v_change
            from radiant.ledger_accounts(p_session, r.user_id, r.held_on) k
            where a.tenant_id = p_tenant and a.scope = k.scope and a.user_id = k.user_id
                and a.period_key = k.period_key;
        end if;
    end if;
    return v_actual;
end $$;

-- Close what a session still holds: calls that never began are released, calls that began and sent
-- no bill are charged their estimate. Accounts are left to ledger_book; what is closed is due for it
-- at once, whoever gets there first. Returns how many were charged without a bill.
create function radiant.ledger_close(p_tenant uuid, p_session uuid, p_overdue_only boolean)
returns integer language plpgsql as $$
declare
    v_charged jsonb;
begin
    perform from radiant.session where tenant_id = p_tenant and id = p_session for no key update;
    perform from radiant.agent_run where tenant_id = p_tenant and session_id = p_session
        order by agent_id for no key update;
    with closed as (
        update radiant.reservation set closed_at = clock_timestamp(), expires_at = clock_timestamp(),
            state = case when begun_at is null then 'released' else 'expired' end,
            actual_micro_usd = case when begun_at is null then 0 else estimate_micro_usd end,
            actual_is_estimated = begun_at is not null
        where tenant_id = p_tenant and session_id = p_session and state = 'held'
            and (not p_overdue_only or expires_at <= clock_timestamp())
        returning agent_id, actual_micro_usd, state)
    select jsonb_agg(to_jsonb(c)) into v_charged from closed c where c.state = 'expired';
    -- What was settled before is due as well.
    update radiant.reservation set expires_at = clock_timestamp()
    where tenant_id = p_tenant and session_id = p_session and booked_at is null and state <> 'held'
        and expires_at > clock_timestamp() and not p_overdue_only;
    if v_charged is null then
        return 0;
    end if;
    update radiant.session set cost_micro_usd = cost_micro_usd + (
        select sum((c->>'actual_micro_usd')::bigint) from jsonb_array_elements(v_charged) c)
    where tenant_id = p_tenant and id = p_session;
    update radiant.agent_run a set cost_micro_usd = cost_micro_usd + c.actual from (
        select c->>'agent_id' as agent_id, sum((c->>'actual_micro_usd')::bigint) as actual
        from jsonb_array_elements(v_charged) c group by 1) c
    where a.tenant_id = p_tenant and a.session_id = p_session and a.agent_id = c.agent_id;
    return jsonb_array_length(v_charged);
end $$;

-- Move what is closed from reserved to spent. Returns how many reservations were booked.
create function radiant.ledger_book(p_tenant uuid, p_session uuid)
returns integer language plpgsql as $$
declare
    v_count integer := 0;
begin
    perform from radiant.budget_account a
    where a.tenant_id = p_tenant and (a.scope, a.user_id, a.period_key) in (
        select k.scope, k.user_id, k.period_key from (
            select distinct r.user_id, r.held_on from radiant.reservation r
            where r.tenant_id = p_tenant and r.session_id = p_session and r.booked_at is null) g,
            radiant.ledger_accounts(p_session, g.user_id, g.held_on) k)
    order by a.scope, a.user_id, a.period_key for no key update;
    with booked as (
        update radiant.reservation r set booked_at = clock_timestamp()
        where r.tenant_id = p_tenant and r.session_id = p_session and r.booked_at is null
            and r.state <> 'held'
        returning r.user_id, r.held_on, r.estimate_micro_usd, r.actual_micro_usd),
    moved as (
        select k.scope, k.user_id, k.period_key, sum(b.estimate_micro_usd) as held,
            sum(b.actual_micro_usd) as spent
        from booked b, radiant.ledger_accounts(p_session, b.user_id, b.held_on) k group by 1, 2, 3),
    changed as (
        update radiant.budget_account a set reserved_micro_usd = reserved_micro_usd - m.held,
            spent_micro_usd = spent_micro_usd + m.spent
        from moved m where a.tenant_id = p_tenant and a.scope = m.scope and a.user_id = m.user_id
            and a.period_key = m.period_key)
    select count(*) into v_count from booked;
    return v_count;
end $$;

-- radiant_app: holds, settles, and sets limits. What was held for whom is never rewritten or deleted.
grant select, insert, update (limit_micro_usd, set_by, set_at) on radiant.budget
    to radiant_app;
grant select, insert, update (reserved_micro_usd, spent_micro_usd) on radiant.budget_account
    to radiant_app;
grant select, insert, update (state, model, actual_micro_usd, actual_is_estimated, begun_at,
    begun_by, expires_at, closed_at, booked_at) on radiant.reservation to radiant_app;
grant select, insert on radiant.budget_refusal to radiant_app;

-- radiant_dispatch: closes for runs that died and sweeps what nobody settled, over all tenants. It
-- can neither hold money nor change a limit.
grant select (tenant_id, scope, user_id, period_key, reserved_micro_usd, spent_micro_usd),
    update (reserved_micro_usd, spent_micro_usd) on radiant.budget_account to radiant_dispatch;
grant select (tenant_id, session_id, call, attempt, agent_id, user_id, held_on, estimate_micro_usd,
    actual_micro_usd, state, begun_at, expires_at, booked_at),
    update (state, actual_micro_usd, actual_is_estimated, expires_at, closed_at, booked_at)
    on radiant.reservation to radiant_dispatch;
grant update (cost_micro_usd) on radiant.session to radiant_dispatch;
grant select (tenant_id, session_id, agent_id, cost_micro_usd), update (cost_micro_usd)
    on radiant.agent_run to radiant_dispatch;
create policy dispatch_account on radiant.budget_account to radiant_dispatch
    using (true) with check (true);
create policy dispatch_reservation on radiant.reservation to radiant_dispatch
    using (true) with check (true);
create policy dispatch_agent on radiant.agent_run to radiant_dispatch using (true) with check (true);

revoke execute on function radiant.ledger_accounts, radiant.ledger_reserve, radiant.ledger_settle,
    radiant.ledger_close, radiant.ledger_book from public;
grant execute on function radiant.ledger_accounts, radiant.ledger_settle, radiant.ledger_close,
    radiant.ledger_book, radiant.ledger_reserve to radiant_app;
grant execute on function radiant.ledger_accounts, radiant.ledger_close, radiant.ledger_book
    to radiant_dispatch;

-- Where events go: webhook endpoints, notification routes and one row for every event and target.
-- Why rows and not calls: a call from inside a decision would make it slow, or lost with the process;
-- a row is written from the event, leased by whoever delivers, and tried until it arrived or until
-- nobody needs it any more.

create table radiant.webhook_endpoint (
    tenant_id uuid not null references radiant.tenant,
    id uuid not null,
    url text not null check (length(url) between 8 and 2000),
    secret bytea not null,                       -- AES-GCM under RADIANT_SECRET_KEY
    old_secret bytea,                            -- the one before, valid until:
    old_secret_until timestamptz,
    types text[] not null default '{}',          -- of events; empty: all
    domains text[] not null default '{}',        -- empty: all
    created_by text not null,
    created_at timestamptz not null default clock_timestamp(),
    disabled_at timestamptz,
    disabled_reason text,
    primary key (tenant_id, id)
);

create table radiant.notification_route (
    tenant_id uuid not null references radiant.tenant,
    id uuid not null,
    name text not null check (name ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    service text not null,                       -- slack, mailtos, ...; the rest of the URL is secret
    url bytea not null,                          -- AES-GCM under RADIANT_SECRET_KEY
    types text[] not null default '{}',
    domains text[] not null default '{}',
    created_by text not null,
    created_at timestamptz not null default clock_timestamp(),
    primary key (tenant_id, id),
    unique (tenant_id, name)
);

create table radiant.delivery (
    tenant_id uuid not null,
    event_id uuid not null,
    target uuid not null,                        -- endpoint, route, or the installation's own endpoint
    kind text not null check (kind in ('webhook', 'notification', 'installation')),
    attempts integer not null default 0,         -- counts the lease as well: a crash is an attempt
    next_at timestamptz not null default clock_timestamp(),
    last_status integer,                         -- HTTP; a reply's body is never kept
    last_error text,                             -- a code
    delivered_at timestamptz,
    gave_up_at timestamptz,
    primary key (tenant_id, event_id, target),
    foreign key (tenant_id, event_id) references radiant.event
);
create index delivery_due on radiant.delivery (next_at)
    where delivered_at is null and gave_up_at is null;

do $$
declare name text;
begin
    foreach name in array array['webhook_endpoint', 'notification_route', 'delivery'] loop
        execute format('alter table radiant.%I enable row level security', name);
        execute format('alter table radiant.%I force row level security', name);
        execute format(
            'create policy tenant_isolation on radiant.%I to radiant_app, radiant_review, radiant_api'
            ' using (tenant_id = (select radiant.current_tenant()))'
            ' with check (tenant_id = (select radiant.current_tenant()))', name);
        execute format(
            'create policy deliver on radiant.%I to radiant_deliver using (true) with check (true)',
            name);
    end loop;
end $$;

-- radiant_app: the tenant's own settings. A removed target is deleted, its secret with it.
grant select, insert, delete on radiant.webhook_endpoint, radiant.notification_route to radiant_app;
grant update (secret, old_secret, old_secret_until) on radiant.webhook_endpoint to radiant_app;
grant select on radiant.delivery to radiant_app;
-- radiant_api: what an administrator sees of them; no secret, not even sealed.
grant select (tenant_id, id, url, types, domains, created_by, created_at, old_secret_until,
    disabled_at, disabled_reason) on radiant.webhook_endpoint to radiant_api;
grant select (tenant_id, id, name, service, types, domains, created_by, created_at)
    on radiant.notification_route to radiant_api;
grant select on radiant.delivery to radiant_api;

-- radiant_deliver: events and their targets over all tenants; no content, and no table with any.
grant usage on schema radiant to radiant_deliver;
grant select (tenant_id, id, type, session_id, approval_id, domain, detail, deadline, at,
    fanned_out_at), update (fanned_out_at) on radiant.event to radiant_deliver;
grant select on radiant.webhook_endpoint, radiant.notification_route to radiant_deliver;
grant update (disabled_at, disabled_reason) on radiant.webhook_endpoint to radiant_deliver;
grant select, insert on radiant.delivery to radiant_deliver;
grant update (attempts, next_at, last_status, last_error, delivered_at, gave_up_at)
    on radiant.delivery to radiant_deliver;
grant insert on radiant.audit to radiant_deliver;
create policy deliver_event on radiant.event for select to radiant_deliver using (true);
create policy deliver_fan_out on radiant.event for update to radiant_deliver
    using (true) with check (true);
create policy deliver_audit on radiant.audit for insert to radiant_deliver with check (true);

-- The fast path: whoever decided may lease that one decision, as the sensor does over all tenants
-- (radiant_dagster/adapters/dispatch.py), without the rights of a dispatcher. The functions act as
-- the owner, whom this policy keeps within the caller's tenant.
create policy lease_of_tenant on radiant.approval_decision to radiant_owner
    using (tenant_id = (select radiant.current_tenant()))
    with check (tenant_id = (select radiant.current_tenant()));

create function radiant.lease_decision(wanted uuid)
returns table (session_id uuid, attempt integer, leased_at timestamptz)
language sql security definer set search_path = '' as $$
    update radiant.approval_decision d set requested_at = pg_catalog.clock_timestamp()
    where d.approval_id = wanted and d.done_at is null and d.claimed_run_id is null
      and d.attempt <= 3
      and (d.requested_at is null
           or d.requested_at < pg_catalog.clock_timestamp() - interval '60 seconds')
    returning d.session_id, d.attempt, d.requested_at
$$;
-- Only the lease that was taken is given back, not a later one of the sensor's.
create function radiant.return_decision(wanted uuid, leased timestamptz) returns void
language sql security definer set search_path = '' as $$
    update radiant.approval_decision d set requested_at = null
    where d.approval_id = wanted and d.requested_at = leased
      and d.done_at is null and d.claimed_run_id is null
$$;
revoke all on function radiant.lease_decision(uuid) from public;
revoke all on function radiant.return_decision(uuid, timestamptz) from public;
grant execute on function radiant.lease_decision(uuid) to radiant_review;
grant execute on function radiant.return_decision(uuid, timestamptz) to radiant_review;

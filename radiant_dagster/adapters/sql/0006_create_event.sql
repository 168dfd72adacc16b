-- What happened to sessions and approvals, for those who must hear of it: webhooks, notifications,
-- live pages. Why a table: an event is written in the transaction of the change it tells of, so that
-- neither exists without the other, whatever crashes; delivery is repeated from here.

create table radiant.event (
    seq bigint generated always as identity,     -- order of writing; commits may overtake each other
    tenant_id uuid not null references radiant.tenant,
    id uuid not null default gen_random_uuid(),  -- stays the same over all deliveries
    type text not null check (type ~ '^(approval|session)\.[a-z_]+$'),
    session_id uuid not null,
    approval_id uuid,
    domain text not null,
    detail jsonb not null default '{}',          -- states, ids and times; no content
    deadline timestamptz,                        -- of the approval: nobody needs to hear of it later
    at timestamptz not null default clock_timestamp(),
    fanned_out_at timestamptz,                   -- when its deliveries were written
    primary key (tenant_id, id)
);
create index event_by_seq on radiant.event (tenant_id, seq);
create index event_to_fan_out on radiant.event (at) where fanned_out_at is null;

alter table radiant.event enable row level security;
alter table radiant.event force row level security;
create policy tenant_isolation on radiant.event to radiant_app, radiant_review
    using (tenant_id = (select radiant.current_tenant()))
    with check (tenant_id = (select radiant.current_tenant()));
create policy dispatch_event on radiant.event for insert to radiant_dispatch with check (true);

grant select, insert on radiant.event to radiant_app, radiant_review;
grant insert on radiant.event to radiant_dispatch;

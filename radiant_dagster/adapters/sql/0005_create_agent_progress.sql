-- What agents write while they write it, for whoever watches a session on a terminal, and the shape
-- an agent's answer has to have. Why a table of its own: this text is unchecked, is worth nothing
-- after a crash and is rewritten twice a second, so it is not logged and never part of a session.

alter table radiant.session
    add column live boolean not null default false;  -- somebody watches: agents' answers stream

-- Text, not jsonb: the order of the properties is the order in which a model writes them.
alter table radiant.agent_run add column output_schema text;

create unlogged table radiant.agent_progress (
    tenant_id uuid not null,
    session_id uuid not null,
    agent_id text not null,
    text text,                                   -- its end; null where a person has to review first
    tokens integer not null check (tokens >= 0), -- so far, estimated
    updated_at timestamptz not null default clock_timestamp(),
    primary key (tenant_id, session_id, agent_id),
    foreign key (tenant_id, session_id, agent_id) references radiant.agent_run
);

alter table radiant.agent_progress enable row level security;
alter table radiant.agent_progress force row level security;
create policy tenant_isolation on radiant.agent_progress to radiant_app, radiant_review
    using (tenant_id = (select radiant.current_tenant()))
    with check (tenant_id = (select radiant.current_tenant()));

-- radiant_app writes, shows and forgets; radiant_review gets nothing of it.
grant select, insert, update (text, tokens, updated_at), delete on radiant.agent_progress
    to radiant_app;
-- radiant_dispatch forgets what a killed worker left, without being able to read it.
grant select (tenant_id, session_id, updated_at), delete on radiant.agent_progress
    to radiant_dispatch;
create policy dispatch_progress on radiant.agent_progress to radiant_dispatch using (true);

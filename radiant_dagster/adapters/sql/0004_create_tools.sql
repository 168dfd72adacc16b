-- Tools of agents: which a tenant may use, and every call with its arguments and output. Why a table
-- of calls: an answer that rests on a tool can only be judged by who sees what the tool said, and what
-- was sent to somebody else's server has to be known afterwards.

create table radiant.tenant_tool (               -- no row means not allowed
    tenant_id uuid not null references radiant.tenant,
    name text not null check (name ~ '^[A-Za-z0-9_-]{1,64}$'),
    allowed boolean not null,
    set_by text not null,
    set_at timestamptz not null default clock_timestamp(),
    primary key (tenant_id, name)
);

create table radiant.tool_call (
    tenant_id uuid not null,
    session_id uuid not null,
    agent_id text not null,
    position integer not null,                   -- of the agent, over all of its attempts
    round integer not null,                      -- the model's turn that asked for it, from 1
    name text not null,
    arguments jsonb not null,
    output text not null default '',
    output_cut boolean not null default false,
    flags text[] not null default '{}',          -- codes of what looks like injected instructions
    status text not null default 'running',      -- what a crash left behind stays running
    latency_ms integer not null default 0,
    at timestamptz not null default clock_timestamp(),
    primary key (tenant_id, session_id, agent_id, position),
    foreign key (tenant_id, session_id, agent_id) references radiant.agent_run
);

alter table radiant.agent_run add column calls integer not null default 0;  -- to the model

-- Tenants that are there already get the tools that new ones get (BUILTIN_TOOLS). FORCE hides their
-- rows from the owner as well, so it is lifted inside of this transaction.
alter table radiant.tenant no force row level security;
insert into radiant.tenant_tool (tenant_id, name, allowed, set_by)
select t.id, d.name, true, 'system:migration'
from radiant.tenant t cross join (values ('calculator'), ('grimoire_search')) d (name);
alter table radiant.tenant force row level security;

do $$
declare name text;
begin
    foreach name in array array['tenant_tool', 'tool_call'] loop
        execute format('alter table radiant.%I enable row level security', name);
        execute format('alter table radiant.%I force row level security', name);
        execute format(
            'create policy tenant_isolation on radiant.%I to radiant_app, radiant_review'
            ' using (tenant_id = (select radiant.current_tenant()))'
            ' with check (tenant_id = (select radiant.current_tenant()))', name);
    end loop;
end $$;

-- radiant_app alone: reviewers get calls scrubbed, in approval_request.review_sanitized. A recorded
-- call can be finished, never rewritten or deleted.
grant select, insert, update (allowed, set_by, set_at) on radiant.tenant_tool to radiant_app;
grant select, insert, update (output, output_cut, flags, status, latency_ms) on radiant.tool_call
    to radiant_app;

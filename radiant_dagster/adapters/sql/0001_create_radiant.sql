-- The first schema: tenants and their policies, sessions, approvals, the Grimoire, audit.
-- Why roles instead of one login: a forgotten WHERE, an injected statement or a reused connection
-- must not cross tenants. Every table with a tenant_id has FORCE row-level security; the loop at
-- the end of this file sets it for all of them, so that a new table cannot be forgotten here.

create function radiant.current_tenant() returns uuid language sql stable parallel safe
as $$ select nullif(current_setting('app.current_tenant_id', true), '')::uuid $$;
-- nullif: after a transaction-local setting ends, its value is '' on that connection, not NULL.

create table radiant.tenant (
    id uuid primary key check (id <> '00000000-0000-0000-0000-000000000000'),
    slug text not null unique check (slug ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    name text not null,
    created_at timestamptz not null default clock_timestamp()
);

create table radiant.domain_policy (
    tenant_id uuid not null references radiant.tenant,
    name text not null check (name ~ '^[a-z][a-z0-9_]{0,62}$'),
    approval_required boolean not null,
    deadline_seconds integer not null check (deadline_seconds between 5 and 2592000),
    swarm_seconds integer not null default 120 check (swarm_seconds between 1 and 3600),
    on_timeout text not null default 'reject' check (on_timeout in ('reject', 'escalate')),
    review_stage text not null default 'draft' check (review_stage in ('draft', 'answers')),
    similarity_floor_raise real not null default 0 check (similarity_floor_raise between 0 and 1),
    auto_promote boolean not null default false,
    quorum integer not null default 1 check (quorum between 1 and 2),
    primary key (tenant_id, name)
);

create table radiant.panel (
    tenant_id uuid not null references radiant.tenant,
    name text not null check (name ~ '^[a-z][a-z0-9_-]{0,62}$'),
    description text not null,
    agents jsonb not null,
    primary key (tenant_id, name)
);

create table radiant.session (
    tenant_id uuid not null references radiant.tenant,
    id uuid not null,
    status text not null default 'created' check (status in (
        'created', 'running', 'synthesised', 'awaiting_review', 'concluding',
        'completed', 'rejected', 'expired', 'failed', 'cancelled')),
    domain text not null,
    prompt text not null,
    context jsonb not null default '{}',
    system_prompt text,
    user_id text not null,
    require_approval boolean not null default false,
    heuristics jsonb not null default '[]',      -- what the Grimoire offered, as the agents saw it
    swarm_status text check (swarm_status in ('complete', 'degraded', 'failed')),
    missing_agents jsonb not null default '{}',  -- agent id -> reason code
    draft text,                                  -- the synthesis before anybody decided
    draft_details jsonb,                         -- claims, dissent, agreement
    cato_verdict text check (cato_verdict in ('safe', 'review', 'blocked', 'unavailable')),
    cato_reasons text[] not null default '{}',
    approval_reasons text[] not null default '{}',
    final_response text,
    final_note text,                             -- e.g. "redactions_left", shown beside the answer
    failure_code text,
    failure_message text,
    estimated_micro_usd bigint not null default 0,
    cost_micro_usd bigint not null default 0,
    offline_demo boolean not null default false,
    dagster_run_id text,
    conclude_run_id text,
    rerun_of uuid,
    created_at timestamptz not null default clock_timestamp(),
    started_at timestamptz,
    answered_at timestamptz,
    ended_at timestamptz,
    primary key (tenant_id, id),
    foreign key (tenant_id, domain) references radiant.domain_policy
);
create index session_by_age on radiant.session (tenant_id, created_at desc);

create table radiant.agent_run (
    tenant_id uuid not null,
    session_id uuid not null,
    agent_id text not null,
    position integer not null,
    role text not null,
    model text not null,
    temperature real not null,
    max_tokens integer not null,
    tools text[],
    instructions text not null default '',
    status text not null default 'pending' check (status in (
        'pending', 'running', 'success', 'failed', 'timeout', 'rejected')),
    response text,
    error_code text,
    error_message text,
    attempts integer not null default 0,
    latency_ms integer not null default 0,
    prompt_tokens integer not null default 0,
    completion_tokens integer not null default 0,
    cost_micro_usd bigint not null default 0,
    model_used text,
    finish_reason text,
    safety_passed boolean,
    cited integer[] not null default '{}',
    run_id text,                                 -- the Dagster run of the newest attempt
    deadline_at timestamptz,                     -- of that run's swarm
    started_at timestamptz,
    finished_at timestamptz,
    primary key (tenant_id, session_id, agent_id),
    foreign key (tenant_id, session_id) references radiant.session
);

create table radiant.approval_request (
    tenant_id uuid not null,
    id uuid not null,
    session_id uuid not null,
    attempt integer not null default 1,
    domain text not null,
    requested_by text not null,
    state text not null default 'pending' check (state in (
        'pending', 'approved', 'rejected', 'modified', 'expired', 'cancelled')),
    version integer not null default 1,
    quorum integer not null default 1 check (quorum between 1 and 2),
    required_role text not null default 'reviewer',
    on_timeout text not null default 'reject' check (on_timeout in ('reject', 'escalate')),
    reasons text[] not null default '{}',
    created_at timestamptz not null default clock_timestamp(),
    deadline timestamptz not null,
    escalated_at timestamptz,
    review_sanitized jsonb not null,             -- what a reviewer sees; never the original
    withheld boolean not null default false,     -- the scrubber was unavailable: nothing is shown
    payload_sha256 bytea not null,               -- binds the decision to the exact text reviewed
    primary key (tenant_id, id),
    unique (tenant_id, session_id, attempt),
    foreign key (tenant_id, session_id) references radiant.session
);
create index approval_pending on radiant.approval_request (deadline) where state = 'pending';

create table radiant.approval_payload (          -- the unscrubbed draft; reviewers have no grant
    tenant_id uuid not null,
    approval_id uuid not null,
    draft text,
    primary key (tenant_id, approval_id),
    foreign key (tenant_id, approval_id) references radiant.approval_request
);

create table radiant.approval_vote (
    tenant_id uuid not null,
    approval_id uuid not null,
    actor text not null,
    verdict text not null check (verdict in ('approved', 'rejected', 'modified')),
    guidance text,
    edited_text text,
    payload_sha256 bytea not null,
    at timestamptz not null,
    primary key (tenant_id, approval_id, actor),
    foreign key (tenant_id, approval_id) references radiant.approval_request
);

create table radiant.approval_decision (
    tenant_id uuid not null,
    approval_id uuid not null,
    session_id uuid not null,
    verdict text not null check (verdict in ('approved', 'rejected', 'modified', 'expired')),
    decided_by text[] not null,
    guidance text,
    edited_text text,
    decided_at timestamptz not null,
    attempt integer not null default 1,          -- of the continuation, part of its run key
    requested_at timestamptz,                    -- the dispatcher's lease
    claimed_run_id text,                         -- the only point of exactly-once
    claimed_at timestamptz,
    done_at timestamptz,
    primary key (tenant_id, approval_id),
    foreign key (tenant_id, approval_id) references radiant.approval_request
);
create index decision_undispatched on radiant.approval_decision (decided_at)
    where done_at is null;

create table radiant.audit (
    id bigint generated always as identity primary key,
    tenant_id uuid not null references radiant.tenant,
    session_id uuid,
    approval_id uuid,
    heuristic_id uuid,
    at timestamptz not null default clock_timestamp(),
    actor text not null,
    action text not null,
    detail jsonb not null default '{}'           -- codes, counts and ids; no content
);
create index audit_by_tenant on radiant.audit (tenant_id, id);

create table radiant.embedding_model (           -- global: a model is the same for every tenant
    id text primary key,
    dimensions integer not null,
    threshold real not null check (threshold between 0 and 1),
    source text not null,                        -- where the threshold comes from
    calibrated_at timestamptz
);

create table radiant.knowledge_heuristics (
    tenant_id uuid not null references radiant.tenant,
    id uuid not null,
    domain text not null,
    polarity text not null default 'do' check (polarity in ('do', 'avoid')),
    trigger_pattern text not null check (length(trigger_pattern) between 12 and 300),
    action_template text not null check (length(action_template) between 20 and 1200),
    embedding halfvec not null,
    embedding_model text not null references radiant.embedding_model,
    state text not null default 'quarantined' check (state in (
        'quarantined', 'active', 'retired', 'expired', 'merged', 'revoked')),
    alpha real not null default 1 check (alpha > 0),
    beta real not null default 1 check (beta > 0),
    confidence real generated always as (alpha / (alpha + beta)) stored,
    success_count integer not null default 0,
    failure_count integer not null default 0,
    content_sha256 bytea not null,
    source_execution_id uuid,                    -- the session it was distilled from
    source_user text,
    outcome text,                                -- approved, modified, rejected or unreviewed
    extraction_model text,
    created_by text not null check (created_by in ('librarian', 'human', 'import')),
    merged_into uuid,
    approved_by text,
    approved_at timestamptz,
    last_used_at timestamptz,
    last_credited_at timestamptz,
    expires_at timestamptz not null,
    created_at timestamptz not null default clock_timestamp(),
    updated_at timestamptz not null default clock_timestamp(),
    primary key (tenant_id, id),
    foreign key (tenant_id, domain) references radiant.domain_policy
);
create unique index heuristic_content on radiant.knowledge_heuristics
    (tenant_id, domain, polarity, content_sha256) where state in ('quarantined', 'active');
-- Exact search over one tenant and domain: measured about 1 ms, recall 1.0, up to 25,000 rows. An
-- HNSW index without iterative scan would cut the largest tenants' recall to 0.3 silently.
create index heuristic_by_domain on radiant.knowledge_heuristics (tenant_id, domain, state);

create table radiant.heuristic_usage (
    tenant_id uuid not null,
    session_id uuid not null,
    agent_id text not null,
    heuristic_id uuid not null,
    rank integer not null,
    similarity real not null,
    cited boolean not null default false,
    reward real,                                 -- null until an outcome is recorded
    at timestamptz not null default clock_timestamp(),
    primary key (tenant_id, session_id, agent_id, heuristic_id),
    foreign key (tenant_id, heuristic_id) references radiant.knowledge_heuristics on delete cascade
);
create index usage_by_heuristic on radiant.heuristic_usage (tenant_id, heuristic_id);

create table radiant.librarian_decision (
    tenant_id uuid not null,
    session_id uuid not null,
    decision text not null check (decision in ('stored', 'rederived', 'skipped', 'refused')),
    reason text not null,                        -- a code, never the text that was refused
    heuristic_id uuid,
    source_user text not null,
    reviewed boolean not null,
    cost_micro_usd bigint not null default 0,
    at timestamptz not null default clock_timestamp(),
    primary key (tenant_id, session_id),
    foreign key (tenant_id, session_id) references radiant.session
);

-- Row-level security on every table that belongs to a tenant.
do $$
declare item record;
begin
    for item in
        select c.table_name, case when c.table_name = 'tenant' then 'id' else 'tenant_id' end as key
        from information_schema.tables c
        where c.table_schema = 'radiant' and c.table_type = 'BASE TABLE'
          and (c.table_name = 'tenant' or exists (
              select 1 from information_schema.columns k
              where k.table_schema = 'radiant' and k.table_name = c.table_name
                and k.column_name = 'tenant_id'))
    loop
        execute format('alter table radiant.%I enable row level security', item.table_name);
        execute format('alter table radiant.%I force row level security', item.table_name);
        execute format(
            'create policy tenant_isolation on radiant.%I to radiant_app, radiant_review'
            ' using (%I = (select radiant.current_tenant()))'
            ' with check (%I = (select radiant.current_tenant()))',
            item.table_name, item.key, item.key);
    end loop;
end $$;

grant usage on schema radiant to radiant_app, radiant_review, radiant_dispatch, radiant_maintenance;
grant execute on function radiant.current_tenant() to radiant_app, radiant_review,
    radiant_dispatch, radiant_maintenance;

-- radiant_app: what runs and the CLI do for one tenant. No deletes: those are maintenance's.
grant select, insert on radiant.tenant, radiant.librarian_decision, radiant.approval_payload
    to radiant_app;
grant insert on radiant.audit to radiant_app;
grant select on radiant.audit, radiant.approval_vote to radiant_app;
grant select, insert, update on radiant.domain_policy, radiant.panel, radiant.session,
    radiant.agent_run, radiant.approval_request, radiant.knowledge_heuristics,
    radiant.heuristic_usage to radiant_app;
-- A run carries a decision out; it can neither make nor change one.
grant select, update (claimed_run_id, claimed_at, done_at) on radiant.approval_decision
    to radiant_app;
grant select, insert on radiant.embedding_model to radiant_app;

-- radiant_review: what a reviewer's process may do. It never sees the unscrubbed draft, the prompt
-- or an agent's raw answer; those reach it scrubbed, in approval_request.review_sanitized.
grant select on radiant.tenant, radiant.domain_policy, radiant.approval_request,
    radiant.approval_vote, radiant.approval_decision, radiant.audit to radiant_review;
grant select (tenant_id, id, status, domain, user_id, cost_micro_usd, swarm_status, dagster_run_id,
    conclude_run_id, created_at, answered_at, ended_at) on radiant.session to radiant_review;
grant update (state, version) on radiant.approval_request to radiant_review;
grant insert on radiant.approval_vote, radiant.approval_decision, radiant.audit to radiant_review;

-- radiant_dispatch: ids, deadlines, leases and expiry of all tenants, no content.
grant select (id, slug, name, created_at) on radiant.tenant to radiant_dispatch;
grant select (tenant_id, id, session_id, attempt, domain, state, version, quorum, required_role,
    on_timeout, created_at, deadline, escalated_at) on radiant.approval_request to radiant_dispatch;
grant update (state, version, escalated_at, deadline, required_role) on radiant.approval_request
    to radiant_dispatch;
grant select (tenant_id, approval_id, session_id, verdict, decided_by, decided_at, attempt,
    requested_at, claimed_run_id, claimed_at, done_at) on radiant.approval_decision
    to radiant_dispatch;
grant insert (tenant_id, approval_id, session_id, verdict, decided_by, decided_at)
    on radiant.approval_decision to radiant_dispatch;
grant update (attempt, requested_at, claimed_run_id, claimed_at, done_at) on radiant.approval_decision
    to radiant_dispatch;
grant select (tenant_id, id, status, domain, dagster_run_id, conclude_run_id, cost_micro_usd,
    created_at, answered_at, ended_at) on radiant.session to radiant_dispatch;
grant update (status, failure_code, failure_message, ended_at) on radiant.session
    to radiant_dispatch;
grant insert on radiant.audit to radiant_dispatch;
create policy dispatch_tenant on radiant.tenant for select to radiant_dispatch using (true);
create policy dispatch_request on radiant.approval_request to radiant_dispatch
    using (true) with check (true);
create policy dispatch_decision on radiant.approval_decision to radiant_dispatch
    using (true) with check (true);
create policy dispatch_session on radiant.session to radiant_dispatch using (true) with check (true);
create policy dispatch_audit on radiant.audit for insert to radiant_dispatch with check (true);

-- radiant_maintenance: counts and ages of the Grimoire; may change states that time decides and
-- delete only what has been out of use for the grace period.
grant select (tenant_id, id, domain, polarity, state, alpha, beta, confidence, success_count,
    failure_count, embedding_model, content_sha256, last_used_at, expires_at, created_at,
    updated_at) on radiant.knowledge_heuristics to radiant_maintenance;
grant update (state, updated_at) on radiant.knowledge_heuristics to radiant_maintenance;
grant delete on radiant.knowledge_heuristics to radiant_maintenance;
grant insert on radiant.audit to radiant_maintenance;
grant select on radiant.embedding_model to radiant_maintenance, radiant_review, radiant_dispatch;
grant select (tenant_id, heuristic_id, cited, reward, at) on radiant.heuristic_usage
    to radiant_maintenance;
create policy maintenance_read on radiant.knowledge_heuristics for select to radiant_maintenance
    using (true);
create policy maintenance_state on radiant.knowledge_heuristics for update to radiant_maintenance
    using (state in ('quarantined', 'active')
           and (expires_at <= clock_timestamp()
                or (confidence < 0.3 and created_at < clock_timestamp() - interval '90 days')))
    with check (state in ('expired', 'retired'));
create policy maintenance_delete on radiant.knowledge_heuristics for delete to radiant_maintenance
    using (state in ('expired', 'retired', 'revoked')
           and updated_at < clock_timestamp() - interval '30 days');
create policy maintenance_usage on radiant.heuristic_usage for select to radiant_maintenance
    using (true);
create policy maintenance_audit on radiant.audit for insert to radiant_maintenance
    with check (true);

insert into radiant.embedding_model (id, dimensions, threshold, source) values
    ('all-MiniLM-L6-v2-int8', 384, 0.50, 'CLINC150, 5 examples an intent: precision .80, recall .73'),
    ('text-embedding-3-small', 1536, 0.40, 'start value from published score bands, uncalibrated');

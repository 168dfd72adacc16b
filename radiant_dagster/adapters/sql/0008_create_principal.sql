-- Who may do what: people and services with roles, their API keys and browser sessions; feedback on
-- answers that nobody reviewed; sessions that follow another one.
-- Why two roles more: radiant_auth finds out whose a credential is before any tenant is known, over
-- all tenants and without content; radiant_api acts for one tenant through the API. Logins of workers
-- get neither, so that nothing which executes a model's text can make itself a key.

create table radiant.principal (
    tenant_id uuid not null references radiant.tenant,
    id uuid not null,
    name text not null check (name = btrim(name) and length(name) between 1 and 200),
    kind text not null check (kind in ('person', 'service')),
    roles text[] not null check (cardinality(roles) > 0 and roles <@ array[
        'viewer', 'reviewer', 'senior', 'privacy', 'curator', 'admin', 'service']),
    domains text[],                              -- that they are qualified for; null: all
    email text,                                  -- as an OIDC proxy reports it
    created_at timestamptz not null default clock_timestamp(),
    disabled_at timestamptz,
    primary key (tenant_id, id),
    -- Decisions are people's; a program that could vote would be self-approval by another name.
    check (kind = 'person' or not roles && array['reviewer', 'senior', 'privacy'])
);
-- Names are compared as approvals compare them: `Ann` and `ann` are one person.
create unique index principal_name on radiant.principal (tenant_id, lower(name));
create unique index principal_email on radiant.principal (tenant_id, lower(email));

create table radiant.api_key (
    tenant_id uuid not null,
    id uuid not null,
    principal uuid not null,
    prefix text not null check (prefix ~ '^[a-z0-9]{8}$'),
    -- SHA-256 of 256 random bits. A slow hash defends guessable secrets; these cannot be guessed.
    sha256 bytea not null check (length(sha256) = 32),
    created_by text not null,
    created_at timestamptz not null default clock_timestamp(),
    expires_at timestamptz,
    last_used_at timestamptz,
    revoked_at timestamptz,
    primary key (tenant_id, id),
    foreign key (tenant_id, principal) references radiant.principal
);
create unique index api_key_prefix on radiant.api_key (prefix);

create table radiant.web_session (               -- of a browser; the cookie itself is not stored
    tenant_id uuid not null,
    sha256 bytea not null check (length(sha256) = 32),
    principal uuid not null,
    api_key uuid,                                -- that it was opened with; null: by a proxy
    csrf text not null,
    created_at timestamptz not null default clock_timestamp(),
    last_seen_at timestamptz not null default clock_timestamp(),
    expires_at timestamptz not null,
    primary key (tenant_id, sha256),
    foreign key (tenant_id, principal) references radiant.principal,
    foreign key (tenant_id, api_key) references radiant.api_key
);
create unique index web_session_cookie on radiant.web_session (sha256);
create index web_session_by_end on radiant.web_session (expires_at);

create table radiant.session_feedback (
    tenant_id uuid not null,
    session_id uuid not null,
    actor text not null,
    verdict text not null check (verdict in ('good', 'bad', 'corrected')),
    note text not null default '',
    corrected_text text,
    at timestamptz not null default clock_timestamp(),
    primary key (tenant_id, session_id, actor),
    foreign key (tenant_id, session_id) references radiant.session,
    check ((verdict = 'corrected') = (corrected_text is not null))
);

alter table radiant.session add column parent_session_id uuid;
alter table radiant.session add constraint session_parent
    foreign key (tenant_id, parent_session_id) references radiant.session (tenant_id, id);

-- radiant_api sees its tenant's rows of every table there is; the grants below say of which.
do $$
declare item record;
begin
    for item in
        select c.relname as name,
               case when c.relname = 'tenant' then 'id' else 'tenant_id' end as key
        from pg_class c
        where c.relnamespace = 'radiant'::regnamespace and c.relkind = 'r'
          and c.relname not in ('principal', 'api_key', 'web_session', 'session_feedback')
          and (c.relname = 'tenant' or exists (
              select 1 from pg_attribute a where a.attrelid = c.oid and a.attname = 'tenant_id'))
    loop
        execute format(
            'create policy api_isolation on radiant.%I to radiant_api'
            ' using (%I = (select radiant.current_tenant()))'
            ' with check (%I = (select radiant.current_tenant()))',
            item.name, item.key, item.key);
    end loop;
    for item in
        select name, roles from (values
            ('principal', 'radiant_api'), ('api_key', 'radiant_api'), ('web_session', 'radiant_api'),
            ('session_feedback', 'radiant_app, radiant_api')) as own (name, roles)
    loop
        execute format('alter table radiant.%I enable row level security', item.name);
        execute format('alter table radiant.%I force row level security', item.name);
        execute format(
            'create policy tenant_isolation on radiant.%I to %s'
            ' using (tenant_id = (select radiant.current_tenant()))'
            ' with check (tenant_id = (select radiant.current_tenant()))', item.name, item.roles);
    end loop;
end $$;

grant usage on schema radiant to radiant_auth, radiant_api;
grant execute on function radiant.current_tenant() to radiant_auth, radiant_api;

-- radiant_auth: whose key, cookie or e-mail address is this? No content, no tenant's data.
grant select (id, slug) on radiant.tenant to radiant_auth;
grant select (tenant_id, id, name, kind, roles, domains, email, disabled_at) on radiant.principal
    to radiant_auth;
grant select (tenant_id, id, principal, prefix, sha256, expires_at, last_used_at, revoked_at),
    update (last_used_at) on radiant.api_key to radiant_auth;
grant select, insert, update (last_seen_at), delete on radiant.web_session to radiant_auth;
create policy auth_tenant on radiant.tenant for select to radiant_auth using (true);
create policy auth_principal on radiant.principal for select to radiant_auth using (true);
create policy auth_key on radiant.api_key to radiant_auth using (true) with check (true);
create policy auth_web_session on radiant.web_session to radiant_auth using (true) with check (true);

-- radiant_api: submit, read results, cancel, give feedback; read Grimoire, budget and audit; manage
-- keys. It never reads a draft that is not released, and neither makes nor changes a decision.
grant select on radiant.tenant, radiant.domain_policy, radiant.panel, radiant.agent_run,
    radiant.approval_request, radiant.approval_vote, radiant.approval_decision, radiant.audit,
    radiant.event, radiant.knowledge_heuristics, radiant.heuristic_usage,
    radiant.librarian_decision, radiant.embedding_model, radiant.budget, radiant.budget_account,
    radiant.reservation, radiant.budget_refusal, radiant.tenant_tool, radiant.agent_progress,
    radiant.audit_head, radiant.audit_link, radiant.session_feedback to radiant_api;
grant select (tenant_id, id, status, domain, prompt, context, system_prompt, user_id,
    require_approval, heuristics, swarm_status, missing_agents, cato_verdict, cato_reasons,
    approval_reasons, final_response, final_note, failure_code, failure_message,
    estimated_micro_usd, cost_micro_usd, offline_demo, dagster_run_id, conclude_run_id, rerun_of,
    parent_session_id, panel, live, downgrades, created_at, started_at, answered_at, ended_at)
    on radiant.session
    to radiant_api;
grant insert (tenant_id, id, domain, prompt, context, system_prompt, user_id, require_approval,
    estimated_micro_usd, offline_demo, rerun_of, parent_session_id, panel, live)
    on radiant.session to radiant_api;
grant insert on radiant.agent_run, radiant.audit, radiant.event, radiant.session_feedback
    to radiant_api;
grant update (status, ended_at, failure_code, failure_message, dagster_run_id, cost_plan)
    on radiant.session to radiant_api;
grant select, insert, update (request_hash, status, body, at) on radiant.idempotency to radiant_api;
-- What cancelling does beside the session: its request, its decision, the money held for it, the
-- drafts of its agents.
grant update (state, version) on radiant.approval_request to radiant_api;
grant update (done_at) on radiant.approval_decision to radiant_api;
grant update (reserved_micro_usd, spent_micro_usd) on radiant.budget_account to radiant_api;
grant update (state, actual_micro_usd, actual_is_estimated, expires_at, closed_at, booked_at)
    on radiant.reservation to radiant_api;
grant update (cost_micro_usd) on radiant.session, radiant.agent_run to radiant_api;
grant execute on function radiant.ledger_accounts, radiant.ledger_close, radiant.ledger_book
    to radiant_api;
grant delete on radiant.agent_progress to radiant_api;
-- What feedback credits.
grant update (reward) on radiant.heuristic_usage to radiant_api;
grant update (alpha, beta, success_count, failure_count, last_used_at, last_credited_at, expires_at,
    updated_at) on radiant.knowledge_heuristics to radiant_api;
grant insert, update (limit_micro_usd, set_by, set_at) on radiant.budget to radiant_api;
grant select, insert, update (roles, domains, email, disabled_at) on radiant.principal
    to radiant_api;
-- Hashes are written and never read back.
grant select (tenant_id, id, principal, prefix, created_by, created_at, expires_at, last_used_at,
    revoked_at), insert, update (revoked_at) on radiant.api_key to radiant_api;
grant select (tenant_id), delete on radiant.web_session to radiant_api;

grant select, insert on radiant.session_feedback to radiant_app;

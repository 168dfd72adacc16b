-- What a review desk needs on top of one vote before a deadline: four eyes, assignees, claims,
-- reminders, an audited look at the originals, replies that are kept for a retried call, and an
-- audit trail that shows when somebody changed it. Why so much in the request itself: its policy is
-- a snapshot, so that a policy changed meanwhile never changes what a pending request asks for.

alter table radiant.domain_policy
    add column allow text[] not null default '{approve,reject,modify}',
    add column assignees text[],                 -- null: everybody with the role
    add column required_role text not null default 'reviewer',
    add column second_role text not null default 'reviewer',
    add column reminder_share real not null default 0.5,
    add column escalate_share real not null default 0.8,
    -- Whoever may see a text may always refuse it; a withheld one can only be refused.
    add constraint policy_allow check (
        allow <@ array['approve', 'reject', 'modify'] and 'reject' = any (allow)),
    add constraint policy_assignees check (cardinality(assignees) > 0),
    add constraint policy_roles check (
        required_role in ('reviewer', 'senior') and second_role in ('reviewer', 'senior')),
    add constraint policy_shares check (
        reminder_share > 0 and reminder_share < 1 and escalate_share > 0 and escalate_share < 1);

alter table radiant.approval_request
    add column review_stage text not null default 'draft'
        check (review_stage in ('draft', 'answers')),  -- what the reviewer reads, and the hash binds
    add column allow text[] not null default '{approve,reject,modify}',
    add column assignees text[],
    add column second_role text not null default 'reviewer',
    add column reminder_at timestamptz,
    add column reminded_at timestamptz,
    add column escalate_at timestamptz,          -- from here on seniors are asked as well
    add column extended_at timestamptz,          -- on_timeout = escalate gave the time again, once
    add column claimed_by text,                  -- a lease: who is reading it at the moment
    add column claim_expires timestamptz;
create index approval_reminder on radiant.approval_request (reminder_at)
    where state = 'pending' and reminded_at is null;
create index approval_escalation on radiant.approval_request (escalate_at)
    where state = 'pending' and escalated_at is null;
create index approval_by_deadline on radiant.approval_request (tenant_id, deadline, id);
create index audit_by_approval on radiant.audit (tenant_id, approval_id, id);

-- FORCE hides rows from the owner as well, so it is lifted inside of this transaction.
alter table radiant.approval_request no force row level security;
update radiant.approval_request set extended_at = escalated_at where escalated_at is not null;
update radiant.approval_request set review_stage = 'answers' where payload_sha256 = sha256('');
alter table radiant.approval_request force row level security;

create function radiant.keep_final_state() returns trigger language plpgsql as $$
begin
    if old.state <> 'pending' then
        raise exception 'approval %: % is final', old.id, old.state using errcode = 'check_violation';
    end if;
    return new;
end $$;
create trigger final_state before update of state on radiant.approval_request
    for each row when (old.state is distinct from new.state)
    execute function radiant.keep_final_state();

grant update (claimed_by, claim_expires, assignees) on radiant.approval_request to radiant_review;
grant select (review_stage, reminder_at, reminded_at, escalate_at, extended_at),
    update (reminded_at, extended_at, second_role)
    on radiant.approval_request to radiant_dispatch;

-- Replies to calls that may be sent twice; ids and states only. Swept after a day.
create table radiant.idempotency (
    tenant_id uuid not null references radiant.tenant,
    actor text not null,
    key text not null check (length(key) between 1 and 200),
    request_hash bytea not null,
    status integer,                              -- null only while the first call is under way
    body jsonb,
    at timestamptz not null default clock_timestamp(),
    primary key (tenant_id, actor, key)
);
create index idempotency_by_age on radiant.idempotency (at);

-- The audit chain. Each row is linked to the one before it by a hash; the links are a table of their
-- own, so that audit rows are never updated. Linking happens when the transaction commits: the lock
-- on the tenant's head is held for the commit alone, not while a session works.
create table radiant.audit_head (
    tenant_id uuid primary key references radiant.tenant,
    position bigint not null,
    hash bytea not null
);
create table radiant.audit_link (
    tenant_id uuid not null references radiant.tenant,
    position bigint not null,                    -- 1, 2, 3 ... in the order of commits
    audit_id bigint not null,
    prev_hash bytea not null,
    hash bytea not null,                         -- sha256(prev_hash || the row as text)
    primary key (tenant_id, position),
    unique (tenant_id, audit_id)
);

do $$
declare name text;
begin
    foreach name in array array['idempotency', 'audit_head', 'audit_link'] loop
        execute format('alter table radiant.%I enable row level security', name);
        execute format('alter table radiant.%I force row level security', name);
        execute format(
            'create policy tenant_isolation on radiant.%I to radiant_app, radiant_review'
            ' using (tenant_id = (select radiant.current_tenant()))'
            ' with check (tenant_id = (select radiant.current_tenant()))', name);
    end loop;
end $$;
create policy chain on radiant.audit_head to radiant_owner using (true) with check (true);
create policy chain on radiant.audit_link to radiant_owner using (true) with check (true);
create policy dispatch_lapsed on radiant.idempotency to radiant_dispatch
    using (at < clock_timestamp() - interval '24 hours') with check (false);
grant select, insert, update (request_hash, status, body, at) on radiant.idempotency
    to radiant_app, radiant_review;
grant select (tenant_id, at), delete on radiant.idempotency to radiant_dispatch;
grant select on radiant.audit_head, radiant.audit_link to radiant_app, radiant_review;

-- The row as the hash sees it. The time as microseconds: text of a timestamp depends on the session.
create function radiant.audit_text(item radiant.audit) returns text language sql stable as $$
    select jsonb_build_array(item.tenant_id, item.id, item.session_id, item.approval_id,
        item.heuristic_id, (extract(epoch from item.at) * 1000000)::bigint, item.actor, item.action,
        item.detail)::text
$$;
-- Runs as the owner: no process may write a link itself.
create function radiant.link_audit() returns trigger language plpgsql security definer
    set search_path = pg_catalog, pg_temp as $$
declare
    head radiant.audit_head;
    next_hash bytea;
begin
    select * into head from radiant.audit_head where tenant_id = new.tenant_id for update;
    if not found then
        insert into radiant.audit_head values (new.tenant_id, 0, sha256('')) on conflict do nothing;
        select * into head from radiant.audit_head where tenant_id = new.tenant_id for update;
    end if;
    next_hash := sha256(head.hash || convert_to(radiant.audit_text(new), 'UTF8'));
    insert into radiant.audit_link
    values (new.tenant_id, head.position + 1, new.id, head.hash, next_hash);
    update radiant.audit_head set position = head.position + 1, hash = next_hash
    where tenant_id = new.tenant_id;
    return null;
end $$;
create constraint trigger link_audit after insert on radiant.audit
    deferrable initially deferred for each row execute function radiant.link_audit();

-- Rows from before are linked in the order of their numbers.
alter table radiant.audit no force row level security;
do $$
declare
    item radiant.audit;
    before bytea;
    this bytea;
    place bigint;
    of_tenant uuid;
begin
    for item in select * from radiant.audit order by tenant_id, id loop
        if of_tenant is distinct from item.tenant_id then
            of_tenant := item.tenant_id;
            place := 0;
            before := sha256('');
        end if;
        place := place + 1;
        this := sha256(before || convert_to(radiant.audit_text(item), 'UTF8'));
        insert into radiant.audit_link values (item.tenant_id, place, item.id, before, this);
        insert into radiant.audit_head values (item.tenant_id, place, this)
            on conflict (tenant_id) do update set position = excluded.position, hash = excluded.hash;
        before := this;
    end loop;
end $$;
alter table radiant.audit force row level security;

-- No role may change what was written, and an owner has to switch this off before it can.
create function radiant.refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'radiant.% is insert only', tg_table_name using errcode = 'insufficient_privilege';
end $$;
create trigger insert_only before update or delete or truncate on radiant.audit
    execute function radiant.refuse_change();
create trigger insert_only before update or delete or truncate on radiant.audit_link
    execute function radiant.refuse_change();

-- radiant_reveal: the originals of one tenant's reviews, and the audit row that says who saw them.
grant execute on function radiant.current_tenant() to radiant_reveal;
grant select (tenant_id, id, session_id, review_stage) on radiant.approval_request to radiant_reveal;
grant select (tenant_id, approval_id, draft) on radiant.approval_payload to radiant_reveal;
grant select (tenant_id, id, prompt) on radiant.session to radiant_reveal;
grant select (tenant_id, session_id, agent_id, position, status, response) on radiant.agent_run
    to radiant_reveal;
grant insert on radiant.audit to radiant_reveal;
create policy reveal_request on radiant.approval_request for select to radiant_reveal
    using (tenant_id = (select radiant.current_tenant()));
create policy reveal_payload on radiant.approval_payload for select to radiant_reveal
    using (tenant_id = (select radiant.current_tenant()));
create policy reveal_session on radiant.session for select to radiant_reveal
    using (tenant_id = (select radiant.current_tenant()));
create policy reveal_agent on radiant.agent_run for select to radiant_reveal
    using (tenant_id = (select radiant.current_tenant()));
create policy reveal_audit on radiant.audit for insert to radiant_reveal
    with check (tenant_id = (select radiant.current_tenant()));

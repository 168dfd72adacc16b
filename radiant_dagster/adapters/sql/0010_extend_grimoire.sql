-- What a Grimoire needs that learns, is curated and can be undone: versions of a heuristic's text,
-- the text that was let through, lineage, links between rows that say nearly the same or the
-- opposite, evidence for candidates, and the weight each cited use was credited with.

alter table radiant.knowledge_heuristics
    add column version integer not null default 1 check (version > 0),
    add column approved_sha256 bytea,            -- of polarity and text to the letter, when let through
    add column pinned boolean not null default false,  -- never expires, never retired by numbers
    add column source_decision uuid,             -- the approval whose decision it was learned from
    add column prompt_sha256 bytea,              -- of the scrubbed question it was distilled from
    add column schema_version text,              -- of the extraction contract
    add column parents uuid[] not null default '{}';  -- heuristics its session's agents had cited
-- Credit changes numbers only: room on the page keeps those updates off the indexes.
alter table radiant.knowledge_heuristics set (fillfactor = 80);
-- The owner is subject to row-level security as well; without this the updates below would touch no
-- row at all. Forced again at the end.
alter table radiant.knowledge_heuristics no force row level security;
alter table radiant.heuristic_usage no force row level security;
alter table radiant.domain_policy no force row level security;
-- What a curator had promoted stays usable: the text as it stands counts as what was let through.
update radiant.knowledge_heuristics
    set approved_sha256 = sha256(convert_to(
        polarity || chr(31) || trigger_pattern || chr(31) || action_template, 'UTF8'))
    where approved_at is not null or state = 'active';

create table radiant.heuristic_version (         -- every text a heuristic ever had; insert-only
    tenant_id uuid not null,
    heuristic_id uuid not null,
    version integer not null check (version > 0),
    trigger_pattern text not null check (length(trigger_pattern) between 12 and 300),
    action_template text not null check (length(action_template) between 20 and 1200),
    editor text not null,
    reason text not null default '',
    restores integer,                            -- the version whose text this one brings back
    content_sha256 bytea not null,               -- of polarity and text to the letter
    created_at timestamptz not null default clock_timestamp(),
    primary key (tenant_id, heuristic_id, version),
    foreign key (tenant_id, heuristic_id) references radiant.knowledge_heuristics on delete cascade
);
insert into radiant.heuristic_version (tenant_id, heuristic_id, version, trigger_pattern,
        action_template, editor, content_sha256, created_at)
    select tenant_id, id, 1, trigger_pattern, action_template, 'system:' || created_by,
        sha256(convert_to(polarity || chr(31) || trigger_pattern || chr(31) || action_template,
            'UTF8')), created_at
    from radiant.knowledge_heuristics;

create table radiant.heuristic_link (            -- two rows a person should look at together
    tenant_id uuid not null,
    a uuid not null,                             -- the smaller id, so that a pair is one row
    b uuid not null check (a < b),
    kind text not null check (kind in ('near_copy', 'conflict')),
    similarity real not null,                    -- of their triggers, cosine
    state text not null default 'open' check (state in ('open', 'merged', 'kept_apart', 'resolved')),
    decided_by text,
    decided_at timestamptz,
    created_at timestamptz not null default clock_timestamp(),
    primary key (tenant_id, a, b),
    foreign key (tenant_id, a) references radiant.knowledge_heuristics on delete cascade,
    foreign key (tenant_id, b) references radiant.knowledge_heuristics on delete cascade
);
create index link_by_second on radiant.heuristic_link (tenant_id, b);

-- How much of the outcome a cited use was credited with; null until an outcome is recorded. With it
-- the posterior can be computed again from these rows alone.
alter table radiant.heuristic_usage add column weight real check (weight between 0 and 1);
update radiant.heuristic_usage u
    set weight = case when u.cited then 1.0 / n.agents else 0 end
    from (select tenant_id, session_id, heuristic_id, count(*) as agents
          from radiant.heuristic_usage group by 1, 2, 3) n
    where u.reward is not null and n.tenant_id = u.tenant_id and n.session_id = u.session_id
      and n.heuristic_id = u.heuristic_id;

-- The evidence for a candidate: what the sessions that produced or re-derived it were worth.
alter table radiant.librarian_decision add column reward real check (reward between 0 and 1);
create index librarian_by_heuristic on radiant.librarian_decision (tenant_id, heuristic_id);

-- Thresholds belong to an embedding model, together with the data they come from.
alter table radiant.embedding_model
    add column merge_at real not null default 0.95 check (merge_at between 0 and 1),
    add column link_at real not null default 0.80 check (link_at between 0 and 1),
    add column calibration jsonb not null default '{}';

-- Where a wrong lesson hurts people, no candidate becomes active without a curator.
update radiant.domain_policy set auto_promote = false where name in ('medical', 'financial', 'legal');
alter table radiant.domain_policy add constraint no_auto_promotion_where_it_hurts
    check (not auto_promote or name not in ('medical', 'financial', 'legal'));
alter table radiant.knowledge_heuristics force row level security;
alter table radiant.heuristic_usage force row level security;
alter table radiant.domain_policy force row level security;

do $$
declare item text;
begin
    foreach item in array array['heuristic_version', 'heuristic_link'] loop
        execute format('alter table radiant.%I enable row level security', item);
        execute format('alter table radiant.%I force row level security', item);
        execute format(
            'create policy tenant_isolation on radiant.%I to radiant_app, radiant_api'
            ' using (tenant_id = (select radiant.current_tenant()))'
            ' with check (tenant_id = (select radiant.current_tenant()))', item);
    end loop;
end $$;

grant select, insert on radiant.heuristic_version, radiant.heuristic_link to radiant_app;
grant update (state, decided_by, decided_at) on radiant.heuristic_link to radiant_app;
grant update (reviewed, reward) on radiant.librarian_decision to radiant_app, radiant_api;
grant select on radiant.heuristic_version, radiant.heuristic_link to radiant_api;
grant update (weight) on radiant.heuristic_usage to radiant_api;

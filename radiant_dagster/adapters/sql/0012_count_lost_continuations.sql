-- Why: a continuation that was lost with its worker says nothing of its decision, yet it used up one of
-- three attempts, and whoever lost three workers had lost the approval. The attempt stays the number
-- in the run key; failures and losses are counted beside it (radiant_dagster/adapters/recovery.py).

alter table radiant.approval_decision
    add failures integer not null default 0,     -- continuations that failed
    add losses integer not null default 0;       -- that were lost before they had ended

-- FORCE hides rows from the owner as well, so it is lifted in this transaction.
alter table radiant.approval_decision no force row level security;
update radiant.approval_decision set failures = attempt - 1 where done_at is null and attempt > 1;
alter table radiant.approval_decision force row level security;

grant select (failures, losses), update (failures, losses) on radiant.approval_decision
    to radiant_dispatch;

create or replace function radiant.lease_decision(wanted uuid)
returns table (session_id uuid, attempt integer, leased_at timestamptz)
language sql security definer set search_path = '' as $$
    update radiant.approval_decision d set requested_at = pg_catalog.clock_timestamp()
    where d.approval_id = wanted and d.done_at is null and d.claimed_run_id is null
      and d.failures < 3 and d.losses < 20
      and (d.requested_at is null
           or d.requested_at < pg_catalog.clock_timestamp() - interval '60 seconds')
    returning d.session_id, d.attempt, d.requested_at
$$;

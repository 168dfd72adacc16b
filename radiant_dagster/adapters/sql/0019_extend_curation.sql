-- Why: what curators and operators could not do, and a rule that stood in three places.
--
-- A text that is edited is compared with the others anew, as the Librarian's are. A pair that is not
-- alike any more is outdated; of one that is, kind and similarity are those of the texts as they are.
--
-- How long a heuristic is kept was written in three places. It is a function here, not in the domain:
-- credit renews in the statement that moves the confidence, since a second version of the row would
-- seldom fit into its page and would then be put into the vector index anew.
--
-- Having a stuck decision carried out again took a dispatcher's rights, which Mission Control's login
-- has not, so that it could not be done over the API.

alter table radiant.heuristic_link
    drop constraint heuristic_link_state_check,
    add constraint heuristic_link_state_check
        check (state in ('open', 'merged', 'kept_apart', 'resolved', 'outdated'));
grant update (kind, similarity) on radiant.heuristic_link to radiant_app;
grant insert, update (kind, similarity) on radiant.heuristic_link to radiant_api;

-- 90 days (the source design's HEURISTIC_EXPIRY_DAYS), a third to twice that by confidence.
create function radiant.kept_until(since timestamptz, confidence double precision)
returns timestamptz language sql stable as $$
    select since + interval '90 days' * least(2.0, greatest(0.33, 2 * confidence))
$$;

-- As radiant.lease_decision (0009): as the owner, whom its policy keeps within the caller's tenant.
create function radiant.revive_decision(wanted uuid) returns table (session_id uuid)
language sql security definer set search_path = '' as $$
    update radiant.approval_decision d
    set failures = 0, losses = 0, requested_at = null, attempt = d.attempt + 1
    where d.approval_id = wanted and d.done_at is null and d.claimed_run_id is null
    returning d.session_id
$$;
revoke all on function radiant.revive_decision(uuid) from public;
grant execute on function radiant.revive_decision(uuid) to radiant_review;

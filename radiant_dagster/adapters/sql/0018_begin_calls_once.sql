-- Why: a begin that waited for another of the same id went on with the snapshot from before the wait,
-- in which that one had begun nothing, and took the next held attempt besides. Here who asks under one
-- id waits at a lock first and looks in statements of their own, each of which sees what was
-- committed while it waited. Asked again it answers with the attempt it has, without the accounts.

-- The held attempt that p_begun_by begins, or has begun before; null where nothing fits is held, or
-- the session was cancelled. The lock comes before all locks of 0002.
create function radiant.ledger_begin(
    p_tenant uuid, p_session uuid, p_call text, p_needed bigint, p_model text, p_begun_by uuid)
returns integer language plpgsql set search_path = '' as $$
declare
    v_call text;
    v_attempt integer;
begin
    perform pg_advisory_xact_lock(hashtextextended(p_session::text || ':' || p_begun_by::text, 0));
    if exists (select from radiant.session s where s.tenant_id = p_tenant and s.id = p_session
               and s.status = 'cancelled') then
        return null;
    end if;
    select r.call, r.attempt into v_call, v_attempt from radiant.reservation r
    where r.tenant_id = p_tenant and r.session_id = p_session and r.begun_by = p_begun_by;
    if found then
        return case when v_call = p_call then v_attempt end;
    end if;
    update radiant.reservation r
    set begun_at = clock_timestamp(), begun_by = p_begun_by, model = coalesce(p_model, r.model)
    where r.tenant_id = p_tenant and r.session_id = p_session and r.call = p_call
        and r.attempt = (
            select h.attempt from radiant.reservation h where h.tenant_id = p_tenant
                and h.session_id = p_session and h.call = p_call and h.state = 'held'
                and h.begun_at is null and h.estimate_micro_usd >= p_needed
            order by h.attempt limit 1 for update)
    returning r.attempt into v_attempt;
    return v_attempt;
end $$;
revoke execute on function radiant.ledger_begin from public;
grant execute on function radiant.ledger_begin to radiant_app;

"""The Governor's ledger in Postgres: money is held for every paid call before it is made.

    held -> settled | released | expired        then booked: the accounts move reserved -> spent

One row an attempt, all rows of a session held in one batch, so that agents cannot eat the money for
the answer. A call begins on its row (`begin_call`) in a transaction that is durable before anything
is sent, and is settled on its row alone; the accounts are locked where rows are held and booked.

    what happened to the call                      its row
    answered                                       settled with the bill
    may be billed (time-out, 5xx, crash)           settled or expired with the estimate, marked so
    surely unbilled (429, no connection, 4xx)      held for the next try, released at the end
    never begun                                    released at the end

`audit` checks what has to hold at any moment: an account's reserved amount is the estimates of the
rows that are not booked, its spent amount the charges of those that are. The locked parts are
functions in 0002_create_ledger.sql, which also names the order of locks; a begin is one in
0018_begin_calls_once.sql.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from radiant_dagster.adapters import audit as audit_trail
from radiant_dagster.adapters.postgres import Cursor, Database
from radiant_dagster.domain.governor import EXPIRY_MARGIN_SECONDS, PlannedCall
from radiant_dagster.domain.limits import resets_at
from radiant_dagster.errors import BudgetExceeded, BudgetMissing, Cancelled, SessionNotFound

SWEEP_LIMIT = 100

SET_PLAN = "update radiant.session set cost_plan = %s where tenant_id = %s and id = %s"
# A review may be escalated once, which gives it its time again.
SESSION_TO_HOLD = """
    select set_config('synchronous_commit', 'off', true), s.status, s.user_id, s.cost_plan,
        s.draft is not null as drafted, p.swarm_seconds + 2 * p.deadline_seconds as seconds,
        array(select 'agent:' || a.agent_id from radiant.agent_run a where a.tenant_id = s.tenant_id
              and a.session_id = s.id and a.status = 'success') as answered,
        array(select r.call from radiant.reservation r where r.tenant_id = s.tenant_id
              and r.session_id = s.id and r.purpose = 'embedding' and r.state = 'settled'
              and not r.actual_is_estimated) as embedded
    from radiant.session s
    join radiant.domain_policy p on p.tenant_id = s.tenant_id and p.name = s.domain
    where s.tenant_id = %s and s.id = %s for share of s
"""
RESERVE = "select radiant.ledger_reserve(%s, %s, %s, %s, %s, %s) as result"
# Durable whatever the transaction did before: money may be spent as soon as it is committed.
BEGIN = """
    select set_config('synchronous_commit', 'on', true),
        radiant.ledger_begin(%s, %s, %s, %s, %s, %s) as attempt
"""
BASIS = """
    select s.status, s.user_id, s.cost_plan, p.swarm_seconds + 2 * p.deadline_seconds as seconds
    from radiant.session s
    join radiant.domain_policy p on p.tenant_id = s.tenant_id and p.name = s.domain
    where s.tenant_id = %s and s.id = %s
"""
BEGUN = """
    select call, attempt from radiant.reservation
    where tenant_id = %s and session_id = %s and begun_by = %s
"""
SETTLE = "select radiant.ledger_settle(%s, %s, %s, %s, %s, %s, %s) as charged"
CLOSE = "select radiant.ledger_close(%s, %s, %s) as charged"
# Booking may be lost in a power cut: it is whole or not there, and the sweep does it again.
BOOK = """
    select set_config('synchronous_commit', 'off', true), radiant.ledger_book(%s, %s) as booked
"""
OVERDUE = """
    select tenant_id, session_id, min(expires_at) as since from radiant.reservation
    where booked_at is null and expires_at <= clock_timestamp()
    group by 1, 2 order by since limit %s
"""
NOTE_REFUSAL = """
    insert into radiant.budget_refusal (tenant_id, session_id, scope, user_id, needed_micro_usd)
    values (%s, %s, %s, %s, %s)
"""
AUDIT = """
    with sums as (
        select k.scope, k.user_id, k.period_key,
            sum(r.estimate_micro_usd) filter (where r.booked_at is null) as held,
            sum(r.actual_micro_usd) filter (where r.booked_at is not null) as charged
        from radiant.reservation r, radiant.ledger_accounts(r.session_id, r.user_id, r.held_on) k
        where r.tenant_id = %(tenant)s group by 1, 2, 3)
    select scope, user_id, period_key,
        coalesce(a.reserved_micro_usd, 0)::bigint as reserved_micro_usd,
        coalesce(a.spent_micro_usd, 0)::bigint as spent_micro_usd,
        coalesce(s.held, 0)::bigint as held_micro_usd,
        coalesce(s.charged, 0)::bigint as charged_micro_usd
    from (select * from radiant.budget_account where tenant_id = %(tenant)s) a
    full join sums s using (scope, user_id, period_key)
    where (coalesce(a.reserved_micro_usd, 0), coalesce(a.spent_micro_usd, 0))
        <> (coalesce(s.held, 0), coalesce(s.charged, 0))
    order by 1, 2, 3
"""


@dataclass(frozen=True, slots=True)
class Ticket:
    """An attempt that money is held for; what settles it."""

    session_id: UUID
    call: str
    attempt: int

    @property
    def attempt_key(self) -> str:
        """The attempt's name in the ledger."""
        return f"{self.session_id}:{self.call}:{self.attempt}"


@dataclass(frozen=True, slots=True)
class Difference:
    """An account that does not equal its reservations."""

    scope: str
    user_id: str
    period_key: str
    reserved_micro_usd: int
    spent_micro_usd: int
    held_micro_usd: int
    charged_micro_usd: int


def store_plan(
    cursor: Cursor, tenant_id: UUID, session_id: UUID, calls: Sequence[PlannedCall]
) -> None:
    """Store which calls a session will make; `hold_for_session` holds money for them."""
    cursor.execute(SET_PLAN, (json.dumps([asdict(call) for call in calls]), tenant_id, session_id))


def hold_for_session(cursor: Cursor, tenant_id: UUID, session_id: UUID) -> int:
    """Hold money for all calls that a session still has to make, in one batch, or for none.

    A call that holds some already is left out, so repeating this holds nothing more. A re-execution
    holds what is left: answers that are there are not bought again.

    The transaction does not wait for the disk (`synchronous_commit = off`), so that a busy tenant's
    accounts are free again at once. That risks no money: nothing is sent before `begin_call`, whose
    commit is durable and later in the same log, so it takes this one to the disk with it. A crash
    before that loses a reservation that nobody has spent from. Nothing that has to survive a crash
    by itself belongs into the same transaction.

    Returns:
        Micro-USD that were held now.

    Raises:
        BudgetExceeded: It does not fit the tenant's, the user's or the session's budget.
        BudgetMissing: The tenant has no limit in a scope.
        Cancelled: Nothing may be spent on a cancelled session.
        SessionNotFound: Unknown, or another tenant's.
    """
    cursor.execute(SESSION_TO_HOLD, (tenant_id, session_id))
    row = _running(cursor.fetchone(), session_id)
    bought = {*row["answered"], *row["embedded"], *(["synthesis"] if row["drafted"] else [])}
    calls = [call for call in row["cost_plan"] if call["call"] not in bought]
    return _reserve(cursor, tenant_id, session_id, row, calls, None) if calls else 0


def begin_call(
    cursor: Cursor,
    tenant_id: UUID,
    session_id: UUID,
    call: PlannedCall | str,
    *,
    begun_by: UUID,
) -> Ticket:
    """Take the money held for a call, right before it is made; commit before sending anything.

    Where nothing is held any more (an attempt before it may have been billed, a re-execution, a
    draft written anew), or too little, more is reserved under the next attempt number.

    Args:
        call: Name of a planned call, or the call with what it can cost as it will be sent.
        begun_by: A new id for each attempt; the same one again gets the same row.

    Raises:
        BudgetExceeded, BudgetMissing: Nothing is held and no more fits.
        Cancelled: Nothing may be spent on a cancelled session.
        SessionNotFound: Unknown, or another tenant's.
    """
    known = None if isinstance(call, str) else call
    name = call if isinstance(call, str) else call.call
    needed, model = (known.estimate, known.model) if known else (0, None)
    cursor.execute(BEGIN, (tenant_id, session_id, name, needed, model, begun_by))
    taken: Any = cursor.fetchone()
    if taken["attempt"] is not None:
        return Ticket(session_id, name, taken["attempt"])
    cursor.execute(BASIS, (tenant_id, session_id))
    row = _running(cursor.fetchone(), session_id)
    planned = asdict(known) if known else next(c for c in row["cost_plan"] if c["call"] == name)
    _reserve(cursor, tenant_id, session_id, row, [{**planned, "times": 1}], begun_by)
    cursor.execute(BEGUN, (tenant_id, session_id, begun_by))
    begun: Any = cursor.fetchone()
    return Ticket(session_id, begun["call"], begun["attempt"])


def _running(row: Mapping[str, Any] | None, session_id: UUID) -> Mapping[str, Any]:
    if row is None:
        raise SessionNotFound(session_id)
    if row["status"] == "cancelled":
        raise Cancelled(f"Session {session_id}")
    return row


def _reserve(
    cursor: Cursor,
    tenant_id: UUID,
    session_id: UUID,
    row: Mapping[str, Any],
    calls: Sequence[Mapping[str, Any]],
    begun_by: UUID | None,
) -> int:
    lifetime = row["seconds"] + EXPIRY_MARGIN_SECONDS
    values = (tenant_id, session_id, row["user_id"], lifetime, json.dumps(calls), begun_by)
    cursor.execute(RESERVE, values)
    answer: Any = cursor.fetchone()
    refused = answer["result"].get("refused")
    if refused is None:
        return answer["result"]["held"]
    if refused["limit"] is None:
        raise BudgetMissing(refused["scope"])
    raise BudgetExceeded(
        refused["scope"],
        user=refused["user_id"],
        needed_micro_usd=refused["needed"],
        limit_micro_usd=refused["limit"],
        spent_micro_usd=refused["spent"],
        reserved_micro_usd=refused["reserved"],
        resets_at=resets_at(refused["scope"], datetime.fromisoformat(refused["at"])),
    )


def settle_call(
    cursor: Cursor,
    tenant_id: UUID,
    ticket: Ticket,
    actual_micro_usd: int | None,
    *,
    estimated: bool = False,
) -> int:
    """Charge an attempt in the transaction that stores its result; only its own row is locked.

    The session's and the agent's cost move with it. One that was booked meanwhile, because its
    session ended or was swept, corrects the accounts.

    Args:
        actual_micro_usd: The bill; None where it may have been billed and no bill came, which
            charges the estimate.
        estimated: The bill is an upper bound, since the provider told no usage.

    Returns:
        Micro-USD that are charged.
    """
    return _settle(cursor, tenant_id, ticket, actual_micro_usd, estimated, unbilled=False)


def return_call(cursor: Cursor, tenant_id: UUID, ticket: Ticket) -> None:
    """Keep the money of an attempt that surely cost nothing for the next try."""
    _settle(cursor, tenant_id, ticket, None, estimated=False, unbilled=True)


def _settle(
    cursor: Cursor,
    tenant_id: UUID,
    ticket: Ticket,
    actual: int | None,
    estimated: bool,
    *,
    unbilled: bool,
) -> int:
    key = (tenant_id, ticket.session_id, ticket.call, ticket.attempt)
    cursor.execute(SETTLE, (*key, actual, estimated, unbilled))
    row: Any = cursor.fetchone()
    return row["charged"] or 0


def settle_session(cursor: Cursor, tenant_id: UUID, session_id: UUID) -> None:
    """Close what an ended session holds, in the transaction that ends it.

    Calls that never began are released; calls that may be under way are charged their estimate,
    which their own settling corrects. The accounts are not locked: `book` moves them.
    """
    cursor.execute(CLOSE, (tenant_id, session_id, False))


def book(database: Database, tenant_id: UUID, session_id: UUID) -> int:
    """Move what is closed from reserved to spent, in a transaction of its own.

    Called after a session's end and where its first run stops for a review. Left out, by a crash,
    the accounts hold too much until the sweep: nothing can be overspent meanwhile.

    Returns:
        How many reservations were booked.
    """
    with database.tenant_transaction(tenant_id) as cursor:
        return _book(cursor, tenant_id, session_id)


def _book(cursor: Cursor, tenant_id: UUID, session_id: UUID) -> int:
    cursor.execute(BOOK, (tenant_id, session_id))
    row: Any = cursor.fetchone()
    return row["booked"]


def sweep(database: Database, *, limit: int = SWEEP_LIMIT) -> int:
    """Close what is overdue and book what is closed, over all tenants.

    Returns:
        How many calls were charged their estimate because no bill came.
    """
    with database.system_transaction("radiant_dispatch") as cursor:
        cursor.execute(OVERDUE, (limit,))
        overdue = cursor.fetchall()
    count = 0
    for row in overdue:
        key = (row["tenant_id"], row["session_id"])
        # Closing locks the session, booking the accounts: never both at once.
        with database.system_transaction("radiant_dispatch") as cursor:
            cursor.execute(CLOSE, (*key, True))
            closed: Any = cursor.fetchone()
            if closed["charged"]:
                count += closed["charged"]
                audit_trail.record(
                    cursor,
                    row["tenant_id"],
                    actor="system:governor",
                    action="reservation.expired",
                    session_id=row["session_id"],
                    detail={"calls": closed["charged"]},
                )
        with database.system_transaction("radiant_dispatch") as cursor:
            _book(cursor, *key)
    return count


def book_ended(database: Database, tenant_id: UUID, session_id: UUID) -> None:
    """Do what `book` does, for the sensors, which act for no tenant."""
    with database.system_transaction("radiant_dispatch") as cursor:
        _book(cursor, tenant_id, session_id)


def note_refusal(
    cursor: Cursor, tenant_id: UUID, session_id: UUID, error: BudgetExceeded | BudgetMissing
) -> None:
    """Count a refusal. By whoever handles the error: raising it undid its own transaction."""
    if isinstance(error, BudgetExceeded):
        values = (tenant_id, session_id, error.scope, error.user, error.needed_micro_usd)
        cursor.execute(NOTE_REFUSAL, values)


def audit(cursor: Cursor, tenant_id: UUID) -> list[Difference]:
    """Return the accounts that do not equal their reservations; none means the ledger is right."""
    cursor.execute(AUDIT, {"tenant": tenant_id})
    return [Difference(**row) for row in cursor.fetchall()]

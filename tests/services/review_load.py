"""Judges sessions that many reviewers decided at once while processes were killed.

Used by a test with a few sessions and by the benchmark with hundreds, so that both hold them to the
same rules. Everything is read past row-level security, from both databases, after all is quiet.
"""

import base64
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import psycopg2
import psycopg2.extras
import standardwebhooks

from radiant_dagster.adapters import audit, policies, targets
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.adapters.settings import Settings
from radiant_dagster.adapters.vault import Vault
from radiant_dagster.domain.approvals import SYSTEM_DEADLINE
from tests.services.reviewers import AIMED, Log
from tests.services.webhook_receiver import Received, Receiver

SECRET_KEY = base64.b64encode(bytes(range(32))).decode()
HOOK_SECRET = bytes(range(40, 72))
ENVIRONMENT = {"RADIANT_SECRET_KEY": SECRET_KEY, "RADIANT_WEBHOOK_ALLOW": "127.0.0.1"}
"""What a stack needs to deliver to a receiver on this machine."""

ENDS = ("completed", "rejected", "expired")
OPEN = """
    select (select count(*) from radiant.session where tenant_id = %(tenant)s
              and id = any(%(sessions)s) and ended_at is null)
         + (select count(*) from radiant.approval_decision where tenant_id = %(tenant)s
              and session_id = any(%(sessions)s) and done_at is null)
         + (select count(*) from radiant.event where tenant_id = %(tenant)s
              and session_id = any(%(sessions)s) and fanned_out_at is null)
         + (select count(*) from radiant.delivery d join radiant.event e
              on e.tenant_id = d.tenant_id and e.id = d.event_id
            where d.tenant_id = %(tenant)s and e.session_id = any(%(sessions)s)
              and d.delivered_at is null and d.gave_up_at is null) as open
"""
SESSIONS = """
    select s.id, s.status, s.failure_code, s.final_response is not null as answered,
           extract(epoch from s.ended_at - max(d.decided_at))::float as wait_seconds
    from radiant.session s
    left join radiant.approval_decision d on d.tenant_id = s.tenant_id and d.session_id = s.id
    where s.tenant_id = %(tenant)s and s.id = any(%(sessions)s)
    group by s.tenant_id, s.id
"""
DECISIONS = """
    select r.id, r.state, r.deadline, d.verdict, d.decided_by, d.decided_at, d.attempt
    from radiant.approval_request r
    left join radiant.approval_decision d on d.tenant_id = r.tenant_id and d.approval_id = r.id
    where r.tenant_id = %(tenant)s and r.session_id = any(%(sessions)s)
"""
EVENTS = """
    select id, type, session_id, approval_id from radiant.event
    where tenant_id = %(tenant)s and session_id = any(%(sessions)s)
"""
# Dagster's own log: the step that ends a session, by the decision that its run was launched for.
CARRIED_OUT = """
    select t.value as approval, count(*) as times, count(distinct e.run_id) as runs
    from event_logs e join run_tags t on t.run_id = e.run_id and t.key = 'radiant/approval_id'
    where e.dagster_event_type = 'STEP_SUCCESS' and e.step_key like '%%close_session'
      and t.value = any(%(approvals)s)
    group by 1
"""


@dataclass(frozen=True)
class Verdict:
    """What became of the sessions; each of the tuples should be empty.

    Args:
        sessions: Count by status.
        decisions: Count by verdict.
        lost: Sessions without an end, or decisions that nobody knows of.
        doubled: Decisions, continuations or ends that took effect more than once.
        late: Decisions of people at or after the deadline, and expiries before it.
        undelivered: Events that no receiver got with a valid signature.
        audit: Rows of the audit trail, and what is wrong with it.
        waits: Seconds from a session's last decision to its end.
        retried: Decisions whose continuation was launched again after a failure.
    """

    sessions: Mapping[str, int]
    decisions: Mapping[str, int]
    lost: tuple[str, ...]
    doubled: tuple[str, ...]
    late: tuple[str, ...]
    undelivered: tuple[str, ...]
    audit: audit.Verification
    waits: tuple[float, ...]
    retried: int


def prepare_tenant(
    database: Database, settings: Settings, tenant: UUID, receiver: Receiver, *, brief_seconds: int
) -> None:
    """Send all of a tenant's events to a receiver, and add a domain with a short deadline."""
    endpoint = uuid4()
    sealed = Vault.of(settings).seal(HOOK_SECRET, tenant, endpoint)
    with database.tenant_transaction(tenant) as cursor:
        policies.add(cursor, tenant, AIMED, {"deadline_seconds": brief_seconds}, actor="load")
        targets.add_endpoint(
            cursor, tenant, endpoint, url=receiver.url, secret=sealed, types=(), domains=(),
            actor="load",
        )  # fmt: skip


class Records:
    """What both databases say of a tenant's sessions."""

    def __init__(self, settings: Settings, tenant: UUID, sessions: Sequence[UUID]) -> None:
        assert settings.owner_database_url is not None
        assert settings.dagster_database_url is not None
        self._owner = settings.owner_database_url.get_secret_value()
        self._dagster = settings.dagster_database_url.get_secret_value()
        self._of = {"tenant": tenant, "sessions": list(sessions)}

    def ours(self, query: str) -> list[dict[str, Any]]:
        """Ask RADIANT's database of these sessions."""
        return _ask(self._owner, query, self._of)

    def dagsters(self, query: str, values: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Ask Dagster's database."""
        return _ask(self._dagster, query, values)

    def wait_until_quiet(self, seconds: float) -> int:
        """Wait until all is ended and delivered; return how much is not."""
        limit = time.monotonic() + seconds
        while (still := self.ours(OPEN)[0]["open"]) and time.monotonic() < limit:
            time.sleep(0.5)
        return still


def _ask(url: str, query: str, values: Mapping[str, Any]) -> list[dict[str, Any]]:
    with closing(
        psycopg2.connect(url, cursor_factory=psycopg2.extras.RealDictCursor)
    ) as connection:
        psycopg2.extras.register_uuid(conn_or_curs=connection)
        with connection.cursor() as cursor:
            cursor.execute(query, values)
            return [dict(row) for row in cursor.fetchall()]


def judge(
    database: Database,
    tenant: UUID,
    records: Records,
    log: Log,
    received: Sequence[Received],
) -> Verdict:
    """Compare what is stored, what Dagster ran, what people were told and what was received."""
    sessions, decisions = records.ours(SESSIONS), records.ours(DECISIONS)
    events = records.ours(EVENTS)
    carried = records.dagsters(CARRIED_OUT, {"approvals": [str(row["id"]) for row in decisions]})
    with database.tenant_transaction(tenant) as cursor:
        trail = audit.verify(cursor, tenant)
    arrived = {item.id for item in received if item.genuine}
    return Verdict(
        sessions=Counter(row["status"] for row in sessions),
        decisions=Counter(str(row["verdict"]) for row in decisions),
        lost=(*_sessions_lost(sessions, events), *_decisions_lost(decisions, log)),
        doubled=_doubled(events, carried, log),
        late=tuple(str(row["id"]) for row in decisions if _is_out_of_time(row)),
        undelivered=tuple(str(row["id"]) for row in events if str(row["id"]) not in arrived),
        audit=trail,
        waits=tuple(row["wait_seconds"] for row in sessions if row["wait_seconds"] is not None),
        retried=sum((row["attempt"] or 1) > 1 for row in decisions),
    )


def _sessions_lost(
    sessions: Sequence[Mapping[str, Any]], events: Sequence[Mapping[str, Any]]
) -> Sequence[str]:
    told = {row["session_id"] for row in events if row["type"] == "session.completed"}
    return [
        f"session {row['id']}: {row['status']} {row['failure_code'] or ''}".strip()
        for row in sessions
        if row["status"] not in ENDS
        or row["id"] not in told
        or row["answered"] != (row["status"] == "completed")
    ]


def _decisions_lost(decisions: Sequence[Mapping[str, Any]], log: Log) -> Sequence[str]:
    """Return what people were told that they decided and is not so, and the reverse."""
    by_people = {row["id"] for row in decisions if _by_a_person(row)}
    return [
        *(f"request {row['id']}: no decision" for row in decisions if row["verdict"] is None),
        *(f"decision {item}: told and not stored" for item in set(log.accepted) - by_people),
        *(f"decision {item}: stored and not told" for item in by_people - set(log.accepted)),
    ]


def _doubled(
    events: Sequence[Mapping[str, Any]],
    carried: Sequence[Mapping[str, Any]],
    log: Log,
) -> tuple[str, ...]:
    ends = Counter(row["session_id"] for row in events if row["type"] == "session.completed")
    outcomes = ("approval.decided", "approval.expired")
    told = Counter(row["approval_id"] for row in events if row["type"] in outcomes)
    kinds: dict[str, Counter[Any]] = {
        "accepted": Counter(log.accepted),
        "told of": told,
        "ended": ends,
        "carried out": Counter({row["approval"]: row["times"] for row in carried}),
    }
    return tuple(
        f"{kind} {times} times: {item}"
        for kind, counts in kinds.items()
        for item, times in counts.items()
        if times > 1
    )


def _by_a_person(row: Mapping[str, Any]) -> bool:
    return row["verdict"] is not None and row["decided_by"] != [SYSTEM_DEADLINE]


def _is_out_of_time(row: Mapping[str, Any]) -> bool:
    if row["verdict"] is None:
        return False
    return _by_a_person(row) == (row["decided_at"] >= row["deadline"])


def is_genuine(item: Received) -> bool:
    """Tell whether a request of now carries our signature; the receiver's `check`."""
    secret = "whsec_" + base64.b64encode(HOOK_SECRET).decode()
    try:
        standardwebhooks.Webhook(secret).verify(item.body, item.headers)
    except standardwebhooks.WebhookVerificationError:
        return False
    return True

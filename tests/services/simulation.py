"""Judges many sessions that met random faults, from the server's log and from what was stored.

Used by a test with a few sessions in one process and by the benchmark with a thousand on a real
stack, so that both hold a session to the same rules.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from radiant_dagster.adapters import agent_runs, sessions
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.domain.swarm import quorum
from tests.services.llm_server import Call

UNBILLED = frozenset({400, 401, 403, 404, 413, 429})
CHARGED = """
    select call, count(*) as times from radiant.reservation
    where tenant_id = %s and session_id = %s and state in ('settled', 'expired') group by call
"""
AFTER_A_QUORUM = frozenset({"completed", "awaiting_review"})


@dataclass(frozen=True)
class Verdict:
    """What became of the sessions.

    Args:
        sessions: Count by status of session.
        agents: Count by status of agent.
        lost: Sessions that are at work still, or ended otherwise than their faults dictate.
        bought_twice: Idempotency keys whose usable answer was delivered more than once.
        unbooked: Calls that the ledger charged more or less often than they may be billed.
        faults: Calls that met a fault.
        paid: Calls for which an answer was generated.
    """

    sessions: Mapping[str, int]
    agents: Mapping[str, int]
    lost: tuple[str, ...]
    bought_twice: tuple[str, ...]
    unbooked: tuple[str, ...]
    calls: int
    faults: int
    paid: int


def judge(
    database: Database, tenant: UUID, session_ids: Sequence[UUID], calls: Sequence[Call]
) -> Verdict:
    """Compare what was stored with what the model server saw.

    Args:
        calls: The server's log of these sessions.
    """
    by_session: Counter[str] = Counter()
    by_agent: Counter[str] = Counter()
    lost: list[str] = []
    charged: dict[tuple[str, str], int] = {}
    for session_id in session_ids:
        with database.tenant_transaction(tenant) as cursor:
            row = sessions.get_session(cursor, tenant, session_id)
            agents = agent_runs.agent_rows(cursor, tenant, session_id)
            cursor.execute(CHARGED, (tenant, session_id))
            charged |= {(str(session_id), r["call"]): r["times"] for r in cursor.fetchall()}
        by_session[row["status"]] += 1
        by_agent.update(agent["status"] for agent in agents)
        if not ended_as_its_agents_dictate(row, agents):
            lost.append(f"{session_id}: {row['status']} {row['failure_code']}")
    delivered = Counter(call.key for call in calls if call.key and call.reply.delivers)
    return Verdict(
        dict(by_session),
        dict(by_agent),
        tuple(lost),
        tuple(key for key, count in delivered.items() if count > 1),
        calls_that_differ_from_the_ledger(charged, calls),
        len(calls),
        sum(not call.reply.delivers for call in calls),
        sum(call.paid for call in calls),
    )


def ended_as_its_agents_dictate(
    row: Mapping[str, Any], agents: Sequence[Mapping[str, Any]]
) -> bool:
    """Tell whether a session has an answer with a quorum, and a reason without one."""
    if any(agent["status"] in ("pending", "running") for agent in agents):
        return False
    if sum(agent["status"] == "success" for agent in agents) >= quorum(len(agents)):
        return row["status"] in AFTER_A_QUORUM
    return row["status"] == "failed" and row["failure_code"] == "quorum_not_reached"


def calls_that_differ_from_the_ledger(
    charged: Mapping[tuple[str, str], int], calls: Sequence[Call]
) -> tuple[str, ...]:
    """Return calls on the wire that the ledger charged more or less often than they may be billed.

    Args:
        charged: Rows of the ledger with a charge, by session and call.
        calls: The server's log. All but those that are refused before an answer is generated may
            be billed: the server may have generated one and lost the connection.
    """
    seen = Counter(_ledger_name(call) for call in calls if call.reply.status not in UNBILLED)
    return tuple(
        f"{session}/{name}: {seen[session, name]} calls, {charged.get((session, name), 0)} charged"
        for session, name in sorted({*seen, *charged})
        if seen[session, name] != charged.get((session, name), 0)
    )


def _ledger_name(call: Call) -> tuple[str, str]:
    session, purpose = call.key.split(":")[:2]
    agent = call.headers.get("X-Radiant-Agent")
    return session, f"agent:{agent}" if agent else purpose

"""The record of what agents had tools do.

A call is stored before it runs and finished after, each in a transaction of its own, so that a
crash loses nothing of what was sent to somebody else's server.
"""

import json
from typing import Any
from uuid import UUID

from radiant_dagster.adapters.postgres import Cursor
from radiant_dagster.domain.swarm import storable
from radiant_dagster.domain.tools import ToolResult, parse_arguments

MAX_RECORDED_CHARACTERS = 16_000  # of arguments; no tool of ours takes a tenth of it

# One agent runs as one step at a time, so the next position is free.
START = """
    insert into radiant.tool_call
        (tenant_id, session_id, agent_id, position, round, name, arguments)
    select %(tenant)s, %(session)s, %(agent)s, coalesce(max(position) + 1, 0), %(round)s, %(name)s,
           %(arguments)s
    from radiant.tool_call
    where tenant_id = %(tenant)s and session_id = %(session)s and agent_id = %(agent)s
    returning position
"""
FINISH = """
    update radiant.tool_call
    set status = %s, output = %s, output_cut = %s, flags = %s, latency_ms = %s
    where tenant_id = %s and session_id = %s and agent_id = %s and position = %s
"""
OF_SESSION = """
    select t.agent_id, t.position, t.round, t.name, t.arguments, t.output, t.output_cut, t.flags,
           t.status, t.latency_ms, t.at
    from radiant.tool_call t
    join radiant.agent_run a on a.tenant_id = t.tenant_id and a.session_id = t.session_id
        and a.agent_id = t.agent_id
    where t.tenant_id = %s and t.session_id = %s order by a.position, t.position
"""


def start(
    cursor: Cursor,
    tenant_id: UUID,
    session_id: UUID,
    agent_id: str,
    *,
    number: int,
    name: str,
    arguments: str,
) -> int:
    """Store a call that is about to run; returns its position.

    Args:
        number: The model's turn that asked for it, from 1.
        name: As the model wrote it.
        arguments: As the model wrote them; what is no JSON object is kept as ``unparsed`` text.
    """
    cursor.execute(
        START,
        {
            "tenant": tenant_id,
            "session": session_id,
            "agent": agent_id,
            "round": number,
            "name": storable(name)[:200],
            "arguments": _recorded(arguments),
        },
    )
    row: Any = cursor.fetchone()
    return row["position"]


def _recorded(arguments: str) -> str:
    value = parse_arguments(arguments)
    if value is None or len(arguments) > MAX_RECORDED_CHARACTERS:
        value = {"unparsed": arguments[:MAX_RECORDED_CHARACTERS]}
    return json.dumps(_storable(value), ensure_ascii=False)


def _storable(value: Any) -> Any:
    """Take out of parsed JSON what Postgres cannot hold: its escapes hide it from `storable`."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, list):
        return [_storable(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, dict):
        pairs: Any = value.items()  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
        return {storable(key): _storable(item) for key, item in pairs}
    return value


def finish(
    cursor: Cursor,
    tenant_id: UUID,
    session_id: UUID,
    agent_id: str,
    position: int,
    result: ToolResult,
    *,
    latency_ms: int,
) -> None:
    """Store what became of a call, as the model sees it."""
    cursor.execute(
        FINISH,
        (
            result.status,
            result.text,
            result.cut,
            list(result.flags),
            latency_ms,
            tenant_id,
            session_id,
            agent_id,
            position,
        ),
    )


def of_session(cursor: Cursor, tenant_id: UUID, session_id: UUID) -> list[dict[str, Any]]:
    """Return all calls of a session, by agent in the order of the panel."""
    cursor.execute(OF_SESSION, (tenant_id, session_id))
    return [dict(row) for row in cursor.fetchall()]

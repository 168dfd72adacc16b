"""What agents have written so far, kept for whoever watches a session live.

The step that waits for a model writes it, now and then, on a connection that it gives back at once.
A row lives as long as its agent's call: the step deletes it, what ends the session deletes it, and
a sweep deletes what a killed worker left. Trouble here never costs an answer that is being paid
for: whoever watches then sees less.
"""

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from uuid import UUID

import psycopg2

from radiant_dagster.adapters import tenants
from radiant_dagster.adapters.postgres import Cursor, Database
from radiant_dagster.domain.live import KEPT_CHARACTERS, text_may_be_shown, tokens_so_far
from radiant_dagster.domain.swarm import storable
from radiant_dagster.errors import DatabaseUnavailable

WRITE_SECONDS = 0.4  # between two writes of one agent; a person reads no faster
DEAD_SECONDS = 120.0  # a live call writes more often, or writes again after a pause

REVIEW_OF_SESSION = """
    select require_approval, domain from radiant.session where tenant_id = %s and id = %s
"""
# Nothing is written for a session that has ended meanwhile: nobody would delete it.
WRITE = """
    insert into radiant.agent_progress (tenant_id, session_id, agent_id, text, tokens)
    select s.tenant_id, s.id, %(agent)s, %(text)s, %(tokens)s from radiant.session s
    where s.tenant_id = %(tenant)s and s.id = %(session)s and s.live and s.status = 'running'
    on conflict (tenant_id, session_id, agent_id) do update
    set text = excluded.text, tokens = excluded.tokens, updated_at = clock_timestamp()
"""
FORGET_AGENT = """
    delete from radiant.agent_progress
    where tenant_id = %s and session_id = %s and agent_id = %s
"""
FORGET_SESSION = "delete from radiant.agent_progress where tenant_id = %s and session_id = %s"
SWEEP = """
    delete from radiant.agent_progress p
    where p.updated_at < clock_timestamp() - make_interval(secs => %s)
       or not exists (select 1 from radiant.session s where s.tenant_id = p.tenant_id
                      and s.id = p.session_id and s.status = 'running')
"""


class AgentDraft:
    """Takes an agent's text in pieces and stores where it stands, now and then.

    Args:
        store: Stores the text, None where it may not be shown, and the number of tokens.
        show_text: See `text_may_be_shown`.
        clock: Seconds; counts from the end of the last write, so that a slow database is asked
            less often.
    """

    def __init__(
        self,
        store: Callable[[str | None, int], None],
        *,
        show_text: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._show_text = show_text
        self._clock = clock
        self._next_write = float("-inf")
        self._end = ""
        self._characters = 0

    def __call__(self, piece: str) -> None:
        """Take the next piece."""
        self._characters += len(piece)
        if self._show_text:
            self._end = (self._end + piece)[-KEPT_CHARACTERS:]
        if self._clock() < self._next_write:
            return
        try:
            self._store(
                storable(self._end) if self._show_text else None, tokens_so_far(self._characters)
            )
        except (DatabaseUnavailable, psycopg2.Error):
            self._next_write = float("inf")  # the answer matters more than the view of it
            return
        self._next_write = self._clock() + WRITE_SECONDS


@contextmanager
def watched(
    database: Database, tenant_id: UUID, session_id: UUID, agent_id: str, *, live: bool
) -> Generator[Callable[[str], None] | None]:
    """Yield what takes an agent's text while it is written; None where nobody watches.

    Args:
        live: The session's flag; without it this costs nothing.
    """
    if not live:
        yield None
        return
    with database.tenant_transaction(tenant_id) as cursor:
        show_text = _text_may_be_shown(cursor, tenant_id, session_id)

    def store(text: str | None, tokens: int) -> None:
        with database.tenant_transaction(tenant_id) as cursor:
            cursor.execute(
                WRITE,
                {
                    "tenant": tenant_id,
                    "session": session_id,
                    "agent": agent_id,
                    "text": text,
                    "tokens": tokens,
                },
            )

    try:
        yield AgentDraft(store, show_text=show_text)
    finally:
        _forget_agent(database, tenant_id, session_id, agent_id)


def _text_may_be_shown(cursor: Cursor, tenant_id: UUID, session_id: UUID) -> bool:
    cursor.execute(REVIEW_OF_SESSION, (tenant_id, session_id))
    row = cursor.fetchone()
    policies = tenants.domain_policies(cursor, tenant_id)
    return row is not None and text_may_be_shown(
        requested=row["require_approval"], policy=policies[row["domain"]]
    )


def _forget_agent(database: Database, tenant_id: UUID, session_id: UUID, agent_id: str) -> None:
    try:
        with database.tenant_transaction(tenant_id) as cursor:
            cursor.execute(FORGET_AGENT, (tenant_id, session_id, agent_id))
    except (DatabaseUnavailable, psycopg2.Error):
        return  # left to the sweep: the call's own result or error matters more


def forget(cursor: Cursor, tenant_id: UUID, session_id: UUID) -> None:
    """Delete what is kept of a session that ends."""
    cursor.execute(FORGET_SESSION, (tenant_id, session_id))


def sweep(database: Database) -> int:
    """Delete what killed workers left, over all tenants.

    Returns:
        How many agents' texts were deleted.
    """
    with database.system_transaction("radiant_dispatch") as cursor:
        cursor.execute(SWEEP, (DEAD_SECONDS,))
        return cursor.rowcount

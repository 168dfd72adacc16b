"""What agents have written so far: when it is stored, what of it, and that nothing stays."""

import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest

from radiant_dagster.adapters import agent_progress, run_outcomes, sessions
from radiant_dagster.adapters.agent_progress import WRITE_SECONDS, AgentDraft, watched
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.adapters.session_view import AgentProgress, progress
from radiant_dagster.domain.live import KEPT_CHARACTERS
from radiant_dagster.errors import Cancelled, DatabaseUnavailable
from tests.adapters.rows import insert, insert_session
from tests.conftest import run_sql


class Store:
    """Keeps what a draft stores, on a clock that the test turns."""

    def __init__(self, *, fails: bool = False) -> None:
        self.now = 0.0
        self.kept: list[tuple[str | None, int]] = []
        self.tries = 0
        self._fails = fails

    def __call__(self, text: str | None, tokens: int) -> None:
        self.tries += 1
        if self._fails:
            raise DatabaseUnavailable("127.0.0.1:1", "it is away")
        self.kept.append((text, tokens))
        self.now += 1.0  # a slow database

    def draft(self, *, show_text: bool = True) -> AgentDraft:
        return AgentDraft(self, show_text=show_text, clock=lambda: self.now)


def test_text_is_stored_at_once_and_then_only_now_and_then() -> None:
    store = Store()
    draft = store.draft()

    draft("Hello ")
    draft("dear ")
    store.now += WRITE_SECONDS * 0.99
    draft("old ")
    store.now += WRITE_SECONDS * 0.02
    draft("world")

    assert store.kept == [("Hello ", 2), ("Hello dear old world", 5)]


def test_only_the_end_of_a_long_text_is_kept() -> None:
    store = Store()

    store.draft()("x" * 1000 + "\x00end")

    ((text, tokens),) = store.kept
    assert text is not None
    assert (len(text), text[-4:], tokens) == (KEPT_CHARACTERS, "\ufffdend", 251)


def test_no_text_is_kept_where_it_may_not_be_shown() -> None:
    store = Store()

    store.draft(show_text=False)("secret words")

    assert store.kept == [(None, 3)]


def test_a_database_that_is_away_is_asked_once_and_costs_no_answer() -> None:
    store = Store(fails=True)
    draft = store.draft()

    draft("Hello ")
    store.now += 3600
    draft("world")

    assert store.tries == 1


@pytest.fixture
def owner(owner_url: str) -> Iterator[Any]:
    connection = psycopg2.connect(owner_url)
    connection.autocommit = True
    psycopg2.extras.register_uuid(conn_or_curs=connection)
    with connection.cursor() as cursor:
        yield cursor
    connection.close()


@pytest.fixture
def session_id(owner: Any, tenant: uuid.UUID) -> uuid.UUID:
    """A live session whose agent `a` is at work."""
    return start(owner, tenant)


def start(owner: Any, tenant: uuid.UUID, **changes: Any) -> uuid.UUID:
    values = {"live": True, "status": "running", "dagster_run_id": "run-1"} | changes
    session_id = insert_session(owner, tenant, **values)
    insert(
        owner, "agent_run", tenant_id=tenant, session_id=session_id, agent_id="a", position=0,
        role="r", model="m", temperature=0.5, max_tokens=10, status="running",
    )  # fmt: skip
    return session_id


def rows(owner: Any) -> list[tuple[str | None, int]]:
    owner.execute("select text, tokens from radiant.agent_progress")
    return owner.fetchall()


def seen(database: Database, tenant: uuid.UUID, session_id: uuid.UUID) -> AgentProgress:
    with database.tenant_transaction(tenant) as cursor:
        return progress(cursor, tenant, session_id).agents[0]


def test_a_watcher_sees_the_text_while_the_agent_writes_and_nothing_after(
    database: Database, tenant: uuid.UUID, session_id: uuid.UUID, owner: Any
) -> None:
    with watched(database, tenant, session_id, "a", live=True) as on_text:
        assert on_text is not None
        before = seen(database, tenant, session_id)
        on_text("Close the fridge.")
        during = seen(database, tenant, session_id)

    assert (before.draft, before.draft_tokens) == (None, None)
    assert (during.draft, during.draft_tokens) == ("Close the fridge.", 5)
    assert rows(owner) == []


@pytest.mark.parametrize("error", [Cancelled("The model call"), RuntimeError("bug")])
def test_nothing_stays_after_a_failure(
    database: Database,
    tenant: uuid.UUID,
    session_id: uuid.UUID,
    owner: Any,
    error: Exception,
) -> None:
    def fail() -> None:
        with watched(database, tenant, session_id, "a", live=True) as on_text:
            assert on_text is not None
            on_text("Close")
            assert rows(owner) == [("Close", 2)]
            raise error

    with pytest.raises(type(error)):
        fail()

    assert rows(owner) == []


def test_a_session_nobody_watches_pays_nothing(database: Database, owner: Any) -> None:
    nobody = uuid.uuid4()

    with watched(database, nobody, nobody, "a", live=False) as on_text:
        assert on_text is None


@pytest.mark.parametrize("changes", [{"domain": "medical"}, {"require_approval": True}])
def test_a_reviewed_sessions_text_never_reaches_the_table(
    database: Database, tenant: uuid.UUID, owner: Any, changes: dict[str, Any]
) -> None:
    reviewed = start(owner, tenant, **changes)

    with watched(database, tenant, reviewed, "a", live=True) as on_text:
        assert on_text is not None
        on_text("Take two.")

        assert rows(owner) == [(None, 3)]


def test_an_ended_session_loses_its_text_and_gets_no_more(
    database: Database, tenant: uuid.UUID, session_id: uuid.UUID, owner: Any
) -> None:
    with watched(database, tenant, session_id, "a", live=True) as on_text:
        assert on_text is not None
        on_text("Close")
        with database.tenant_transaction(tenant) as cursor:
            sessions.cancel_session(cursor, tenant, session_id, actor="ann")
        after_the_end = rows(owner)
        with watched(database, tenant, session_id, "a", live=True) as late:
            assert late is not None
            late("the fridge")
            after_more_text = rows(owner)

    assert after_the_end == after_more_text == []


def leave(owner: Any, tenant: uuid.UUID, session_id: uuid.UUID) -> None:
    """Leave a text behind as a killed worker does."""
    keys = {"tenant_id": tenant, "session_id": session_id}
    insert(owner, "agent_progress", **keys, agent_id="a", text="Close", tokens=2)


def test_a_run_that_died_takes_its_text_along(
    database: Database, tenant: uuid.UUID, session_id: uuid.UUID, owner: Any
) -> None:
    leave(owner, tenant, session_id)

    assert run_outcomes.mark_failed(database, "run-1") == 1
    assert rows(owner) == []


def test_the_sweep_deletes_what_a_killed_worker_left(
    database: Database, tenant: uuid.UUID, session_id: uuid.UUID, owner: Any, owner_url: str
) -> None:
    ended = start(owner, tenant, status="failed")
    for left in (session_id, ended):
        leave(owner, tenant, left)

    of_ended = agent_progress.sweep(database)
    at_work = rows(owner)
    run_sql(owner_url, "update radiant.agent_progress set updated_at = now() - interval '1 hour'")
    of_dead = agent_progress.sweep(database)

    assert (of_ended, at_work, of_dead) == (1, [("Close", 2)], 1)
    assert rows(owner) == []


KILLED = """
import os, signal, sys
from uuid import UUID
from radiant_dagster.adapters.agent_progress import watched
from radiant_dagster.adapters.postgres import Database

url, tenant, session = sys.argv[1:]
with watched(Database(url), UUID(tenant), UUID(session), "a", live=True) as on_text:
    on_text("Close")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_workers_text_goes_with_its_run(
    database: Database, tenant: uuid.UUID, session_id: uuid.UUID, owner: Any
) -> None:
    command = [sys.executable, "-c", KILLED, database.url, str(tenant), str(session_id)]
    killed = subprocess.run(command, check=False, timeout=60)
    left = rows(owner)

    run_outcomes.mark_cancelled(database, "run-1")

    assert (killed.returncode, left) == (-signal.SIGKILL, [("Close", 2)])
    assert rows(owner) == []

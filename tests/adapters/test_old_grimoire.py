"""A Grimoire that was filled before it kept weights, versions and links is brought up to date."""

import json
import uuid
from importlib.resources import files
from typing import Any

import psycopg2
import psycopg2.extras

from radiant_dagster.adapters.grimoire import credit
from radiant_dagster.adapters.grimoire.rebuild import differences
from radiant_dagster.adapters.migrations import (
    LOGIN_ROLES,
    MIGRATION_TABLE,
    migrate,
    migration_names,
)
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.domain.heuristics import exact_sha256
from tests.adapters.rows import insert, insert_session
from tests.adapters.test_migrations import as_login, empty_url

__all__ = ["empty_url"]  # a fixture

TENANT = uuid.UUID(int=0xACE)
TRIGGER, ACTION = "A question about cold storage", "Say how long the cold holds, and name the hour."
OLD_TO = "0010"


def migrate_to_old(owner: Any) -> None:
    """Apply the migrations before the one that made the Grimoire learn."""
    owner.execute(
        "set role radiant_owner; create schema radiant; grant usage on schema radiant to public"
    )
    owner.execute(MIGRATION_TABLE)
    for name in migration_names():
        if name < OLD_TO:
            owner.execute((files("radiant_dagster.adapters") / "sql" / name).read_text())
            owner.execute("insert into radiant.schema_migration (name) values (%s)", (name,))
    owner.execute("reset role")


def old_heuristic(owner: Any, number: int, **columns: Any) -> uuid.UUID:
    values: dict[str, Any] = {
        "tenant_id": TENANT,
        "id": uuid.UUID(int=number),
        "domain": "general",
        "trigger_pattern": TRIGGER,
        "action_template": ACTION,
        "embedding": json.dumps([1.0] + [0.0] * 383),
        "embedding_model": "all-MiniLM-L6-v2-int8",
        "state": "active",
        "content_sha256": bytes([number]),
        "created_by": "librarian",
        "expires_at": "2100-01-01",
    }
    insert(owner, "knowledge_heuristics", **(values | columns))
    return values["id"]


def old_use(
    owner: Any, session_id: uuid.UUID, item: uuid.UUID, cited: list[bool], reward: float | None
) -> None:
    for number, flag in enumerate(cited):
        insert(
            owner, "heuristic_usage", tenant_id=TENANT, session_id=session_id,
            agent_id=f"a{number}", heuristic_id=item, rank=1, similarity=0.9, cited=flag,
            reward=reward,
        )  # fmt: skip


def test_old_heuristics_and_their_uses_are_kept_and_add_up(empty_url: str) -> None:
    connection = psycopg2.connect(empty_url, cursor_factory=psycopg2.extras.RealDictCursor)
    connection.autocommit = True
    psycopg2.extras.register_uuid(conn_or_curs=connection)
    owner = connection.cursor()
    owner.execute("create extension if not exists vector")
    owner.execute("grant create on database " + empty_url.rsplit("/", 1)[1] + " to radiant_owner")
    migrate_to_old(owner)
    insert(owner, "tenant", id=TENANT, slug="acme", name="Acme")
    for name in ("general", "medical"):
        insert(
            owner, "domain_policy", tenant_id=TENANT, name=name, approval_required=False,
            deadline_seconds=60, auto_promote=True,
        )  # fmt: skip
    # As the credit of that time left them: half a session approved, a third of one rejected.
    credited = old_heuristic(owner, 1, alpha=1.5, beta=1 + 1 / 3, success_count=1, failure_count=1)
    # Credited in two parts, which counted with more than their share.
    doubled = old_heuristic(owner, 2, alpha=2.5)
    candidate = old_heuristic(owner, 3, state="quarantined")
    sessions = [insert_session(owner, TENANT) for _ in range(4)]
    old_use(owner, sessions[0], credited, [True, False], 1.0)
    old_use(owner, sessions[1], credited, [True, False, False], 0.0)
    old_use(owner, sessions[2], doubled, [True, False, True], 1.0)
    old_use(owner, sessions[3], credited, [True, True], None)

    applied = migrate(empty_url, logins={"radiant": LOGIN_ROLES})

    assert applied == [name for name in migration_names() if name >= OLD_TO]
    owner.execute(
        "select id, alpha, approved_sha256 as let_through, v.content_sha256 as of_version"
        " from radiant.knowledge_heuristics h"
        " join radiant.heuristic_version v on v.heuristic_id = h.id and v.version = 1"
    )
    rows = {row["id"]: row for row in owner.fetchall()}
    exact = exact_sha256("do", TRIGGER, ACTION)
    assert bytes(rows[credited]["let_through"]) == exact
    assert bytes(rows[candidate]["of_version"]) == exact
    assert rows[candidate]["let_through"] is None
    assert rows[credited]["alpha"] == 1.5
    assert abs(rows[doubled]["alpha"] - (1 + 2 / 3)) < 1e-6
    owner.execute("select name from radiant.domain_policy where auto_promote")
    assert [row["name"] for row in owner.fetchall()] == ["general"]

    database = Database(as_login(empty_url))
    with database.tenant_transaction(TENANT) as cursor:
        before = differences(cursor, TENANT)
        moved = credit.credit_session(cursor, TENANT, sessions[3], 1.0)
        after = differences(cursor, TENANT)
    database.close()
    connection.close()

    assert moved == 1
    assert before == after == []

"""An import against real Postgres: what waits meanwhile, in which order it locks, what is kept."""

import json
import threading
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from radiant_dagster.adapters.cato import EmbeddedCato
from radiant_dagster.adapters.embeddings import LiteLlmEmbeddings, MiniLmEmbeddings
from radiant_dagster.adapters.grimoire import files, finding, neighbours
from radiant_dagster.adapters.grimoire.texts import Checks
from radiant_dagster.adapters.postgres import Cursor, Database
from radiant_dagster.domain.phi import RuleDetector
from radiant_dagster.errors import ImportRefused
from tests.adapters.test_finding import PAID_MODEL, WAITING
from tests.services.llm_server import LlmServer

TRIGGER = "A question about cold storage in a power cut"
ACTION = "Say how long the cold holds and when the stock must move."
LINE = {
    "polarity": "do", "domain": "general", "trigger_pattern": TRIGGER, "action_template": ACTION,
}  # fmt: skip
LEASE = {
    "trigger_pattern": "A question about whether to lease a device",
    "action_template": "Compare what both cost over the life of the device.",
}
ON_LOCK = """
    select count(*) as number from pg_stat_activity
    where datname = current_database() and wait_event_type = 'Lock' and wait_event = 'advisory'
"""
FREE = "select pg_try_advisory_xact_lock(hashtextextended(%s, 0)) as free"


def lines(*changes: dict[str, Any]) -> str:
    return "\n".join(json.dumps(LINE | change) for change in changes)


def checks_with(model: Any) -> Checks:
    return Checks(model, EmbeddedCato(RuleDetector()), RuleDetector())


def ready(
    database: Database, tenant: uuid.UUID, text: str, checks: Checks, *, active: bool = False
) -> files.Ready:
    return files.prepare(
        database, tenant, text, checks,
        actor="cora", active=active, progress=lambda _done, _of: None,
    )  # fmt: skip


def store(cursor: Cursor, tenant: uuid.UUID, prepared: files.Ready) -> files.Imported:
    return files.store(
        cursor, tenant, prepared, actor="cora", now=datetime.now(UTC), new_id=uuid.uuid4
    )


def test_an_import_is_stored_and_audited_with_the_rights_of_the_api(
    api_database: Database, tenant: uuid.UUID, owner: Any
) -> None:
    checks = checks_with(MiniLmEmbeddings())
    text = lines({}, LEASE, {})
    prepared = ready(api_database, tenant, text, checks, active=True)

    with api_database.tenant_transaction(tenant) as cursor:
        done = store(cursor, tenant, prepared)

    assert (done.state, len(done.ids), done.duplicate_lines) == ("active", 2, (3,))
    owner.execute("select actor, action, detail from radiant.audit order by id")
    rows = [dict(row) for row in owner.fetchall()]
    assert [(row["actor"], row["action"]) for row in rows] == [
        ("system:import", "heuristic.quarantined"), ("cora", "heuristic.promoted"),
        ("system:import", "heuristic.quarantined"), ("cora", "heuristic.promoted"),
        ("cora", "grimoire.imported"),
    ]  # fmt: skip
    assert rows[-1]["detail"] == {"stored": 2, "duplicates": 1, "active": True}
    assert "cold" not in json.dumps([row["detail"] for row in rows])


def test_what_was_learned_between_check_and_store_is_a_duplicate_line(
    database: Database, tenant: uuid.UUID
) -> None:
    checks = checks_with(MiniLmEmbeddings())
    first, second = (ready(database, tenant, lines(LEASE, {}), checks) for _ in range(2))

    with database.tenant_transaction(tenant) as cursor:
        stored = store(cursor, tenant, first)
        again = store(cursor, tenant, second)

    assert (len(stored.ids), stored.duplicate_lines) == (2, ())
    assert (again.ids, again.duplicate_lines) == ((), (1, 2))


def test_a_model_of_which_nothing_is_stored_yet_begins_with_an_import(
    api_database: Database, tenant: uuid.UUID, models: LlmServer
) -> None:
    model = LiteLlmEmbeddings("a-new-model", base_url=models.url, dimensions=1536)
    prepared = ready(api_database, tenant, lines({}, LEASE), checks_with(model))

    with api_database.tenant_transaction(tenant) as cursor:
        done = store(cursor, tenant, prepared)
        nothing = store(cursor, tenant, replace(prepared, lines={}, embeddings=()))

    near = finding.by_meaning(api_database, tenant, model, "A question", domain=None, limit=9)
    assert {row["id"] for row in near.heuristics} == set(done.ids)
    assert nothing.ids == ()


def test_no_connection_is_held_while_the_model_embeds_the_lines(
    database: Database, tenant: uuid.UUID, models: LlmServer, owner: Any
) -> None:
    held: list[int] = []

    def look() -> None:
        owner.execute(WAITING)
        held.append(owner.fetchone()["number"])

    models.on_embed = look

    ready(
        database, tenant, lines({}), checks_with(LiteLlmEmbeddings(PAID_MODEL, base_url=models.url))
    )

    assert held == [0]


def test_a_fault_keeps_everything_from_the_model(
    database: Database, tenant: uuid.UUID, models: LlmServer
) -> None:
    checks = checks_with(LiteLlmEmbeddings(PAID_MODEL, base_url=models.url))

    with pytest.raises(ImportRefused) as refused:
        ready(database, tenant, lines({}, {"domain": "cooking"}), checks)

    assert [(fault.line, fault.field) for fault in refused.value.faults] == [(2, "domain")]
    assert models.calls == []


def test_two_imports_never_wait_for_each_other_in_a_circle(
    database: Database, tenant: uuid.UUID, owner: Any
) -> None:
    checks = checks_with(MiniLmEmbeddings())
    prepared = ready(database, tenant, lines({"domain": "legal"}, {"domain": "general"}), checks)

    def import_all() -> None:
        with database.tenant_transaction(tenant) as cursor:
            store(cursor, tenant, prepared)

    # It needs legal first by its lines, and general first by the order that all imports keep.
    with database.tenant_transaction(tenant) as cursor:
        neighbours.lock_domain(cursor, tenant, "general")
        importing = threading.Thread(target=import_all)
        importing.start()
        waits = 0
        while not waits:
            assert importing.is_alive()
            owner.execute(ON_LOCK)
            waits = owner.fetchone()["number"]
        owner.execute(FREE, (f"{tenant}:legal",))
        legal = owner.fetchone()["free"]
    importing.join()

    assert legal

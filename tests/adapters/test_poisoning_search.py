"""Attacks on what is found: to be offered to everybody, to other tenants, or as another text."""

import json
import statistics
import uuid
from collections import Counter
from typing import Any

import numpy as np
import pytest
from psycopg2 import sql

from radiant_dagster.adapters import tenants
from radiant_dagster.adapters.embeddings import MiniLmEmbeddings
from radiant_dagster.adapters.grimoire import files, purge, queue
from radiant_dagster.adapters.grimoire.hubs import hubs
from radiant_dagster.adapters.grimoire.lookup import Found, look_up
from radiant_dagster.adapters.grimoire.search import EXACT
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.client import RadiantClient
from radiant_dagster.domain.curation import Root
from radiant_dagster.domain.prompts import InjectedHeuristic, agent_messages
from radiant_dagster.domain.swarm import AgentConfig, SwarmTask
from radiant_dagster.errors import HeuristicNotFound
from tests.adapters.rows import insert_heuristic
from tests.mission_control.conftest import People, Serve, serve
from tests.services.break_outs import payloads

__all__ = ["serve"]
MODEL = MiniLmEmbeddings()
TOPICS = (
    "cold storage of vaccines", "income tax returns", "garden irrigation", "bread baking",
    "bicycle repair", "mortgage rates", "dog training", "chess openings", "solar panels",
    "hiking boots", "piano lessons", "passport renewal", "coffee roasting", "house insurance",
    "knitting patterns", "car tyres", "school enrolment", "beekeeping", "wine tasting",
    "data backups", "roof leaks", "job interviews", "marathon training", "fish tanks",
    "wedding planning", "lawn mowing", "credit cards", "sleep problems", "train tickets",
    "mobile contracts", "oil painting", "tooth pain", "camping stoves", "language courses",
    "water heaters", "stock options", "baby sleep", "photo editing", "chimney sweeping",
    "voting by mail",
)  # fmt: skip


def ask(database: Database, tenant: uuid.UUID, question: str) -> Found:
    """Look up what a session, or an agent with `grimoire_search`, would be given."""
    return look_up(
        database, lambda text: (MODEL.model_id, MODEL.embed_one(text)), tenant, "general",
        question, EXACT,
    )  # fmt: skip


def plant(owner: Any, tenant: uuid.UUID, trigger: str, vector: Any = None) -> uuid.UUID:
    vector = MODEL.embed_one(trigger) if vector is None else vector
    return insert_heuristic(
        owner, tenant, trigger_pattern=trigger, embedding=json.dumps(list(map(float, vector)))
    )


def test_a3_what_is_stuffed_with_words_or_built_as_a_hub_is_not_offered_to_everybody(
    database: Database, tenant: uuid.UUID, owner: Any
) -> None:
    triggers = [f"Somebody asks about {topic}" for topic in TOPICS]
    vectors = np.array(MODEL.embed(triggers))
    honest = [plant(owner, tenant, *pair) for pair in zip(triggers, vectors, strict=True)]
    stuffed = [
        plant(owner, tenant, f"Somebody asks about {', '.join(TOPICS[start : start + 8])}")
        for start in range(0, 40, 8)
    ]
    middles = [vectors[part].mean(axis=0) for part in (slice(40), slice(20), slice(20, 40))]
    built = [
        plant(owner, tenant, f"Somebody asks anything {n}", middle / np.linalg.norm(middle))
        for n, middle in enumerate(middles)
    ]

    offered = Counter(
        item.id
        for topic in TOPICS
        for item in ask(
            database, tenant, f"What should I know about {topic} before I begin?"
        ).offered
    )
    with database.tenant_transaction(tenant) as cursor:
        alarmed = hubs(cursor, tenant, "general", MODEL.model_id)

    median = statistics.median(offered[item] for item in honest)
    assert median >= 1
    assert max(offered[item] for item in stuffed + built) <= 2 * median
    assert set(alarmed) == set(built)


def seen_by(
    database: Database, api_database: Database, tenant: uuid.UUID, client: RadiantClient
) -> dict[str, set[uuid.UUID]]:
    """Return the heuristics that a tenant gets to see, by each way there is."""
    seen = {"consult, tool": {item.id for item in ask(database, tenant, "Cold storage").offered}}
    with api_database.tenant_transaction(tenant) as cursor:
        waiting = queue.waiting(cursor, tenant)
        derived = purge.find_derived(cursor, tenant, Root("user", "mallory"))
    seen["queue"] = {row["id"] for row in waiting.candidates}
    seen["purge"] = {row["id"] for row in derived}
    rows = files.every_heuristic(api_database, tenant, domain=None, state=None)
    seen["export"] = {row["id"] for row in rows}
    seen["API"] = {row.id for row in client.heuristics().heuristics}
    seen["API, search"] = {row.id for row in client.heuristics(q="Cold storage").heuristics}
    seen["API, ids"] = {
        found for row in seen["export"] for found in client.find_ids("grimoire", str(row)[:8])
    }
    seen["API, queue"] = {row.id for row in client.curation_queue().candidates}
    return seen


def test_a6_no_row_of_another_tenant_is_seen_on_any_way(
    database_url: str, review_url: str, tenant: uuid.UUID, owner: Any, serve: Serve
) -> None:
    # One connection each: what a tenant left on it, or in the process, the next one would find.
    database = Database(database_url, pool_size=1)
    api_database = Database(review_url, tenant_role="radiant_api", pool_size=1)
    both = {"acme": tenant, "other": uuid.uuid4()}
    tenants.create_tenant(database, both["other"], "other", "Other")
    rows: dict[str, set[uuid.UUID]] = {}
    keys: dict[str, str] = {}
    for name, tenant_id in both.items():
        people = People(api_database, tenant_id)
        keys[name] = people.key_for("cora", "curator")
        rows[name] = {
            insert_heuristic(
                owner, tenant_id, trigger_pattern="Cold storage", source_user="mallory",
                embedding=json.dumps(MODEL.embed_one("Cold storage")), state=state,
            )
            for state in ("active", "quarantined")
        }  # fmt: skip

    with serve() as site:
        clients = {name: RadiantClient(site.url, key) for name, key in keys.items()}
        seen = [
            (name, seen_by(database, api_database, both[name], clients[name]))
            for name in ("acme", "other") * 3
        ]
        for name, other in (("acme", "other"), ("other", "acme")):
            for stranger in rows[other]:
                with pytest.raises(HeuristicNotFound):
                    clients[name].heuristic(stranger)
                with pytest.raises(HeuristicNotFound):
                    clients[name].curate(stranger, "retire")
    for pool in (database, api_database):
        pool.close()

    for name, ways in seen:
        for way, found in ways.items():
            assert found, way
            assert found <= rows[name], way


def test_a7_none_of_a_hundred_texts_breaks_out_of_the_data_block() -> None:
    agent = AgentConfig("a", "analyst", "m")
    task = SwarmTask("question", "What now?", {})

    for text in payloads():
        system, user = agent_messages(task, agent, [InjectedHeuristic(1, "do", text, text)])

        document = json.loads(user["content"])
        assert set(document) == {"question", "role", "heuristics"}
        assert document["question"] == "What now?"
        assert document["heuristics"] == [{"label": "H1", "kind": "do", "when": text, "then": text}]
        assert "canary" not in system["content"]

    assert len(set(payloads())) == 100


def test_a8_a_row_that_was_changed_after_it_was_approved_is_never_offered(
    database: Database, tenant: uuid.UUID, owner: Any
) -> None:
    vector = MODEL.embed_one("Cold storage")
    honest = plant(owner, tenant, "Cold storage", vector)
    changes = ("trigger_pattern", "action_template")
    for number in range(19):  # with the honest one as many as a search looks at
        item = plant(owner, tenant, f"Cold storage {number}", vector)
        change = sql.SQL(
            "update radiant.knowledge_heuristics set {0} = {0} || ' now' where id = %s"
        )
        owner.execute(change.format(sql.Identifier(changes[number % 2])), (item,))

    found = ask(database, tenant, "Cold storage")

    assert [item.id for item in found.offered] == [honest]
    assert found.refused_changed_text == 19

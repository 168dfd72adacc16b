"""A person's search by meaning: what it finds, whose, and what waits for the model meanwhile."""

import json
import uuid
from typing import Any

import pytest

from radiant_dagster.adapters import tenants, vector_index
from radiant_dagster.adapters.embeddings import LiteLlmEmbeddings, MiniLmEmbeddings
from radiant_dagster.adapters.grimoire import finding, search
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.domain.sessions import MAX_PROMPT_CHARACTERS
from radiant_dagster.errors import InvalidInput
from tests.adapters.rows import insert_heuristic
from tests.adapters.test_grimoire_search import DIMENSIONS, SMALL_MODEL, large, scans
from tests.services.llm_server import LlmServer

MODEL = MiniLmEmbeddings()
PAID_MODEL = "text-embedding-3-small"
COLD = "A question about keeping vaccines cold in a power cut"
LEASE = "A question about whether to lease or to buy a device"
OTHER = uuid.UUID(int=0xB0B)
# Of this test's own connections: a transaction that waits for something outside of the database.
WAITING = """
    select count(*) as number from pg_stat_activity
    where datname = current_database() and state like 'idle in transaction%'
"""


def plant(owner: Any, tenant: uuid.UUID, trigger: str, **changes: Any) -> uuid.UUID:
    vector = json.dumps(MODEL.embed_one(trigger))
    return insert_heuristic(owner, tenant, trigger_pattern=trigger, embedding=vector, **changes)


def test_the_nearest_come_first_with_their_states_and_what_agents_need(
    api_database: Database, tenant: uuid.UUID, owner: Any
) -> None:
    far = plant(owner, tenant, LEASE)
    near = plant(owner, tenant, COLD, domain="medical", state="quarantined")
    plant(owner, tenant, COLD, state="retired")
    plant(owner, tenant, COLD, expires_at="2020-01-01")

    found = finding.by_meaning(
        api_database, tenant, MODEL, "Vaccine fridge without power?", domain=None, limit=5
    )
    first = finding.by_meaning(api_database, tenant, MODEL, COLD, domain=None, limit=1)
    general = finding.by_meaning(api_database, tenant, MODEL, COLD, domain="general", limit=5)

    assert [row["id"] for row in found.heuristics] == [near, far]
    assert [row["state"] for row in found.heuristics] == ["quarantined", "active"]
    assert found.heuristics[0]["similarity"] > 0.5 > found.heuristics[1]["similarity"]
    # Medical asks for closer matches.
    assert (found.floor, [row["floor"] for row in found.heuristics]) == (0.5, [0.6, 0.5])
    assert [row["id"] for row in first.heuristics] == [near]
    assert [row["id"] for row in general.heuristics] == [far]


def test_nothing_of_another_tenant_is_found(
    api_database: Database, database: Database, tenant: uuid.UUID, owner: Any
) -> None:
    tenants.create_tenant(database, OTHER, "other", "Other Clinic")
    plant(owner, OTHER, COLD)

    found = finding.by_meaning(api_database, tenant, MODEL, COLD, domain=None, limit=5)
    theirs = finding.by_meaning(api_database, OTHER, MODEL, COLD, domain=None, limit=5)

    assert (len(found.heuristics), len(theirs.heuristics)) == (0, 1)


@pytest.mark.parametrize(
    ("text", "domain", "field"),
    [(" \n", None, "text"), ("x" * (MAX_PROMPT_CHARACTERS + 1), None, "text"),
     ("a\0b", None, "text"), (COLD, "cooking", "domain")],
)  # fmt: skip
def test_what_cannot_be_looked_for_is_refused_before_anything_is_paid(
    database: Database, tenant: uuid.UUID, models: LlmServer, text: str, domain: str | None,
    field: str,
) -> None:  # fmt: skip
    model = LiteLlmEmbeddings(PAID_MODEL, base_url=models.url)

    with pytest.raises(InvalidInput) as refused:
        finding.by_meaning(database, tenant, model, text, domain=domain, limit=5)

    assert refused.value.field == field
    assert models.calls == []


def test_a_large_domain_is_searched_by_its_index_and_keeps_its_candidates(
    database_url: str, database: Database, tenant: uuid.UUID, owner: Any, owner_url: str
) -> None:
    large(database, tenant, owner, rows=300, others=10)
    vector_index.arrange(database, owner_url, 299)
    index = vector_index.index_name(tenant, "general", SMALL_MODEL)
    one = Database(database_url, pool_size=1)  # a connection tells its own statistics

    with LlmServer(dimensions=DIMENSIONS) as models:
        model = LiteLlmEmbeddings(SMALL_MODEL, dimensions=DIMENSIONS, base_url=models.url)
        candidate = insert_heuristic(
            owner, tenant, state="quarantined", embedding=json.dumps(model.embed_one(COLD)),
            embedding_model=SMALL_MODEL,
        )  # fmt: skip
        before = scans(owner, index)
        found = finding.by_meaning(one, tenant, model, COLD, domain="general", limit=10)
        vector = model.embed_one(COLD)
    with one.tenant_transaction(tenant) as cursor:
        cursor.execute("select pg_stat_force_next_flush()")
        exact = search.nearest(
            cursor, tenant, "general", SMALL_MODEL, vector, states=finding.SEARCHED, limit=10
        )
    one.close()

    assert scans(owner, index) - before == 1
    assert found.heuristics[0]["id"] == candidate
    assert len({row["id"] for row in found.heuristics} & {item.id for item in exact}) >= 9


def test_no_connection_is_held_while_the_model_works(
    database: Database, tenant: uuid.UUID, models: LlmServer, owner: Any
) -> None:
    model = LiteLlmEmbeddings(PAID_MODEL, base_url=models.url)
    held: list[int] = []

    def look() -> None:
        owner.execute(WAITING)
        held.append(owner.fetchone()["number"])

    models.on_embed = look

    found = finding.by_meaning(database, tenant, model, COLD, domain=None, limit=5)

    assert held == [0]
    assert (found.floor, found.heuristics) == (0.4, ())

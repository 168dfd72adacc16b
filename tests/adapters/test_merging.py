"""Lessons that say the same are one; a merge can be taken back; Librarians meet under a lock."""

import math
import threading
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest

from radiant_dagster.adapters import tenants
from radiant_dagster.adapters.grimoire import evidence, merging, store
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.domain.extraction import ExtractedHeuristic
from radiant_dagster.domain.learning import LearningCaps
from radiant_dagster.errors import HeuristicNotFound, InvalidInput
from tests.adapters.rows import insert_heuristic
from tests.conftest import run_sql

MODEL = "all-MiniLM-L6-v2-int8"
ACTION = "Say how long the cold holds and when the stock must move to another room."
LIBRARIANS = 8


def at(cosine: float, axis: int = 1) -> list[float]:
    """Return a unit vector with this cosine to the first axis."""
    vector = [cosine] + [0.0] * 383
    vector[axis] = math.sqrt(1 - cosine * cosine)
    return vector


def new(trigger: str = "A question about cold storage", **changes: Any) -> store.NewHeuristic:
    extracted = ExtractedHeuristic(
        decision="store",
        polarity=changes.pop("polarity", "do"),
        trigger_pattern=trigger,
        action_template=changes.pop("action", ACTION),
        rationale="",
        evidence_quotes=[],
        generality="reusable",
    )
    values: dict[str, Any] = {
        "id": uuid.uuid4(),
        "domain": "general",
        "extracted": extracted,
        "embedding": at(1.0),
        "embedding_model": MODEL,
        "session_id": None,
        "source_user": "ann",
        "outcome": "approved",
        "extraction_model": "m",
        "created_by": "librarian",
        "now": datetime.now(UTC),
    }
    return store.NewHeuristic(**values | changes)


def keep(database: Database, tenant: uuid.UUID, lesson: store.NewHeuristic) -> store.Kept:
    with database.tenant_transaction(tenant) as cursor:
        return store.keep_learned(cursor, tenant, lesson)


def rows(database: Database, tenant: uuid.UUID) -> dict[uuid.UUID, dict[str, Any]]:
    with database.tenant_transaction(tenant) as cursor:
        cursor.execute("select * from radiant.knowledge_heuristics")
        return {row["id"]: dict(row) for row in cursor.fetchall()}


def links(database: Database, tenant: uuid.UUID) -> list[tuple[str, str]]:
    with database.tenant_transaction(tenant) as cursor:
        cursor.execute("select kind, state from radiant.heuristic_link order by kind")
        return [(row["kind"], row["state"]) for row in cursor.fetchall()]


def test_eight_librarians_with_near_copies_leave_one_live_row_and_seven_merged(
    database_url: str, tenant: uuid.UUID
) -> None:
    pool = Database(database_url, pool_size=LIBRARIANS)
    start = threading.Barrier(LIBRARIANS)
    words = ("home", "ward", "shop", "farm", "van", "bus", "boat", "hut")
    kept: list[store.Kept] = []

    def learn(number: int) -> None:
        with pool.tenant_transaction(tenant) as cursor:
            start.wait()
            trigger = f"A question about cold storage in a {words[number]}"
            lesson = new(trigger, embedding=at(0.99, 1 + number))
            kept.append(store.keep_learned(cursor, tenant, lesson))

    threads = [threading.Thread(target=learn, args=(number,)) for number in range(LIBRARIANS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = rows(pool, tenant)
    pool.close()

    live = [row["id"] for row in found.values() if row["state"] == "quarantined"]
    merged = [row["merged_into"] for row in found.values() if row["state"] == "merged"]
    assert len(live) == 1
    assert merged == live * (LIBRARIANS - 1)
    assert sorted(item.kept_as for item in kept) == ["merged"] * 7 + ["stored"]


def test_caps_hold_when_librarians_of_different_domains_meet(
    database_url: str, tenant: uuid.UUID
) -> None:
    pool = Database(database_url, pool_size=LIBRARIANS)
    start = threading.Barrier(LIBRARIANS)
    caps = LearningCaps(per_user_day=3, per_tenant_day=500)
    domains = ("general", "medical", "legal", "financial")

    def learn(number: int) -> None:
        with pool.tenant_transaction(tenant) as cursor:
            start.wait()
            lesson = new(
                f"Something of its own, number {number}",
                embedding=at(0.0, 1 + number),
                domain=domains[number % 4],
            )
            store.keep_learned(cursor, tenant, lesson, caps=caps)

    threads = [threading.Thread(target=learn, args=(number,)) for number in range(LIBRARIANS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = rows(pool, tenant)
    pool.close()

    assert len(found) == 3


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        ({"embedding": at(0.97)}, ("merged", [])),
        ({"embedding": at(0.97), "action": ACTION + " Do not wait."}, ("stored", ["conflict"])),
        ({"embedding": at(0.97), "polarity": "avoid"}, ("stored", ["conflict"])),
        ({"embedding": at(0.85), "polarity": "avoid"}, ("stored", ["conflict"])),
        ({"embedding": at(0.85)}, ("stored", ["near_copy"])),
        ({"embedding": at(0.75)}, ("stored", [])),
    ],
)
def test_each_band_has_its_place(
    database: Database,
    tenant: uuid.UUID,
    second: dict[str, Any],
    expected: tuple[str, list[str]],
) -> None:
    keep(database, tenant, new())

    kept = keep(database, tenant, new("A question about cold storage at sea", **second))

    assert kept.kept_as == expected[0]
    assert links(database, tenant) == [(kind, "open") for kind in expected[1]]


def test_the_bands_are_the_embedding_models_own(
    database: Database, owner_url: str, tenant: uuid.UUID
) -> None:
    run_sql(owner_url, "update radiant.embedding_model set merge_at = 0.99, link_at = 0.9")
    keep(database, tenant, new())

    near = keep(database, tenant, new("A question about cold storage at sea", embedding=at(0.97)))
    far = keep(database, tenant, new("Cold storage, a question about it", embedding=at(0.85, 2)))

    assert (near.kept_as, far.kept_as) == ("stored", "stored")
    assert links(database, tenant) == [("near_copy", "open")]


def test_the_text_of_a_merged_row_counts_for_the_row_that_lives_on(
    database: Database, tenant: uuid.UUID
) -> None:
    first = keep(database, tenant, new())
    copy = new("A question about cold storage at sea", embedding=at(0.97))
    second = keep(database, tenant, copy)

    again = keep(database, tenant, new("a question about COLD storage at sea"))
    with database.tenant_transaction(tenant) as cursor:
        evidence.add(cursor, tenant, second.heuristic_id or uuid.uuid4(), 0.75)

    found = rows(database, tenant)
    assert again == store.Kept("rederived", second.heuristic_id)
    for kept in (first, second):
        row = found[kept.heuristic_id]  # type: ignore[index]
        assert (row["alpha"], row["beta"]) == (1.75, 1.25)


def merged_pair(database: Database, tenant: uuid.UUID, **loser: Any) -> tuple[uuid.UUID, uuid.UUID]:
    with database.tenant_transaction(tenant) as cursor:
        gone = insert_heuristic(cursor, tenant, alpha=3, beta=1.5, **loser)
        kept = insert_heuristic(cursor, tenant, alpha=2, beta=2)
        a, b = sorted((gone, kept))
        cursor.execute(
            "insert into radiant.heuristic_link (tenant_id, a, b, kind, similarity)"
            " values (%s, %s, %s, 'near_copy', 0.9)",
            (tenant, a, b),
        )
        merging.merge_into(cursor, tenant, gone, kept, actor="cora")
    return gone, kept


@pytest.mark.parametrize("state", ["active", "quarantined"])
def test_a_merge_folds_the_evidence_in_and_can_be_taken_back(
    database: Database, tenant: uuid.UUID, state: str
) -> None:
    gone, kept = merged_pair(database, tenant, state=state)
    merged, closed = rows(database, tenant), links(database, tenant)

    with database.tenant_transaction(tenant) as cursor:
        evidence.add(cursor, tenant, gone, 1.0)  # a session that re-derived the loser meanwhile
        merging.unmerge(cursor, tenant, gone, actor="cora")

    apart = rows(database, tenant)
    assert (merged[gone]["state"], merged[gone]["merged_into"]) == ("merged", kept)
    assert (merged[kept]["alpha"], merged[kept]["beta"]) == (4, 2.5)
    assert merged[gone]["action_template"] != merged[kept]["action_template"]
    assert closed == [("near_copy", "merged")]
    assert (apart[gone]["state"], apart[gone]["merged_into"]) == (state, None)
    assert (apart[gone]["alpha"], apart[gone]["beta"]) == (4, 1.5)
    assert (apart[kept]["alpha"], apart[kept]["beta"]) == (2, 2)
    assert links(database, tenant) == [("near_copy", "open")]


def test_an_unmerge_deep_inside_leaves_every_row_above_as_it_was(
    database: Database, tenant: uuid.UUID
) -> None:
    gone, kept = merged_pair(database, tenant)
    with database.tenant_transaction(tenant) as cursor:
        top = insert_heuristic(cursor, tenant)
        merging.merge_into(cursor, tenant, kept, top, actor="cora")
        merging.unmerge(cursor, tenant, gone, actor="cora")

    found = rows(database, tenant)
    assert (found[kept]["alpha"], found[kept]["beta"]) == (2, 2)
    assert (found[top]["alpha"], found[top]["beta"]) == (2, 2)


def test_only_live_rows_of_one_kind_are_merged(database: Database, tenant: uuid.UUID) -> None:
    with database.tenant_transaction(tenant) as cursor:
        own = insert_heuristic(cursor, tenant)
        others = [
            insert_heuristic(cursor, tenant, **changes)
            for changes in ({"polarity": "avoid"}, {"domain": "legal"}, {"state": "retired"})
        ]

    for other in (*others, own):
        with database.tenant_transaction(tenant) as cursor, pytest.raises(InvalidInput):
            merging.merge_into(cursor, tenant, own, other, actor="cora")
    with database.tenant_transaction(tenant) as cursor, pytest.raises(InvalidInput):
        merging.unmerge(cursor, tenant, own, actor="cora")


def test_another_tenants_heuristic_cannot_be_merged(database: Database, tenant: uuid.UUID) -> None:
    stranger = uuid.uuid4()
    tenants.create_tenant(database, stranger, "other", "Other")
    with database.tenant_transaction(stranger) as cursor:
        theirs = insert_heuristic(cursor, stranger)
    with database.tenant_transaction(tenant) as cursor:
        own = insert_heuristic(cursor, tenant)

    for pair in ((own, theirs), (theirs, own)):
        with database.tenant_transaction(tenant) as cursor, pytest.raises(HeuristicNotFound):
            merging.merge_into(cursor, tenant, *pair, actor="cora")


def test_a_merge_is_not_taken_back_into_a_second_live_row_of_one_text(
    database: Database, tenant: uuid.UUID
) -> None:
    gone, _ = merged_pair(database, tenant)
    with database.tenant_transaction(tenant) as cursor:
        insert_heuristic(cursor, tenant, content_sha256=gone.bytes)

    with (
        database.tenant_transaction(tenant) as cursor,
        pytest.raises(InvalidInput, match="text of a live one"),
    ):
        merging.unmerge(cursor, tenant, gone, actor="cora")

"""What a session is offered: never a changed text, never both of a pair, and no row lost."""

import io
import json
import uuid
from typing import Any

import numpy as np
import pytest
from psycopg2 import sql

from radiant_dagster.adapters import tenants, vector_index
from radiant_dagster.adapters.grimoire import search
from radiant_dagster.adapters.grimoire.lookup import look_up
from radiant_dagster.adapters.postgres import Database
from tests.adapters.rows import insert, insert_heuristic

MODEL = "all-MiniLM-L6-v2-int8"
QUERY = [1.0] + [0.0] * 383
SMALL_MODEL, DIMENSIONS = "test-model-16", 16
OTHER = uuid.UUID(int=0xB0B)


def embed(_: str) -> tuple[str, list[float]]:
    return MODEL, QUERY


def turned(degrees: float) -> str:
    angle = np.radians(degrees)
    return json.dumps([float(np.cos(angle)), float(np.sin(angle))] + [0.0] * 382)


def test_an_active_row_whose_text_was_changed_is_never_offered_and_is_counted(
    database: Database, tenant: uuid.UUID, owner: Any
) -> None:
    honest = insert_heuristic(owner, tenant)
    for column in ("trigger_pattern", "action_template"):
        edited = insert_heuristic(owner, tenant)
        change = sql.SQL(
            "update radiant.knowledge_heuristics set {0} = {0} || ' now' where id = %s"
        )
        owner.execute(change.format(sql.Identifier(column)), (edited,))
    turned_round = insert_heuristic(owner, tenant)
    owner.execute(
        "update radiant.knowledge_heuristics set polarity = 'avoid' where id = %s", (turned_round,)
    )
    insert_heuristic(owner, tenant, approved_sha256=None)

    found = look_up(database, embed, tenant, "general", "A question", search.EXACT)

    assert [item.id for item in found.offered] == [honest]
    assert found.refused_changed_text == 4


@pytest.mark.parametrize("state", ["open", "merged", "kept_apart", "resolved"])
def test_of_two_that_wait_for_a_curator_only_the_better_is_offered(
    database: Database, tenant: uuid.UUID, owner: Any, state: str
) -> None:
    better = insert_heuristic(owner, tenant, alpha=9)
    worse = insert_heuristic(owner, tenant, embedding=turned(40))
    a, b = sorted((better, worse))
    insert(
        owner, "heuristic_link", tenant_id=tenant, a=a, b=b, kind="near_copy", similarity=0.9,
        state=state,
    )  # fmt: skip

    found = look_up(database, embed, tenant, "general", "A question", search.EXACT)

    offered = [item.id for item in found.offered]
    assert offered == ([better] if state == "open" else [better, worse])


def test_a_code_finds_its_heuristic_only_where_the_rescue_is_on(
    database: Database, tenant: uuid.UUID, owner: Any
) -> None:
    far = turned(63)  # similarity .45, below MiniLM's floor of .50
    coded = insert_heuristic(
        owner, tenant, embedding=far, trigger_pattern="A bill under section 12-104 of the act"
    )
    insert_heuristic(
        owner, tenant, embedding=far, trigger_pattern="A bill under section 12-1045 of the act"
    )
    question = "Does 12-104 apply to us?"

    without = look_up(database, embed, tenant, "general", question, search.EXACT)
    rescued = look_up(
        database, embed, tenant, "general", question, search.SearchOptions(rescue=True)
    )

    assert without.offered == ()
    assert [item.id for item in rescued.offered] == [coded]
    assert rescued.offered[0].similarity == pytest.approx(0.454, abs=0.01)


def clustered(random: np.random.Generator, count: int) -> np.ndarray:
    centres = np.random.default_rng(1).normal(size=(60, DIMENSIONS))
    rows = centres[random.integers(0, 60, count)] + random.normal(0, 0.5, (count, DIMENSIONS))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def copy_rows(owner: Any, tenant: uuid.UUID, domain: str, vectors: np.ndarray) -> None:
    lines = io.StringIO()
    for vector in vectors:
        item = uuid.uuid4()
        text = ",".join(f"{part:.5f}" for part in vector)
        lines.write(
            f"{tenant}\t{item}\t{domain}\tA question of some kind\tName the source and its "
        )
        lines.write(f"date.\t[{text}]\t{SMALL_MODEL}\tactive\t\\\\x{item.hex}\thuman\t2100-01-01\n")
    lines.seek(0)
    owner.copy_expert(
        "copy radiant.knowledge_heuristics (tenant_id, id, domain, trigger_pattern,"
        " action_template, embedding, embedding_model, state, content_sha256, created_by,"
        " expires_at) from stdin",
        lines,
    )


def recall(found: list[list[uuid.UUID]], truth: list[list[uuid.UUID]]) -> float:
    shares = [len(set(a[:10]) & set(b[:10])) / 10 for a, b in zip(found, truth, strict=True)]
    return sum(shares) / len(shares)


def crowd(
    database: Database, tenant: uuid.UUID, owner: Any, *, rows: int, others: int
) -> list[list[float]]:
    """Fill one tenant and domain, and another's, and index them; return queries."""
    random = np.random.default_rng(7)
    tenants.create_tenant(database, OTHER, "other", "Other")
    with database.tenant_transaction(tenant) as cursor:
        search.register_model(cursor, SMALL_MODEL, DIMENSIONS, 0.5, "a test")
    copy_rows(owner, tenant, "general", clustered(random, rows))
    copy_rows(owner, OTHER, "general", clustered(random, others))
    assert vector_index.create_missing(owner) == [SMALL_MODEL]
    owner.execute("analyze radiant.knowledge_heuristics")
    return clustered(random, 40).tolist()


def test_the_biggest_tenant_loses_nothing_by_the_vector_index(
    database: Database, tenant: uuid.UUID, owner: Any
) -> None:
    queries = crowd(database, tenant, owner, rows=3_000, others=27_000)
    by_index = search.SearchOptions(exact_rows=2_000)

    def ask(how: search.SearchOptions) -> list[list[uuid.UUID]]:
        with database.tenant_transaction(tenant) as cursor:
            return [
                [c.id for c in search.nearest(cursor, tenant, "general", SMALL_MODEL, q, how=how)]
                for q in queries
            ]

    truth, found = ask(search.EXACT), ask(by_index)
    trapped = without_iterative_scan(database, tenant, queries)

    assert recall(found, truth) >= 0.98
    # What the figure above would be without the iterative scan: this test can fail.
    assert recall(trapped, truth) < 0.9


def without_iterative_scan(
    database: Database, tenant: uuid.UUID, queries: list[list[float]]
) -> list[list[uuid.UUID]]:
    found: list[list[uuid.UUID]] = []
    statement = sql.SQL(search.NEAREST_BY_INDEX).format(sql.Literal(DIMENSIONS))
    with database.tenant_transaction(tenant) as cursor:
        cursor.execute(search.ASK_THE_INDEX, (search.EF_SEARCH,))
        cursor.execute("set local hnsw.iterative_scan = off")
        for query in queries:
            values = {"query": search.halfvec(query), "tenant": tenant, "domain": "general"}
            values |= {"model": SMALL_MODEL, "confidence": 0.3, "limit": search.CANDIDATES}
            cursor.execute(statement, values)
            rows = cursor.fetchall()
            found.append([r["id"] for r in sorted(rows, key=lambda r: -r["similarity"])])
    return found


def test_the_size_decides_whether_the_index_is_asked_and_never_the_planner(
    database: Database, tenant: uuid.UUID, owner: Any
) -> None:
    rows = 300
    query = crowd(database, tenant, owner, rows=rows, others=300)[0]
    name = vector_index.index_name(SMALL_MODEL)

    def scans() -> int:
        owner.execute("select pg_stat_clear_snapshot()")
        owner.execute(
            "select idx_scan as n from pg_stat_user_indexes where indexrelname = %s", (name,)
        )
        return owner.fetchone()["n"]

    def ask(exact_rows: int) -> int:
        before = scans()
        how = search.SearchOptions(exact_rows=exact_rows)
        with database.tenant_transaction(tenant) as cursor:
            search.nearest(cursor, tenant, "general", SMALL_MODEL, query, how=how)
            cursor.execute("select current_setting('enable_sort') as sort")
            row = cursor.fetchone()
            cursor.execute("select pg_stat_force_next_flush()")
        assert row is not None
        assert row["sort"] == "on"
        return scans() - before

    assert ask(rows - 1) == 1
    assert ask(rows) == 0
    owner.execute(sql.SQL("drop index radiant.{}").format(sql.Identifier(name)))
    how = search.SearchOptions(exact_rows=rows - 1)
    with database.tenant_transaction(tenant) as cursor:
        near = search.nearest(cursor, tenant, "general", SMALL_MODEL, query, how=how)
    assert len(near) == search.CANDIDATES


def test_a_model_that_is_crowded_and_lacks_its_index_is_noticed(
    database: Database, tenant: uuid.UUID, owner: Any
) -> None:
    with database.tenant_transaction(tenant) as cursor:
        search.register_model(cursor, SMALL_MODEL, DIMENSIONS, 0.5, "a test")
        search.register_model(cursor, "too-long", 8_000, 0.5, "a test")
    copy_rows(owner, tenant, "general", clustered(np.random.default_rng(2), 5))

    with database.system_transaction("radiant_maintenance") as cursor:
        missing = vector_index.without_index(cursor)
        above, at = (vector_index.crowded(cursor, SMALL_MODEL, n) for n in (4, 5))
    vector_index.create_missing(owner)

    assert missing == {SMALL_MODEL: DIMENSIONS}
    assert (above, at) == (1, 0)
    assert vector_index.without_index(owner) == {}
    assert vector_index.create_missing(owner) == []

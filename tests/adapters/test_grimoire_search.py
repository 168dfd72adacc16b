"""What a session is offered: never a changed text, never both of a pair, and no row lost."""

import io
import json
import uuid
from concurrent.futures import ThreadPoolExecutor
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
SMALL_MODEL, DIMENSIONS = "test-model-32", 32
OTHER = uuid.UUID(int=0xB0B)
EXACT, BY_INDEX = search.EXACT, search.SearchOptions(by_index=True)


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


# Scattered so widely that a search which looks at few rows of the graph loses some: at an ef_search
# of 20 recall is .91.
def clustered(random: np.random.Generator, count: int) -> np.ndarray:
    centres = np.random.default_rng(1).normal(size=(60, DIMENSIONS))
    rows = centres[random.integers(0, 60, count)] + random.normal(0, 3.0, (count, DIMENSIONS))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def copy_rows(
    owner: Any, tenant: uuid.UUID, domain: str, vectors: np.ndarray, model: str = SMALL_MODEL
) -> None:
    lines = io.StringIO()
    for vector in vectors:
        item = uuid.uuid4()
        text = ",".join(f"{part:.5f}" for part in vector)
        lines.write(
            f"{tenant}\t{item}\t{domain}\tA question of some kind\tName the source and its "
        )
        lines.write(f"date.\t[{text}]\t{model}\tactive\t\\\\x{item.hex}\thuman\t2100-01-01\n")
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


def large(
    database: Database, tenant: uuid.UUID, owner: Any, *, rows: int, others: int
) -> list[list[float]]:
    """Fill a domain of one tenant, and another tenant's; return queries."""
    random = np.random.default_rng(7)
    tenants.create_tenant(database, OTHER, "other", "Other")
    with database.tenant_transaction(tenant) as cursor:
        search.register_model(cursor, SMALL_MODEL, DIMENSIONS)
    copy_rows(owner, tenant, "general", clustered(random, rows))
    copy_rows(owner, OTHER, "general", clustered(random, others))
    owner.execute("analyze radiant.knowledge_heuristics")
    return clustered(random, 40).tolist()


def ask(
    database: Database,
    tenant: uuid.UUID,
    queries: list[list[float]],
    how: search.SearchOptions = BY_INDEX,
) -> list[list[uuid.UUID]]:
    with database.tenant_transaction(tenant) as cursor:
        return [
            [c.id for c in search.nearest(cursor, tenant, "general", SMALL_MODEL, q, how=how)]
            for q in queries
        ]


def without_iterative_scan(
    database: Database, tenant: uuid.UUID, queries: list[list[float]]
) -> list[list[uuid.UUID]]:
    found: list[list[uuid.UUID]] = []
    statement = sql.SQL(search.NEAREST_BY_INDEX).format(sql.Literal(DIMENSIONS))
    name = vector_index.index_name(tenant, "general", SMALL_MODEL)
    with database.tenant_transaction(tenant) as cursor:
        cursor.execute(search.ASK_THE_INDEX, (search.EF_SEARCH, f"radiant.{name}", SMALL_MODEL))
        cursor.execute("set local hnsw.iterative_scan = off")
        for query in queries:
            values = {"query": search.halfvec(query), "tenant": tenant, "domain": "general"}
            values |= {"model": SMALL_MODEL, "confidence": 0.3, "limit": search.CANDIDATES}
            cursor.execute(statement, values)
            rows = cursor.fetchall()
            found.append([r["id"] for r in sorted(rows, key=lambda r: -r["similarity"])])
    return found


def test_the_biggest_tenant_loses_nothing_by_its_vector_index(
    database: Database, tenant: uuid.UUID, owner: Any, owner_url: str
) -> None:
    queries = large(database, tenant, owner, rows=6_000, others=24_000)

    done = vector_index.arrange(database, owner_url, 5_000)

    assert {item.tenant_id: covered(owner, item.index) for item in done.created} == {
        tenant: 6_000,
        OTHER: 24_000,
    }
    for one in (tenant, OTHER):
        assert recall(ask(database, one, queries), ask(database, one, queries, EXACT)) >= 0.98


def test_expired_rows_around_a_question_hide_nothing_behind_them(
    database: Database, tenant: uuid.UUID, owner: Any, owner_url: str
) -> None:
    queries = large(database, tenant, owner, rows=4_000, others=10)
    owner.execute(
        "update radiant.knowledge_heuristics set expires_at = now() - interval '1 hour' where id in"
        " (select id from radiant.knowledge_heuristics order by id limit 3920)"
    )

    vector_index.arrange(database, owner_url, 1_000)

    truth = ask(database, tenant, queries, EXACT)
    assert recall(ask(database, tenant, queries), truth) >= 0.98
    # What the figure would be without the iterative scan: this test can fail.
    assert recall(without_iterative_scan(database, tenant, queries), truth) < 0.9


def covered(owner: Any, index: str) -> int:
    owner.execute("select reltuples::int as n from pg_class where relname = %s", (index,))
    return owner.fetchone()["n"]


def scans(owner: Any, name: str) -> int:
    owner.execute("select pg_stat_clear_snapshot()")
    owner.execute("select idx_scan as n from pg_stat_user_indexes where indexrelname = %s", (name,))
    return owner.fetchone()["n"]


def test_an_index_that_is_there_is_asked_and_never_the_planner(
    database: Database, tenant: uuid.UUID, owner: Any, owner_url: str
) -> None:
    query = large(database, tenant, owner, rows=300, others=300)[0]
    vector_index.arrange(database, owner_url, 299)
    name = vector_index.index_name(tenant, "general", SMALL_MODEL)

    def scanned(how: search.SearchOptions) -> int:
        before = scans(owner, name)
        with database.tenant_transaction(tenant) as cursor:
            near = search.nearest(cursor, tenant, "general", SMALL_MODEL, query, how=how)
            cursor.execute("select current_setting('enable_sort') as sort")
            row = cursor.fetchone()
            cursor.execute("select pg_stat_force_next_flush()")
        assert row is not None
        assert (row["sort"], len(near)) == ("on", search.CANDIDATES)
        return scans(owner, name) - before

    assert scanned(BY_INDEX) == 1
    assert scanned(EXACT) == 0


@pytest.mark.parametrize("missing", ["dropped", "invalid"])
def test_a_domain_without_a_usable_index_is_searched_exactly(
    database: Database, tenant: uuid.UUID, owner: Any, owner_url: str, missing: str
) -> None:
    queries = large(database, tenant, owner, rows=300, others=300)
    (mine,) = (
        item for item in vector_index.arrange(database, owner_url, 299).created
        if item.tenant_id == tenant
    )  # fmt: skip
    if missing == "dropped":
        owner.execute(sql.SQL("drop index radiant.{}").format(sql.Identifier(mine.index)))
    else:
        owner.execute(
            "update pg_index set indisvalid = false where indexrelid = to_regclass(%s)",
            (f"radiant.{mine.index}",),
        )

    found = ask(database, tenant, queries)

    assert found == ask(database, tenant, queries, EXACT)
    assert vector_index.arrange(database, owner_url, 299).created == (mine,)


def test_a_domain_gets_its_index_above_the_limit_and_keeps_it_down_to_half(
    database: Database, tenant: uuid.UUID, owner: Any, owner_url: str
) -> None:
    with database.tenant_transaction(tenant) as cursor:
        search.register_model(cursor, SMALL_MODEL, DIMENSIONS)
        search.register_model(cursor, "too-long", 8_000)
    copy_rows(owner, tenant, "general", clustered(np.random.default_rng(2), 9))
    insert_heuristic(owner, tenant, embedding_model="too-long", embedding=[0.0] * 8_000)

    def lacking(rows: int) -> int:
        with database.system_transaction("radiant_maintenance") as cursor:
            return len(vector_index.without_index(cursor, rows))

    def arranged(rows: int) -> tuple[int, int]:
        done = vector_index.arrange(database, owner_url, rows)
        return len(done.created), len(done.dropped)

    assert (lacking(9), lacking(8), lacking(0)) == (0, 1, 1)
    assert arranged(9) == (0, 0)
    assert arranged(8) == (1, 0)
    assert lacking(8) == 0
    assert arranged(17) == (0, 0)
    assert arranged(18) == (0, 1)


def test_an_index_that_was_interrupted_is_dropped_where_its_domain_is_too_small_for_one_by_now(
    database: Database, tenant: uuid.UUID, owner: Any, owner_url: str
) -> None:
    with database.tenant_transaction(tenant) as cursor:
        search.register_model(cursor, SMALL_MODEL, DIMENSIONS)
    copy_rows(owner, tenant, "general", clustered(np.random.default_rng(2), 9))
    (made,) = vector_index.arrange(database, owner_url, 8).created
    owner.execute(
        "update pg_index set indisvalid = false where indexrelid = to_regclass(%s)",
        (f"radiant.{made.index}",),
    )

    done = vector_index.arrange(database, owner_url, 12)

    assert (done.created, done.dropped) == ((), (made.index,))


def test_the_indexes_of_one_tenant_are_dropped_and_the_others_stay(
    database: Database, tenant: uuid.UUID, owner: Any, owner_url: str
) -> None:
    large(database, tenant, owner, rows=3, others=3)
    made = {
        item.tenant_id: item.index for item in vector_index.arrange(database, owner_url, 2).created
    }

    dropped = vector_index.drop_of_tenant(owner_url, tenant)

    assert dropped == (made[tenant],)
    owner.execute(
        "select indexname as name from pg_indexes where starts_with(indexname, 'heuristic_near')"
    )
    assert [row["name"] for row in owner.fetchall()] == [made[OTHER]]


def test_the_largest_domains_get_an_index_and_no_more_than_can_be_afforded(
    database: Database, tenant: uuid.UUID, owner: Any, owner_url: str
) -> None:
    models = [f"model-{n:03}" for n in range(vector_index.MOST_INDEXES + 2)]
    vectors = clustered(np.random.default_rng(2), 3)
    for name in models:
        with database.tenant_transaction(tenant) as cursor:
            search.register_model(cursor, name, DIMENSIONS)
        copy_rows(owner, tenant, "general", vectors[: 2 if name in models[:2] else 3], name)

    done = vector_index.arrange(database, owner_url, 1)

    assert {item.model_id for item in done.created} == set(models[2:])
    with database.system_transaction("radiant_maintenance") as cursor:
        assert vector_index.without_index(cursor, 1) == ()


def test_two_arrangements_at_once_make_one_index(
    database: Database, tenant: uuid.UUID, owner: Any, owner_url: str
) -> None:
    large(database, tenant, owner, rows=300, others=10)

    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: vector_index.arrange(database, owner_url, 299), range(4)))

    assert sum(len(item.created) for item in done) == 1
    with database.system_transaction("radiant_maintenance") as cursor:
        assert vector_index.without_index(cursor, 299) == ()


def test_an_index_of_all_tenants_that_an_older_release_made_is_dropped(
    database: Database, tenant: uuid.UUID, owner: Any, owner_url: str
) -> None:
    owner.execute(
        "create index heuristic_near_0123456789abcdef on radiant.knowledge_heuristics using hnsw"
        " ((embedding::halfvec(16)) halfvec_cosine_ops) where state = 'active'"
    )

    done = vector_index.arrange(database, owner_url, 5_000)

    assert done.dropped == ("heuristic_near_0123456789abcdef",)

"""Maintenance beside everything else: merges, pins, sessions at work, replaced embedding models."""

import json
import threading
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg2
import pytest

from radiant_dagster.adapters.grimoire import credit, curation, figures, scan, store, upkeep
from radiant_dagster.adapters.grimoire.reembed import BATCH, old_vectors, reembed, reembed_all
from radiant_dagster.adapters.grimoire.search import nearest
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.errors import EmbeddingUnavailable
from tests.adapters.rows import insert, insert_heuristic, insert_session
from tests.adapters.test_credit import Book, book
from tests.adapters.test_grimoire import MODEL, new

__all__ = ["book"]  # fixtures

LONG_AGO = "2020-01-01"


def test_what_was_merged_stays_for_as_long_as_its_survivor_is_there(book: Book) -> None:
    last = book.heuristic(state="retired")
    middle = book.heuristic(state="merged", merged_into=last, updated_at=LONG_AGO)
    first = book.heuristic(state="merged", merged_into=middle, updated_at=LONG_AGO)

    kept = upkeep.maintain(book.database)["deleted"]
    book.owner.execute(
        "update radiant.knowledge_heuristics set updated_at = %s where id = %s", (LONG_AGO, last)
    )
    deleted = upkeep.maintain(book.database)["deleted"]

    assert kept == 0
    assert deleted == 3
    book.owner.execute(
        "select count(*) as n from radiant.knowledge_heuristics where id = any(%s::uuid[])",
        ([str(item) for item in (first, middle, last)],),
    )
    assert book.owner.fetchone()["n"] == 0


@pytest.mark.parametrize(
    "change",
    [
        "update radiant.knowledge_heuristics set state = 'expired' where id = %s",
        "update radiant.knowledge_heuristics set state = 'retired' where id = %s",
        "delete from radiant.knowledge_heuristics where id = %s",
    ],
)
@pytest.mark.parametrize(
    "columns",
    [
        {},
        {"pinned": True, "expires_at": LONG_AGO},
        {"pinned": True, "alpha": 1, "beta": 9},
        {"state": "retired"},
    ],
)
def test_the_maintenance_role_cannot_touch_what_is_not_due(
    book: Book, change: str, columns: dict[str, Any]
) -> None:
    item = book.heuristic(**columns)

    with book.database.system_transaction("radiant_maintenance") as cursor:
        cursor.execute(change, (item,))
        touched = cursor.rowcount

    assert touched == 0


@pytest.mark.parametrize(
    "query",
    [
        "select trigger_pattern from radiant.knowledge_heuristics",
        "select action_template from radiant.knowledge_heuristics",
        "select prompt from radiant.session",
        "select heuristics from radiant.session",
        "select user_id from radiant.session",
        "select actor from radiant.audit",
        "select source_user from radiant.librarian_decision",
        "update radiant.knowledge_heuristics set alpha = 9",
    ],
)
def test_the_maintenance_role_reads_no_text_and_no_name(database: Database, query: str) -> None:
    with (
        pytest.raises(psycopg2.errors.InsufficientPrivilege),
        database.system_transaction("radiant_maintenance") as cursor,
    ):
        cursor.execute(query)


def test_what_a_session_is_crediting_is_left_for_the_next_day(
    database_url: str, book: Book
) -> None:
    item = book.heuristic(alpha=1, beta=9)
    session_id = book.session({item: [True]})
    pool = Database(database_url, pool_size=2)

    with pool.tenant_transaction(book.tenant) as cursor:
        credit.credit_session(cursor, book.tenant, session_id, 1.0)
        meanwhile = upkeep.maintain(pool)
    pool.close()

    assert meanwhile["retired"] == 0
    assert book.row(item)["state"] == "active"
    assert book.row(item)["alpha"] == 2


def test_maintenance_credit_learning_and_promotion_at_once_lose_nothing(
    database_url: str, book: Book
) -> None:
    rounds = 12
    pool = Database(database_url, pool_size=8)
    wide = Book(pool, book.tenant, book.owner)
    items = [book.heuristic() for _ in range(4)]
    lapsing = [book.heuristic(expires_at=LONG_AGO) for _ in range(6)]
    sessions = [
        book.session({item: [True] for item in [*items, lapsing[n % 6]]}, user=f"u{n}")
        for n in range(rounds)
    ]
    start = threading.Barrier(4)

    def credits() -> None:
        start.wait()
        for session_id in sessions:
            wide.credit(session_id)

    def maintenance() -> None:
        start.wait()
        for _ in range(rounds):
            upkeep.maintain(pool)

    def keep_and_promote() -> None:
        for number in range(rounds):
            with pool.tenant_transaction(book.tenant) as cursor:
                trigger = f"A question about cold storage {number % 3}"
                lesson = new(number, trigger=trigger)
                if store.keep_learned(cursor, book.tenant, lesson).kept_as == "stored":
                    curation.promote(cursor, book.tenant, lesson.id, actor="lee")

    def learn() -> None:
        start.wait()
        keep_and_promote()

    with ThreadPoolExecutor(4) as threads:
        work = [threads.submit(job) for job in (credits, maintenance, learn, learn)]
        for job in work:
            job.result()
    upkeep.maintain(pool)
    again = upkeep.maintain(pool)
    pool.close()

    assert again == {"expired": 0, "retired": 0, "deleted": 0}
    assert [book.row(item)["alpha"] for item in items] == [1.0 + rounds] * 4
    assert [book.row(item)["alpha"] for item in lapsing] == [3.0] * 6
    assert book.differing() == []
    book.owner.execute(
        "select count(*) as n from radiant.knowledge_heuristics where created_by = 'librarian'"
    )
    assert book.owner.fetchone()["n"] == 3


class Turned:
    """An embedding model of four dimensions that fails once it has embedded so many texts."""

    model_id = "turned-4"
    dimensions = 4

    def __init__(self, fails_after: int = 1_000_000) -> None:
        self.left = fails_after
        self.batches: list[int] = []

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        if len(texts) > self.left:
            raise EmbeddingUnavailable(self.model_id, "a test")
        self.left -= len(texts)
        self.batches.append(len(texts))
        return [[0.0, 1.0, 0.0, 0.0] for _ in texts]

    def embed_one(self, text: str) -> list[float]:
        return self.embed([text])[0]


def test_rows_of_a_replaced_model_are_embedded_again_in_batches_after_a_crash_as_well(
    book: Book,
) -> None:
    items = [book.heuristic() for _ in range(2 * BATCH + 3)]
    told: list[tuple[int, int]] = []
    broken, whole = Turned(fails_after=BATCH), Turned()

    with pytest.raises(EmbeddingUnavailable):
        reembed(book.database, book.tenant, broken)
    left = old_vectors(book.database, book.tenant, Turned.model_id)
    done = reembed(
        book.database, book.tenant, whole, progress=lambda n, total: told.append((n, total))
    )
    again = reembed_all(book.database, whole)

    assert left == BATCH + 3  # these still have their old vector
    assert (done, again) == (BATCH + 3, 0)
    assert whole.batches == [BATCH, 3]
    assert told == [(BATCH, BATCH + 3), (BATCH + 3, BATCH + 3)]
    with book.database.tenant_transaction(book.tenant) as cursor:
        query = [0.0, 1.0, 0.0, 0.0]
        found = nearest(cursor, book.tenant, "general", Turned.model_id, query, limit=500)
        old = nearest(cursor, book.tenant, "general", MODEL, [1.0] + [0.0] * 383)
    assert {item.id for item in found} == set(items)
    assert old == ()


def test_a_text_that_a_curator_changes_meanwhile_gets_no_vector_of_its_old_words(
    book: Book,
) -> None:
    item = book.heuristic()

    class Slow(Turned):
        def embed(self, texts: Sequence[str]) -> list[list[float]]:
            book.owner.execute(
                "update radiant.knowledge_heuristics set version = version + 1,"
                " embedding = '[1, 0, 0, 0]', embedding_model = 'turned-4' where id = %s",
                (item,),
            )
            return super().embed(texts)

    done = reembed(book.database, book.tenant, Slow())

    assert done == 0
    book.owner.execute("select embedding::text as vector from radiant.knowledge_heuristics")
    assert json.loads(book.owner.fetchone()["vector"]) == [1, 0, 0, 0]


def test_an_active_text_that_was_changed_past_the_curators_is_found(book: Book) -> None:
    book.heuristic()
    changed = book.heuristic()
    book.heuristic(state="quarantined", approved_sha256=None)
    book.owner.execute(
        "update radiant.knowledge_heuristics set action_template = action_template || ' Or else.'"
        " where id = %s",
        (changed,),
    )

    assert scan.heuristics_not_as_approved(book.database) == [scan.Suspect(book.tenant, changed)]


def test_figures_tell_what_was_offered_and_cited_by_week(book: Book) -> None:
    item = book.heuristic()
    for cited in ([True, False], [False, False], None):
        session_id = insert_session(
            book.owner, book.tenant, answered_at="now", final_response="secret"
        )
        for number, flag in enumerate(cited or []):
            book.use(session_id, item, f"a{number}", flag)
    insert_session(book.owner, book.tenant)  # no answer yet
    for reason in ("phi_EMAIL", "invalid_heuristic", "phi_EMAIL"):
        insert(
            book.owner, "librarian_decision", tenant_id=book.tenant,
            session_id=insert_session(book.owner, book.tenant), decision="refused",
            reason=reason, source_user="ann", reviewed=False,
        )  # fmt: skip
    with book.database.tenant_transaction(book.tenant) as cursor:
        lesson = new()
        store.keep_learned(cursor, book.tenant, lesson)
        curation.promote(cursor, book.tenant, lesson.id, actor="lee")
        curation.retire(cursor, book.tenant, lesson.id, actor="lee")
    a, b = sorted((item, insert_heuristic(book.owner, book.tenant)))
    insert(
        book.owner, "heuristic_link", tenant_id=book.tenant, a=a, b=b, kind="near_copy",
        similarity=0.9,
    )  # fmt: skip

    found = figures.read_figures(book.database)

    week, growth = found.use[-1], found.growth[-1]
    assert len(found.use) == len(found.growth) == figures.WEEKS
    assert (week.sessions, week.offered, week.cited) == (3, 2, 1)
    assert sum(item.sessions for item in found.use[:-1]) == 0
    assert (growth.added, growth.promoted, growth.retired) == (1, 1, 1)
    assert found.refused == (("phi_EMAIL", 2), ("invalid_heuristic", 1))
    assert found.open_links == 1


def test_figures_of_an_empty_grimoire_are_zeros(database: Database, tenant: uuid.UUID) -> None:
    found = figures.read_figures(database)

    assert found.by_domain == ()
    assert found.brier is None
    assert set(found.histogram) == {0}
    assert {week.sessions for week in found.use} == {0}

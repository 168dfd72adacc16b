"""Credit over many sessions: caps, merges, concurrency; and posteriors computed again from rows."""

import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from radiant_dagster.adapters.grimoire import credit
from radiant_dagster.adapters.grimoire.rebuild import differences, rebuild
from radiant_dagster.adapters.postgres import Database
from tests.adapters.rows import insert, insert_heuristic, insert_session


class Book:
    """Heuristics, sessions that cite them, and what became of both."""

    def __init__(self, database: Database, tenant: uuid.UUID, owner: Any) -> None:
        self.database, self.tenant, self.owner = database, tenant, owner

    def heuristic(self, **columns: Any) -> uuid.UUID:
        return insert_heuristic(self.owner, self.tenant, **columns)

    def session(self, cited: dict[uuid.UUID, list[bool]], *, user: str = "ann") -> uuid.UUID:
        """A session whose agents cited heuristics or did not, one flag an agent."""
        session_id = insert_session(self.owner, self.tenant, user_id=user)
        for item, flags in cited.items():
            for number, flag in enumerate(flags):
                self.use(session_id, item, f"a{number}", flag)
        return session_id

    def use(self, session_id: uuid.UUID, item: uuid.UUID, agent: str, cited: bool) -> None:
        insert(
            self.owner, "heuristic_usage", tenant_id=self.tenant, session_id=session_id,
            agent_id=agent, heuristic_id=item, rank=1, similarity=0.9, cited=cited,
        )  # fmt: skip

    def evidence(self, item: uuid.UUID, reward: float) -> None:
        """A reviewed session that produced or re-derived a heuristic."""
        insert(
            self.owner, "librarian_decision", tenant_id=self.tenant,
            session_id=insert_session(self.owner, self.tenant), decision="rederived", reason="ok",
            heuristic_id=item, source_user="ann", reviewed=True, reward=reward,
        )  # fmt: skip
        for row in [item, *self.survivors(item)]:
            self.move(row, reward, 1 - reward)

    def merge(self, loser: uuid.UUID, survivor: uuid.UUID) -> None:
        before = self.row(loser)
        self.owner.execute(
            "update radiant.knowledge_heuristics set state = 'merged', merged_into = %s"
            " where id = %s",
            (survivor, loser),
        )
        self.move(survivor, before["alpha"] - 1, before["beta"] - 1)

    def unmerge(self, loser: uuid.UUID) -> None:
        before = self.row(loser)
        for survivor in self.survivors(loser):
            self.move(survivor, 1 - before["alpha"], 1 - before["beta"])
        self.owner.execute(
            "update radiant.knowledge_heuristics set state = 'active', merged_into = null"
            " where id = %s",
            (loser,),
        )

    def survivors(self, item: uuid.UUID) -> list[uuid.UUID]:
        into = self.row(item)["merged_into"]
        return [] if into is None else [into, *self.survivors(into)]

    def move(self, item: uuid.UUID, good: float, bad: float) -> None:
        self.owner.execute(
            "update radiant.knowledge_heuristics set alpha = alpha + %s, beta = beta + %s"
            " where id = %s",
            (good, bad, item),
        )

    def credit(self, session_id: uuid.UUID, reward: float = 1.0) -> int:
        with self.database.tenant_transaction(self.tenant) as cursor:
            return credit.credit_session(cursor, self.tenant, session_id, reward)

    def row(self, item: uuid.UUID) -> dict[str, Any]:
        self.owner.execute("select * from radiant.knowledge_heuristics where id = %s", (item,))
        return dict(self.owner.fetchone())

    def weights(self, session_id: uuid.UUID) -> list[float]:
        self.owner.execute(
            "select weight from radiant.heuristic_usage where session_id = %s order by agent_id",
            (session_id,),
        )
        return [row["weight"] for row in self.owner.fetchall()]

    def differing(self) -> list[uuid.UUID]:
        with self.database.tenant_transaction(self.tenant) as cursor:
            return [item.id for item in differences(cursor, self.tenant)]


@pytest.fixture
def book(database: Database, tenant: uuid.UUID, owner: Any) -> Book:
    return Book(database, tenant, owner)


def test_what_a_use_was_credited_with_stays_in_its_row(book: Book) -> None:
    item = book.heuristic()
    session_id = book.session({item: [True, False, True, False]})

    book.credit(session_id, 0.5)

    assert book.weights(session_id) == [0.25, 0, 0.25, 0]
    assert (book.row(item)["alpha"], book.row(item)["beta"]) == (1.25, 1.25)
    assert book.differing() == []


def test_an_agent_that_answers_after_the_credit_counts_for_its_share_only(book: Book) -> None:
    item = book.heuristic()
    session_id = book.session({item: [True, False, False]})
    book.credit(session_id)
    book.use(session_id, item, "late", True)

    again = book.credit(session_id)

    assert again == 1
    assert sum(book.weights(session_id)) == pytest.approx(1 / 3 + 1 / 4)
    assert book.row(item)["alpha"] == pytest.approx(1 + 1 / 3 + 1 / 4)
    assert book.differing() == []


def test_one_user_moves_a_heuristic_by_two_sessions_a_day_and_no_more(book: Book) -> None:
    item = book.heuristic()
    sessions = [book.session({item: [True, True]}, user=user) for user in ("ann", "Ann", "ANN")]
    half = book.session({item: [True, False]}, user="bob")

    moved = [book.credit(session_id) for session_id in [*sessions, half]]

    row = book.row(item)
    assert moved == [1, 1, 0, 1]
    assert book.weights(sessions[2]) == [0, 0]
    assert row["alpha"] == 3.5
    assert row["success_count"] == 3
    assert book.credit(sessions[2]) == 0  # lost, not postponed
    assert book.differing() == []


def test_the_last_of_a_users_credit_may_be_a_part(book: Book) -> None:
    item = book.heuristic()
    for flags in ([True, True], [True, False], [True, True]):
        book.credit(book.session({item: flags}))

    assert book.row(item)["alpha"] == 3.0
    assert book.differing() == []


def test_a_user_may_credit_again_after_a_day(book: Book) -> None:
    item = book.heuristic()
    for _ in range(2):
        book.credit(book.session({item: [True]}))
    book.owner.execute(
        "update radiant.heuristic_usage set credited_at = credited_at - interval '25 hours'"
    )

    moved = book.credit(book.session({item: [True]}))

    assert moved == 1
    assert book.row(item)["alpha"] == 4.0


def test_a_capped_use_renews_nothing(book: Book) -> None:
    item = book.heuristic()
    for _ in range(2):
        book.credit(book.session({item: [True]}))
    before = book.row(item)

    book.credit(book.session({item: [True]}))

    after = book.row(item)
    assert after["last_used_at"] > before["last_used_at"]
    for name in ("alpha", "beta", "expires_at", "last_credited_at", "success_count"):
        assert after[name] == before[name]


@pytest.mark.parametrize(
    ("confidence", "days"), [(0.0, 29.7), (0.2, 36), (0.5, 90), (0.9, 162), (1.0, 180)]
)
def test_a_heuristic_lapses_after_a_third_to_twice_ninety_days(
    owner: Any, confidence: float, days: float
) -> None:
    owner.execute(
        "select radiant.kept_until('2026-01-01Z', %s) - '2026-01-01Z' as n", (confidence,)
    )
    lasts = owner.fetchone()["n"]

    assert lasts / timedelta(days=1) == pytest.approx(days)


@pytest.mark.parametrize(("reward", "days"), [(1.0, 120.0), (0.5, 90.0), (0.0, 60.0)])
def test_credited_use_sets_the_expiry_by_confidence(book: Book, reward: float, days: float) -> None:
    item = book.heuristic()

    book.credit(book.session({item: [True]}), reward)

    row = book.row(item)
    lasts = row["expires_at"] - row["last_credited_at"]
    assert lasts / timedelta(days=1) == pytest.approx(days, abs=0.01)


def test_what_is_credited_to_a_merged_heuristic_counts_for_its_survivors_as_well(
    book: Book,
) -> None:
    loser, survivor, last = (book.heuristic() for _ in range(3))
    session_id = book.session({loser: [True], survivor: [True]})
    book.merge(loser, survivor)
    book.merge(survivor, last)

    moved = book.credit(session_id)

    assert moved == 3
    assert [book.row(item)["alpha"] for item in (loser, survivor, last)] == [2, 3, 3]
    assert book.row(last)["success_count"] == 0
    assert book.differing() == []


def test_feedback_credits_under_the_apis_role(
    book: Book, api_database: Database, tenant: uuid.UUID
) -> None:
    item = book.heuristic()
    session_id = book.session({item: [True]})

    with api_database.tenant_transaction(tenant) as cursor:
        moved = credit.credit_session(cursor, tenant, session_id, 1.0)

    assert moved == 1
    assert book.row(item)["alpha"] == 2


def test_sessions_that_credit_overlapping_sets_never_wait_in_a_circle(
    database_url: str, book: Book
) -> None:
    items = [book.heuristic() for _ in range(4)]
    sessions = [
        # Each session's rows lie in an order of their own.
        book.session({items[(start + n) % 4]: [True] for n in range(4)}, user=f"user-{start}")
        for start in range(24)
    ]
    pool = Database(database_url, pool_size=8)
    wide = Book(pool, book.tenant, book.owner)

    with ThreadPoolExecutor(8) as threads:
        moved = list(threads.map(wide.credit, sessions))
    pool.close()

    assert moved == [4] * 24
    assert {book.row(item)["alpha"] for item in items} == {25.0}
    assert book.differing() == []


def test_a_heuristic_that_is_merged_while_credit_waits_for_it_takes_its_survivor_along(
    database_url: str, book: Book
) -> None:
    loser, survivor = sorted(book.heuristic() for _ in range(2))
    session_id = book.session({loser: [True]})
    pool = Database(database_url, pool_size=2)
    wide = Book(pool, book.tenant, book.owner)
    with ThreadPoolExecutor(1) as threads:
        with pool.tenant_transaction(book.tenant) as cursor:
            cursor.execute(
                "update radiant.knowledge_heuristics set state = 'merged', merged_into = %s"
                " where id = %s",
                (survivor, loser),
            )
            waiting = threads.submit(wide.credit, session_id)
            _until(book, "select 1 from pg_stat_activity where wait_event_type = 'Lock'")
        assert waiting.result() == 2
    pool.close()

    assert book.row(survivor)["alpha"] == 2
    assert book.differing() == []


def _until(book: Book, query: str) -> None:
    for _ in range(1000):
        book.owner.execute(query)
        if book.owner.fetchone() is not None:
            return
        threading.Event().wait(0.01)
    raise AssertionError(query)


def test_a_rebuild_sets_right_what_differs_and_says_so(book: Book) -> None:
    sound, changed = book.heuristic(), book.heuristic()
    book.credit(book.session({sound: [True], changed: [True]}))
    book.move(changed, 40, 0)
    before = book.row(sound)

    told = book.differing()
    with book.database.tenant_transaction(book.tenant) as cursor:
        (done,) = rebuild(cursor, book.tenant, actor="lee")

    assert told == [done.id] == [changed]
    assert (done.alpha, done.expected_alpha) == (42, 2)
    assert book.row(changed)["alpha"] == 2
    assert book.row(sound) == before
    assert book.differing() == []
    book.owner.execute("select actor, heuristic_id from radiant.audit where action like '%rebuilt'")
    assert [tuple(row.values()) for row in book.owner.fetchall()] == [("lee", changed)]


def test_a_rebuild_loses_no_credit_of_the_same_moment(database_url: str, book: Book) -> None:
    items = [book.heuristic() for _ in range(3)]
    sessions = [
        book.session({item: [True] for item in items}, user=f"u{number}") for number in range(30)
    ]
    pool = Database(database_url, pool_size=5)
    wide = Book(pool, book.tenant, book.owner)

    def rebuild_once(_: int) -> None:
        with pool.tenant_transaction(book.tenant) as cursor:
            rebuild(cursor, book.tenant, actor="lee")

    with ThreadPoolExecutor(5) as threads:
        jobs: list[Callable[[], Any]] = []
        for number, session_id in enumerate(sessions):
            jobs += [lambda s=session_id: wide.credit(s)]
            jobs += [lambda n=number: rebuild_once(n)] * (number % 3 == 0)
        for job in [threads.submit(job) for job in jobs]:
            job.result()
    pool.close()

    assert [book.row(item)["alpha"] for item in items] == [31.0] * 3
    assert book.differing() == []


ITEMS = 5
rewards = st.sampled_from([0.0, 0.2, 0.37, 0.8, 1.0])
steps = st.lists(
    st.one_of(
        st.tuples(
            st.just("session"),
            st.dictionaries(
                st.integers(0, ITEMS - 1), st.lists(st.booleans(), min_size=1, max_size=3)
            ),
            st.sampled_from(["ann", "bob"]),
            rewards,
        ),
        st.tuples(st.just("evidence"), st.integers(0, ITEMS - 1), rewards),
        st.tuples(st.just("merge"), st.integers(0, ITEMS - 1), st.integers(0, ITEMS - 1)),
        st.tuples(st.just("unmerge"), st.integers(0, ITEMS - 1)),
    ),
    max_size=25,
)


def play(book: Book, items: list[uuid.UUID], step: tuple[Any, ...]) -> None:
    match step:
        case ("session", cited, user, reward):
            session_id = book.session({items[n]: flags for n, flags in cited.items()}, user=user)
            book.credit(session_id, reward)
            book.credit(session_id, 1 - reward)
        case ("evidence", number, reward):
            book.evidence(items[number], reward)
        case ("merge", loser, survivor):
            chain = [items[survivor], *book.survivors(items[survivor])]
            if book.row(items[loser])["merged_into"] is None and items[loser] not in chain:
                for row in chain[1:]:
                    before = book.row(items[loser])
                    book.move(row, before["alpha"] - 1, before["beta"] - 1)
                book.merge(items[loser], items[survivor])
        case ("unmerge", number):
            if book.row(items[number])["merged_into"] is not None:
                book.unmerge(items[number])
        case _:
            raise AssertionError(step)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps)
def test_what_was_added_up_on_the_way_is_what_the_records_add_up_to(
    book: Book, history: list[tuple[Any, ...]]
) -> None:
    book.owner.execute(
        "truncate radiant.knowledge_heuristics, radiant.heuristic_usage,"
        " radiant.librarian_decision cascade"
    )
    items = [book.heuristic() for _ in range(ITEMS)]

    for step in history:
        play(book, items, step)

    assert book.differing() == []
    book.owner.execute(
        "select coalesce(max(total), 0) as most from (select sum(u.weight) as total"
        " from radiant.heuristic_usage u join radiant.session s on s.id = u.session_id"
        " group by u.heuristic_id, s.user_id) by_user"
    )
    assert book.owner.fetchone()["most"] <= credit.MOST_BY_ONE_USER + 1e-6

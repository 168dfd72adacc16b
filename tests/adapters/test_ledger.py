"""The Governor's ledger on real Postgres: no overspend, no leak, one reservation an attempt."""

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg2
import psycopg2.extras
import pytest

from radiant_dagster.adapters import budgets, ledger, migrations, tenants
from radiant_dagster.adapters.budgets import Selection
from radiant_dagster.adapters.ledger import Ticket
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.domain.governor import PlannedCall
from radiant_dagster.errors import BudgetExceeded, BudgetMissing, Cancelled
from tests.adapters.rows import insert, insert_session, until_it_waits

THREADS = 32
AGENT = PlannedCall("agent:a", "agent", "a", "gpt-4o", 200)
SYNTHESIS = PlannedCall("synthesis", "synthesis", None, "gpt-4o", 300, times=2)
PLAN = (AGENT, SYNTHESIS)
NEEDED = 800


class Book:
    """A tenant's ledger, one transaction a call."""

    def __init__(self, database: Database, tenant: uuid.UUID, owner: Any) -> None:
        self.database, self.tenant, self.owner = database, tenant, owner

    def session(self, *plan: PlannedCall, user: str = "ann") -> uuid.UUID:
        session_id = insert_session(self.owner, self.tenant, user_id=user)
        insert(
            self.owner, "agent_run", tenant_id=self.tenant, session_id=session_id, agent_id="a",
            position=0, role="r", model="m", temperature=0.5, max_tokens=10,
        )  # fmt: skip
        with self.database.tenant_transaction(self.tenant) as cursor:
            ledger.store_plan(cursor, self.tenant, session_id, plan or PLAN)
        return session_id

    def limit(self, scope: str, micro_usd: int, user: str = "") -> None:
        with self.database.tenant_transaction(self.tenant) as cursor:
            budgets.set_limit(cursor, self.tenant, scope, micro_usd, actor="ann", user=user)  # type: ignore[arg-type]

    def hold(self, session_id: uuid.UUID) -> int:
        with self.database.tenant_transaction(self.tenant) as cursor:
            return ledger.hold_for_session(cursor, self.tenant, session_id)

    def begin(
        self, session_id: uuid.UUID, call: PlannedCall | str, by: uuid.UUID | None = None
    ) -> Ticket:
        with self.database.tenant_transaction(self.tenant) as cursor:
            return ledger.begin_call(
                cursor, self.tenant, session_id, call, begun_by=by or uuid.uuid4()
            )

    def settle(self, ticket: Ticket, actual: int | None) -> int:
        with self.database.tenant_transaction(self.tenant) as cursor:
            return ledger.settle_call(cursor, self.tenant, ticket, actual)

    def give_back(self, ticket: Ticket) -> None:
        with self.database.tenant_transaction(self.tenant) as cursor:
            ledger.return_call(cursor, self.tenant, ticket)

    def end(self, session_id: uuid.UUID) -> None:
        with self.database.tenant_transaction(self.tenant) as cursor:
            ledger.settle_session(cursor, self.tenant, session_id)
        ledger.book(self.database, self.tenant, session_id)

    def overdue(self) -> None:
        self.owner.execute("update radiant.reservation set expires_at = clock_timestamp()")

    def accounts(self) -> dict[str, tuple[int, int]]:
        """Return reserved and spent by scope, added up."""
        self.owner.execute(
            "select scope, sum(reserved_micro_usd)::bigint as r, sum(spent_micro_usd)::bigint as s"
            " from radiant.budget_account where tenant_id = %s group by 1",
            (self.tenant,),
        )
        return {row["scope"]: (row["r"], row["s"]) for row in self.owner.fetchall()}

    def day(self) -> tuple[int, int]:
        """Return what is reserved and spent today, after an audit of every account."""
        with self.database.tenant_transaction(self.tenant) as cursor:
            assert ledger.audit(cursor, self.tenant) == []
        return self.accounts().get("day", (0, 0))

    def rows(self) -> list[tuple[str, str, int | None]]:
        """Return call and attempt, state and charge, in the order of the calls."""
        self.owner.execute(
            "select call, attempt, state, actual_micro_usd from radiant.reservation order by 1, 2"
        )
        return [
            (f"{row['call']}:{row['attempt']}", row["state"], row["actual_micro_usd"])
            for row in self.owner.fetchall()
        ]

    def costs(self) -> tuple[int, int]:
        """Return what the one session and its agent cost."""
        self.owner.execute(
            "select s.cost_micro_usd as s, a.cost_micro_usd as a from radiant.session s"
            " join radiant.agent_run a on a.session_id = s.id"
        )
        row = self.owner.fetchone()
        return row["s"], row["a"]


@pytest.fixture
def book(database: Database, tenant: uuid.UUID, owner: Any) -> Book:
    return Book(database, tenant, owner)


@pytest.fixture
def crowd(database_url: str, tenant: uuid.UUID, owner: Any) -> Iterator[Book]:
    """The same with a connection for each of many threads."""
    pool = Database(database_url, pool_size=THREADS)
    yield Book(pool, tenant, owner)
    pool.close()


def test_all_calls_of_a_session_are_held_in_one_batch_in_every_scope(book: Book) -> None:
    session_id = book.session()

    held = [book.hold(session_id) for _ in range(2)]

    assert held == [NEEDED, 0]
    scopes = ("day", "month", "session", "user_day", "user_month")
    assert book.accounts() == dict.fromkeys(scopes, (NEEDED, 0))
    assert [name for name, _, _ in book.rows()] == ["agent:a:1", "synthesis:1", "synthesis:2"]
    book.owner.execute("select attempt_key from radiant.reservation where call = 'agent:a'")
    assert book.owner.fetchone()["attempt_key"] == f"{session_id}:agent:a:1"


def test_a_call_is_charged_its_bill_and_the_rest_comes_back_when_it_is_booked(book: Book) -> None:
    session_id = book.session()
    book.hold(session_id)
    ticket = book.begin(session_id, "agent:a")

    book.settle(ticket, 70)

    assert book.day() == (NEEDED, 0)
    assert book.costs() == (70, 70)
    book.end(session_id)
    assert book.day() == (0, 70)
    assert book.rows() == [
        ("agent:a:1", "settled", 70),
        ("synthesis:1", "released", 0),
        ("synthesis:2", "released", 0),
    ]


@pytest.mark.parametrize("scope", ["day", "month", "session", "user_day", "user_month"])
def test_any_scope_refuses_what_the_others_would_allow_and_nothing_is_held(
    book: Book, scope: str
) -> None:
    session_id = book.session()
    book.limit(scope, NEEDED - 1)

    with pytest.raises(BudgetExceeded, match=f"Budget of the {scope}") as caught:
        book.hold(session_id)

    assert (caught.value.needed_micro_usd, caught.value.limit_micro_usd) == (NEEDED, NEEDED - 1)
    assert caught.value.user == ("ann" if scope.startswith("user") else "")
    assert (book.day(), book.rows()) == ((0, 0), [])


def test_a_users_own_limit_counts_before_that_of_every_user(book: Book) -> None:
    book.limit("user_day", 0)
    book.limit("user_day", NEEDED, user="bea")

    assert book.hold(book.session(user="bea")) == NEEDED
    with pytest.raises(BudgetExceeded, match="of user 'bea'"):
        book.hold(book.session(user="bea"))
    with pytest.raises(BudgetExceeded, match="of user 'cay'"):
        book.hold(book.session(user="cay"))


@pytest.mark.parametrize("scope", ["day", "month", "session", "user_day"])
def test_without_a_limit_nothing_may_be_spent(book: Book, scope: str) -> None:
    book.owner.execute("delete from radiant.budget where scope = %s", (scope,))

    with pytest.raises(BudgetMissing, match=f"radiant budget set {scope}"):
        book.hold(book.session())

    assert book.day() == (0, 0)


def test_an_unbilled_failure_leaves_the_money_for_the_next_try(book: Book) -> None:
    session_id = book.session()
    book.hold(session_id)
    book.give_back(book.begin(session_id, "agent:a"))

    again = book.begin(session_id, "agent:a")

    assert again.attempt == 1
    assert book.day() == (NEEDED, 0)


def test_an_attempt_that_may_be_billed_is_charged_in_full_and_the_next_one_has_its_own_row(
    book: Book,
) -> None:
    session_id = book.session()
    book.hold(session_id)
    book.settle(book.begin(session_id, "agent:a"), None)

    again = book.begin(session_id, "agent:a")
    book.settle(again, 50)

    book.end(session_id)
    assert again.attempt == 2
    assert book.costs() == (250, 250)
    assert book.day() == (0, 250)
    book.owner.execute(
        "select actual_is_estimated as e from radiant.reservation order by call, attempt"
    )
    assert [row["e"] for row in book.owner.fetchall()] == [True, False, False, False]


def test_a_further_attempt_that_does_not_fit_is_refused(book: Book) -> None:
    session_id = book.session()
    book.limit("session", NEEDED)
    book.hold(session_id)
    book.settle(book.begin(session_id, "agent:a"), None)

    with pytest.raises(BudgetExceeded, match="Budget of the session"):
        book.begin(session_id, "agent:a")

    assert book.day() == (NEEDED, 0)


def test_a_call_that_needs_more_than_is_held_for_it_reserves_what_it_needs(book: Book) -> None:
    session_id = book.session()
    book.hold(session_id)

    ticket = book.begin(session_id, PlannedCall("synthesis", "synthesis", None, "gpt-4o", 301))

    assert ticket.attempt == 3
    assert book.day() == (NEEDED + 301, 0)


def test_nothing_begins_on_a_cancelled_session_though_money_is_held(book: Book) -> None:
    session_id = book.session()
    book.hold(session_id)
    book.owner.execute("update radiant.session set status = 'cancelled'")

    for attempt in (book.hold, lambda found: book.begin(found, "agent:a")):
        with pytest.raises(Cancelled):
            attempt(session_id)


def test_thirty_two_begins_of_one_attempt_hold_once(crowd: Book) -> None:
    session_id, by = crowd.session(), uuid.uuid4()

    with ThreadPoolExecutor(THREADS) as threads:
        tickets = list(threads.map(lambda _: crowd.begin(session_id, AGENT, by), range(THREADS)))

    assert {ticket.attempt for ticket in tickets} == {1}
    assert crowd.day() == (200, 0)


def test_thirty_two_begins_of_one_held_attempt_leave_the_repair_alone(crowd: Book) -> None:
    session_id, by = crowd.session(), uuid.uuid4()
    crowd.hold(session_id)

    with ThreadPoolExecutor(THREADS) as threads:
        tickets = list(
            threads.map(lambda _: crowd.begin(session_id, "synthesis", by), range(THREADS))
        )

    assert {ticket.attempt for ticket in tickets} == {1}
    assert crowd.day() == (NEEDED, 0)


def test_a_begin_that_waited_for_another_of_its_id_gets_the_attempt_that_one_took(
    crowd: Book,
) -> None:
    session_id, by = crowd.session(), uuid.uuid4()
    crowd.hold(session_id)

    with ThreadPoolExecutor(1) as thread:
        with crowd.database.tenant_transaction(crowd.tenant) as cursor:
            first = ledger.begin_call(cursor, crowd.tenant, session_id, "synthesis", begun_by=by)
            second = thread.submit(crowd.begin, session_id, "synthesis", by)
            until_it_waits(crowd.owner, second)
        tickets = [first, second.result()]

    assert [ticket.attempt for ticket in tickets] == [1, 1]
    crowd.owner.execute("select attempt from radiant.reservation where begun_at is not null")
    assert [row["attempt"] for row in crowd.owner.fetchall()] == [1]


def test_begins_under_different_ids_take_different_held_attempts_without_a_wait_in_a_circle(
    crowd: Book,
) -> None:
    session_id = crowd.session()
    crowd.hold(session_id)

    with ThreadPoolExecutor(THREADS) as threads:
        tickets = list(threads.map(lambda _: crowd.begin(session_id, "synthesis"), range(THREADS)))

    assert sorted(ticket.attempt for ticket in tickets) == list(range(1, THREADS + 1))
    assert crowd.day() == (NEEDED + 300 * (THREADS - 2), 0)


def test_thirty_two_holds_of_one_session_hold_once(crowd: Book) -> None:
    session_id = crowd.session()

    with ThreadPoolExecutor(THREADS) as threads:
        held = list(threads.map(lambda _: crowd.hold(session_id), range(THREADS)))

    assert sorted(held)[-2:] == [0, NEEDED]
    assert crowd.day() == (NEEDED, 0)


def test_thirty_two_sessions_at_once_never_overspend_one_account(crowd: Book) -> None:
    crowd.limit("day", 10 * NEEDED + 1)
    ids = [crowd.session(user=f"user-{number % 5}") for number in range(THREADS)]

    def work(session_id: uuid.UUID) -> bool:
        try:
            crowd.hold(session_id)
        except BudgetExceeded:
            return False
        for call in ("agent:a", "synthesis", "synthesis"):
            crowd.settle(crowd.begin(session_id, call), 200)
        crowd.end(session_id)
        return True

    with ThreadPoolExecutor(THREADS) as threads:
        admitted = sum(threads.map(work, ids))

    assert admitted >= 10
    assert crowd.day() == (0, 600 * admitted)
    assert 600 * admitted <= 10 * NEEDED + 1


def test_the_sweep_charges_what_began_releases_what_did_not_and_a_late_bill_corrects_it(
    book: Book,
) -> None:
    session_id = book.session()
    book.hold(session_id)
    ticket = book.begin(session_id, "agent:a")
    kept = ledger.sweep(book.database)
    book.overdue()

    swept = [ledger.sweep(book.database) for _ in range(2)]

    assert (kept, swept) == (0, [1, 0])
    assert (book.day(), book.costs()) == ((0, 200), (200, 200))
    assert book.rows()[0] == ("agent:a:1", "expired", 200)
    book.settle(ticket, 30)
    assert (book.day(), book.costs()) == ((0, 30), (30, 30))
    book.give_back(ticket)
    assert (book.day(), book.costs()) == ((0, 0), (0, 0))
    assert book.rows()[0] == ("agent:a:1", "released", 0)


def test_the_sweep_books_what_a_crash_left_settled(book: Book) -> None:
    session_id = book.session()
    book.hold(session_id)
    book.settle(book.begin(session_id, "agent:a"), 70)
    with book.database.tenant_transaction(book.tenant) as cursor:
        ledger.settle_session(cursor, book.tenant, session_id)

    ledger.sweep(book.database)

    assert book.day() == (0, 70)


def test_bills_and_sweeps_at_the_same_time_leave_accounts_equal_to_the_ledger(crowd: Book) -> None:
    ids = [crowd.session() for _ in range(8)]
    for session_id in ids:
        crowd.hold(session_id)
    tickets = [
        crowd.begin(session_id, call)
        for session_id in ids
        for call in ("agent:a", "synthesis", "synthesis")
    ]
    crowd.overdue()

    with ThreadPoolExecutor(THREADS) as threads:
        sweeps = [threads.submit(ledger.sweep, crowd.database) for _ in range(4)]
        bills = [threads.submit(crowd.settle, ticket, 40) for ticket in tickets]
        ends = [threads.submit(crowd.end, session_id) for session_id in ids]
    for done in (*sweeps, *bills, *ends):
        done.result()

    assert crowd.day() == (0, 40 * len(tickets))
    assert {state for _, state, _ in crowd.rows()} == {"settled"}


def test_no_tenant_sees_or_settles_anothers_reservation(book: Book) -> None:
    other = uuid.uuid4()
    tenants.create_tenant(book.database, other, "other", "Other Clinic")
    session_id = book.session()
    book.hold(session_id)
    ticket = book.begin(session_id, "agent:a")

    with book.database.tenant_transaction(other) as cursor:
        seen = budgets.entries(cursor, book.tenant, Selection())
        charged = ledger.settle_call(cursor, book.tenant, ticket, 1)

    assert (seen, charged) == ([], 0)
    assert book.day() == (NEEDED, 0)


def test_a_refusal_is_counted(book: Book) -> None:
    session_id = book.session()
    book.limit("user_day", 1)
    with pytest.raises(BudgetExceeded) as caught:
        book.hold(session_id)

    with book.database.tenant_transaction(book.tenant) as cursor:
        ledger.note_refusal(cursor, book.tenant, session_id, caught.value)

    book.owner.execute(
        "select session_id, scope, user_id, needed_micro_usd from radiant.budget_refusal"
    )
    assert list(book.owner.fetchone().values()) == [session_id, "user_day", "ann", NEEDED]


@pytest.mark.parametrize(
    "statement",
    [
        "update radiant.budget set limit_micro_usd = 1",
        "update radiant.reservation set estimate_micro_usd = 1",
        "insert into radiant.reservation default values",
        "delete from radiant.reservation",
        "select radiant.ledger_reserve(null, null, '', 1, '[]', null)",
    ],
)
def test_the_sweeps_role_may_only_move_what_is_held(database: Database, statement: str) -> None:
    with (
        pytest.raises(psycopg2.errors.InsufficientPrivilege),
        database.system_transaction("radiant_dispatch") as cursor,
    ):
        cursor.execute(statement)


def test_tenants_and_sessions_from_before_the_ledger_get_limits_and_a_plan(
    book: Book, owner_url: str
) -> None:
    session_id = book.session()
    book.owner.execute("update radiant.session set estimated_micro_usd = 900")
    book.owner.execute(
        "drop table radiant.reservation, radiant.budget_account, radiant.budget,"
        " radiant.budget_refusal;"
        "drop function radiant.ledger_accounts, radiant.ledger_reserve, radiant.ledger_settle,"
        " radiant.ledger_close, radiant.ledger_book;"
        "alter table radiant.session drop column cost_plan;"
        "drop policy dispatch_agent on radiant.agent_run;"
        "delete from radiant.schema_migration where name = '0002_create_ledger.sql'"
    )

    applied = migrations.migrate(owner_url, logins={})

    with book.database.tenant_transaction(book.tenant) as cursor:
        rows = budgets.show(cursor, book.tenant)
    book.owner.execute(
        "select bool_and(relforcerowsecurity) as forced from pg_class where oid in"
        " ('radiant.tenant'::regclass, 'radiant.session'::regclass, 'radiant.agent_run'::regclass)"
    )
    assert applied == ["0002_create_ledger.sql"]
    assert {row["scope"]: row["limit_micro_usd"] // 10**6 for row in rows} == {
        "day": 500, "month": 5_000, "session": 25, "user_day": 100, "user_month": 1_000,
    }  # fmt: skip
    assert book.owner.fetchone()["forced"]
    assert book.hold(session_id) == 3 * 900

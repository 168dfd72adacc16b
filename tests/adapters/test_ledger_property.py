"""Whatever happens to sessions and calls, nothing is overspent and accounts equal the ledger."""

import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from radiant_dagster.adapters import ledger
from radiant_dagster.adapters.ledger import Ticket
from radiant_dagster.errors import BudgetExceeded
from tests.adapters.test_ledger import AGENT, NEEDED, Book, book

__all__ = ["book"]  # fixtures

LIMIT = 3 * NEEDED
ACTIONS = ("hold", "begin", "settle", "unknown", "return", "end", "lapse")

steps = st.lists(
    st.tuples(st.sampled_from(ACTIONS), st.integers(0, 4), st.floats(0, 1)), max_size=40
)


class History:
    """Sessions and the attempts that may be under way."""

    def __init__(self, ledger_book: Book) -> None:
        self.book = ledger_book
        self.sessions = [ledger_book.session(user=f"user-{number % 2}") for number in range(5)]
        self.open: list[Ticket] = []

    def do(self, action: str, number: int, part: float) -> None:
        session_id = self.sessions[number]
        if action == "hold":
            self.book.hold(session_id)
        elif action == "begin":
            call = random.Random(part).choice([AGENT.call, "synthesis"])
            self.open.append(self.book.begin(session_id, call))
        elif action == "end":
            self.book.end(session_id)
        elif action == "lapse":
            self.book.overdue()
            ledger.sweep(self.book.database)
        elif self.open:
            self.close(action, self.open.pop(number % len(self.open)), part)

    def close(self, action: str, ticket: Ticket, part: float) -> None:
        if action == "return":
            self.book.give_back(ticket)
        else:
            most = 200 if ticket.call == AGENT.call else 300
            self.book.settle(ticket, int(most * part) if action == "settle" else None)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps)
def test_no_history_overspends_or_parts_the_accounts_from_the_ledger(
    book: Book, history: list[tuple[str, int, float]]
) -> None:
    book.owner.execute("truncate radiant.reservation, radiant.budget_account")
    book.limit("day", LIMIT)
    told = History(book)

    for action, number, part in history:
        try:
            told.do(action, number, part)
        except BudgetExceeded:
            assert action in ("hold", "begin")
        reserved, spent = book.day()  # audits every account

        assert reserved + spent <= LIMIT
    book.owner.execute(
        "select coalesce(sum(r.actual_micro_usd), 0)::bigint as charged,"
        " (select sum(cost_micro_usd)::bigint from radiant.session) as cost"
        " from radiant.reservation r"
    )
    row: Any = book.owner.fetchone()
    book.owner.execute("update radiant.session set cost_micro_usd = 0")
    assert row["charged"] == row["cost"]


@pytest.mark.parametrize(
    "change",
    [
        "update radiant.budget_account set reserved_micro_usd = 1 where scope = 'month'",
        "update radiant.budget_account set spent_micro_usd = 1 where scope = 'month'",
    ],
)
def test_the_audit_names_an_account_that_is_off(book: Book, change: str) -> None:
    book.hold(book.session())
    book.owner.execute(change)

    with book.database.tenant_transaction(book.tenant) as cursor:
        (found,) = ledger.audit(cursor, book.tenant)

    assert found.scope == "month"

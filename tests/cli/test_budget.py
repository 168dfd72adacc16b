"""What may be spent, set and shown from the command line."""

import csv
import io

import pytest

from tests.cli.conftest import PROMPT, Radiant, Stack


def test_a_new_tenant_has_a_limit_in_every_scope(radiant: Radiant) -> None:
    rows = radiant.json("budget", "show")["budgets"]

    day, month = rows[:2]
    assert {row["scope"]: row["limit_micro_usd"] // 10**6 for row in rows} == {
        "day": 500, "month": 5_000, "session": 25, "user_day": 100, "user_month": 1_000,
    }  # fmt: skip
    assert day["free_micro_usd"] == day["limit_micro_usd"]
    assert month["period"] == day["period"][:7]
    shown = radiant("budget", "show").stdout
    assert "$500.0000" in shown
    assert "never" in shown


def test_one_user_can_have_a_limit_of_its_own(radiant: Radiant) -> None:
    radiant("budget", "set", "user_day", "5", "--user", "ann")

    def of(user: str) -> int:
        rows = radiant.json("budget", "show", "--user", user)["budgets"]
        return next(row["limit_micro_usd"] for row in rows if row["scope"] == "user_day")

    assert (of("ann"), of("bea")) == (5_000_000, 100_000_000)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("set", "day", "5", "--user", "ann"), "user: a limit of the day is not a user's"),
        (("set", "user_day", "5", "--user", " "), "user: is empty"),
        (("set", "year", "5"), "'year' is not one of 'day', 'month', 'session'"),
        (("ledger", "--from", "2026-11-02", "--to", "2026-11-01"), "--to: is before --from"),
        (("ledger", "--from", "yesterday"), "'yesterday' does not match the format"),
    ],
)
def test_an_unknown_scope_user_or_day_is_refused(
    radiant: Radiant, arguments: tuple[str, ...], words: str
) -> None:
    result = radiant("budget", *arguments)

    assert result.exit_code == 2
    assert words in " ".join(result.stderr.replace("\u2502", " ").split())


def test_a_limit_that_is_set_counts_and_is_audited(radiant: Radiant) -> None:
    result = radiant("budget", "set", "day", "12.50", "--as", "dr-lee")

    day = radiant.json("budget", "show")["budgets"][0]
    assert result.exit_code == 0
    assert (day["limit_micro_usd"], day["set_by"]) == (12_500_000, "dr-lee")
    assert radiant.rows("select actor, detail from radiant.audit where action = 'budget.set'") == [
        ("dr-lee", {"scope": "day", "limit_micro_usd": 12_500_000})
    ]


@pytest.mark.parametrize(
    ("amount", "words"),
    [
        ("-5", "limit: is negative"),
        ("plenty", "limit: is not an amount"),
        ("nan", "limit: is not an amount"),
        ("inf", "limit: is not an amount"),
        ("1e30", "limit: is more than $10,000,000"),
        ("0.0000001", "limit: has more than six decimals"),
    ],
)
def test_an_absurd_limit_is_refused(radiant: Radiant, amount: str, words: str) -> None:
    result = radiant("budget", "set", "day", amount)

    assert result.exit_code == 2
    assert words in result.stderr
    assert radiant.json("budget", "show")["budgets"][0]["limit_micro_usd"] == 500_000_000


def test_the_ledger_lists_every_call_of_a_session(stack: Stack) -> None:
    radiant = stack.radiant
    radiant.json("think", PROMPT)

    lines = radiant.json("budget", "ledger")["reservations"]
    sheet = list(csv.DictReader(io.StringIO(radiant("budget", "ledger", "--csv").stdout)))
    early = radiant("budget", "ledger", "--csv", "--to", "2020-01-01").stdout

    (session,) = radiant.json("sessions", "list")["sessions"]
    cost = session["cost_micro_usd"]
    assert {line["session_id"] for line in lines} == {session["id"]}
    assert sum(line["actual_micro_usd"] for line in lines) == cost
    assert sum(int(row["actual_micro_usd"]) for row in sheet) == cost
    assert {row["purpose"] for row in sheet} == {"agent", "synthesis", "librarian"}
    assert {row["state"] for row in sheet} == {"settled", "released"}
    assert all(row["role"] and row["agent_id"] for row in sheet if row["purpose"] == "agent")
    assert PROMPT not in str(sheet)
    assert len(early.splitlines()) == 1
    assert session["id"][:8] in radiant("budget", "ledger").stdout
    assert radiant.json("budget", "show")["budgets"][0]["spent_micro_usd"] == cost


def test_an_exhausted_budget_says_so_and_how_to_go_on(stack: Stack) -> None:
    radiant = stack.radiant
    radiant("budget", "set", "day", "0")

    result = radiant("think", PROMPT)

    assert result.exit_code == 1
    assert "radiant budget set day USD" in " ".join((result.stdout + result.stderr).split())
    assert radiant.models.paid == []

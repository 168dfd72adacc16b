"""What may be spent, set and shown from the command line."""

import csv
import io

import pytest

from tests.cli.conftest import PROMPT, Radiant, Stack


def test_a_new_tenant_has_a_limit_a_day_and_a_month(radiant: Radiant) -> None:
    day, month = radiant.json("budget", "show")["budgets"]

    assert (day["scope"], day["limit_micro_usd"]) == ("day", 500_000_000)
    assert (month["scope"], month["limit_micro_usd"]) == ("month", 5_000_000_000)
    assert day["free_micro_usd"] == day["limit_micro_usd"]
    assert month["period"] == day["period"][:7]
    assert "$500.0000" in radiant("budget", "show").stdout


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


def test_the_ledger_lists_what_a_session_reserved_and_cost(stack: Stack) -> None:
    radiant = stack.radiant
    radiant.json("think", PROMPT)

    (line,) = radiant.json("budget", "ledger")["reservations"]
    sheet = list(csv.DictReader(io.StringIO(radiant("budget", "ledger", "--csv").stdout)))

    (session,) = radiant.json("sessions", "list")["sessions"]
    session_id, cost = session["id"], session["cost_micro_usd"]
    assert (line["session_id"], line["state"]) == (session_id, "settled")
    assert line["actual_micro_usd"] == cost < line["estimate_micro_usd"]
    assert [row["actual_micro_usd"] for row in sheet] == [str(cost)]
    assert session_id[:8] in radiant("budget", "ledger").stdout
    assert radiant.json("budget", "show")["budgets"][0]["spent_micro_usd"] == cost


def test_an_exhausted_budget_says_so_and_how_to_go_on(stack: Stack) -> None:
    radiant = stack.radiant
    radiant("budget", "set", "day", "0")

    result = radiant("think", PROMPT)

    assert result.exit_code == 1
    assert "radiant budget set day USD" in " ".join((result.stdout + result.stderr).split())
    assert radiant.models.paid == []

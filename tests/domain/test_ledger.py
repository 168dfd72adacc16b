"""Scopes, periods and limits of budgets."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from radiant_dagster.domain.limits import parse_limit, period_key, require_user_scope, resets_at
from radiant_dagster.errors import BudgetExceeded, InvalidInput

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "day", "month", "next_day", "next_month"),
    [
        (NOW, "2026-11-22", "2026-11", "2026-11-23", "2026-12-01"),
        (NOW.replace(month=12, day=31), "2026-12-31", "2026-12", "2027-01-01", "2027-01-01"),
        (
            datetime(2027, 3, 1, 1, tzinfo=timezone(timedelta(hours=5))),
            "2027-02-28", "2027-02", "2027-03-01", "2027-03-01",
        ),
    ],
)  # fmt: skip
def test_periods_are_those_of_utc(
    now: datetime, day: str, month: str, next_day: str, next_month: str
) -> None:
    assert (period_key("day", now), period_key("month", now)) == (day, month)
    for scope, reset in (("user_day", next_day), ("user_month", next_month)):
        assert str(resets_at(scope, now)) == f"{reset} 00:00:00+00:00"
        assert resets_at(scope.removeprefix("user_"), now) == resets_at(scope, now)


def test_a_limit_is_read_to_the_micro_dollar() -> None:
    assert [parse_limit(text) for text in ("0", "25", "$0.000001")] == [0, 25_000_000, 1]
    with pytest.raises(InvalidInput, match="limit: is negative"):
        parse_limit("-1")


def test_a_refusal_names_scope_user_amounts_and_reset() -> None:
    error = BudgetExceeded(
        "user_month",
        user="ann",
        needed_micro_usd=200_000,
        limit_micro_usd=1_000_000,
        spent_micro_usd=600_000,
        reserved_micro_usd=300_000,
        resets_at=resets_at("user_month", NOW),
    )

    for words in (
        "user_month of user 'ann'", "$0.2000", "$1.0000", "$0.6000", "$0.3000",
        "2026-12-01 00:00 UTC", "radiant budget set user_month USD --user ann",
    ):  # fmt: skip
        assert words in str(error)


def test_a_sessions_own_limit_never_resets() -> None:
    amounts = dict.fromkeys(
        ("needed_micro_usd", "limit_micro_usd", "spent_micro_usd", "reserved_micro_usd"), 1
    )

    assert resets_at("session", NOW) is None
    assert "It does not reset. Use fewer" in str(
        BudgetExceeded("session", resets_at=None, **amounts)
    )


@pytest.mark.parametrize(
    ("scope", "user"), [("day", "ann"), ("user_day", " "), ("user_day", "x" * 201)]
)
def test_a_users_limit_needs_a_users_scope_and_a_name(scope: str, user: str) -> None:
    with pytest.raises(InvalidInput, match=r"^user: "):
        require_user_scope(scope, user)  # type: ignore[arg-type]


def test_without_a_name_a_limit_is_every_users() -> None:
    assert require_user_scope("user_day", None) == require_user_scope("day", None) == ""
    assert require_user_scope("user_day", "ann") == "ann"

"""The ledger's arithmetic: an account is never overspent, and equals its reservations."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radiant_dagster.domain.governor import (
    Account,
    Standing,
    expired,
    movement,
    parse_limit,
    period_key,
    require_fits,
    resets_at,
    settled,
    share_cost,
)
from radiant_dagster.errors import BudgetExceeded, InvalidInput

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
LIMIT = 100

steps = st.lists(
    st.tuples(
        st.sampled_from(["reserve", "settle", "expire"]),
        st.integers(0, 5),  # which reservation
        st.integers(0, 60),  # estimate
        st.floats(0, 1),  # part of the estimate that it cost
    ),
    max_size=60,
)


@given(steps)
def test_whatever_happens_an_account_equals_its_reservations(
    history: list[tuple[str, int, int, float]],
) -> None:
    account = Account("day", "2026-11-22", LIMIT)
    ledger: dict[int, Standing] = {}

    for action, number, estimate, part in history:
        before = ledger.get(number)
        if action == "reserve" and before is None:
            try:
                require_fits([account], estimate, NOW)
            except BudgetExceeded:
                continue
            ledger[number] = Standing("held", estimate)
            account = account.moved(estimate, 0)
        elif action != "reserve" and before is not None:
            cost = int(before.estimate_micro_usd * part)
            after = settled(before, cost) if action == "settle" else expired(before)
            ledger[number] = after
            account = account.moved(*movement(before, after))

        held = sum(item.reserved_micro_usd for item in ledger.values())
        charged = sum(item.actual_micro_usd for item in ledger.values())
        assert (account.reserved_micro_usd, account.spent_micro_usd) == (held, charged)


@given(st.lists(st.tuples(st.integers(0, 60), st.floats(0, 1), st.booleans())))
def test_nothing_is_overspent_while_each_reservation_closes_once(
    calls: list[tuple[int, float, bool]],
) -> None:
    account = Account("day", "2026-11-22", LIMIT)

    for estimate, part, lost in calls:
        try:
            require_fits([account], estimate, NOW)
        except BudgetExceeded:
            assert account.free_micro_usd < estimate
            continue
        held = Standing("held", estimate)
        after = expired(held) if lost else settled(held, int(estimate * part))
        account = account.moved(estimate, 0).moved(*movement(held, after))
        assert 0 <= account.spent_micro_usd <= LIMIT
        assert account.reserved_micro_usd == 0


def test_closing_again_changes_nothing_and_a_late_settle_corrects_the_sweep() -> None:
    swept = expired(Standing("held", 50))

    assert movement(Standing("held", 50), swept) == (-50, 50)
    assert expired(swept) == swept
    assert movement(swept, settled(swept, 20)) == (0, -30)
    assert settled(settled(swept, 20), 20) == settled(swept, 20)
    assert settled(swept, 0) == Standing("released", 50, 0)


@given(
    st.integers(0, 1000),
    st.lists(st.tuples(st.sampled_from(["settled", "expired"]), st.integers(0, 99)), max_size=4),
)
def test_a_sessions_reservations_pay_its_cost_together(
    more: int, earlier: list[tuple[str, int]]
) -> None:
    standings = [Standing(state, amount, amount) for state, amount in earlier]  # type: ignore[arg-type]
    cost = more + sum(item.actual_micro_usd for item in standings if item.state == "settled")

    shares = share_cost(cost, [*standings, Standing("held", 10)])

    assert sum(shares) == cost
    assert all(share >= 0 for share in shares)


def test_a_refusal_names_scope_amounts_and_reset() -> None:
    month = Account("month", "2026-11", 1_000_000, 300_000, 600_000)

    with pytest.raises(BudgetExceeded) as caught:
        require_fits([Account("day", "2026-11-22", 9_000_000), month], 200_000, NOW)

    for words in ("month", "$0.2000", "$1.0000", "$0.6000", "$0.3000", "2026-12-01 00:00 UTC"):
        assert words in str(caught.value)


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
    assert resets_at("day", now).isoformat() == f"{next_day}T00:00:00+00:00"
    assert resets_at("month", now).isoformat() == f"{next_month}T00:00:00+00:00"


def test_a_limit_is_read_to_the_micro_dollar() -> None:
    assert [parse_limit(text) for text in ("0", "25", "$0.000001")] == [0, 25_000_000, 1]
    with pytest.raises(InvalidInput, match="limit: is negative"):
        parse_limit("-1")

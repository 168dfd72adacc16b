"""What budgets are made of: scopes, periods and limits.

The ledger's own arithmetic runs in the database, where accounts are locked (adapters/ledger.py).
"""

from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Literal

from radiant_dagster.domain.governor import MILLION
from radiant_dagster.domain.sessions import MAX_USER_ID_CHARACTERS
from radiant_dagster.errors import InvalidInput

Scope = Literal["day", "month", "session", "user_day", "user_month"]
SCOPES: tuple[Scope, ...] = ("day", "month", "session", "user_day", "user_month")
USER_SCOPES: tuple[Scope, ...] = ("user_day", "user_month")
# Of a new tenant: far more than a clinic asks in a day, far less than a runaway script could spend.
# One user gets a fifth of it, one session a fourth of that.
DEFAULT_LIMITS_MICRO_USD: dict[Scope, int] = {
    "day": 500 * MILLION,
    "month": 5_000 * MILLION,
    "session": 25 * MILLION,
    "user_day": 100 * MILLION,
    "user_month": 1_000 * MILLION,
}
MOST_LIMIT_USD = 10_000_000


def period_key(scope: Scope, now: datetime) -> str:
    """Return the name of the period that a moment falls into, in UTC: 2026-11-22 or 2026-11."""
    return now.astimezone(UTC).strftime("%Y-%m-%d" if scope.endswith("day") else "%Y-%m")


def resets_at(scope: Scope, now: datetime) -> datetime | None:
    """Return when the next period begins; None for a session's own limit, which never resets."""
    if scope == "session":
        return None
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if scope.endswith("day"):
        return midnight + timedelta(days=1)
    return (midnight.replace(day=1) + timedelta(days=32)).replace(day=1)


def require_user_scope(scope: Scope, user: str | None) -> str:
    """Return the user a limit is for, '' for every user or where the scope has none.

    Raises:
        InvalidInput: The scope is not a user's, or the name is empty.
    """
    if user is None:
        return ""
    if scope not in USER_SCOPES:
        raise InvalidInput(
            "user", f"a limit of the {scope} is not a user's", f"Use {' or '.join(USER_SCOPES)}."
        )
    if not user.strip() or len(user) > MAX_USER_ID_CHARACTERS:
        raise InvalidInput(
            "user",
            f"is empty or longer than {MAX_USER_ID_CHARACTERS} characters",
            "Pass the name that sessions are asked under; leave it out for every user.",
        )
    return user


def parse_limit(text: str) -> int:
    """Return an amount that a person typed in US dollars, in micro-USD.

    Raises:
        InvalidInput: Not an amount, negative, finer than a micro-dollar or absurdly large.
    """
    try:
        amount = Decimal(text.strip().removeprefix("$"))
    except InvalidOperation:
        amount = Decimal("nan")
    fix = "Pass US dollars, for instance 25 or 0.50; 0 stops all spending."
    if not amount.is_finite():
        raise InvalidInput("limit", "is not an amount", fix)
    if amount < 0:
        raise InvalidInput("limit", "is negative", fix)
    if amount > MOST_LIMIT_USD:
        raise InvalidInput("limit", f"is more than ${MOST_LIMIT_USD:,}", fix)
    micro = amount * MILLION
    if micro != micro.to_integral_value():
        raise InvalidInput("limit", "has more than six decimals", fix)
    return int(micro)

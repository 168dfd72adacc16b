"""What the think tank spends, as Dagit shows it: a partition a day, amounts and pseudonyms."""

from collections.abc import Callable, Sequence
from datetime import date

import dagster as dg

from radiant_dagster.adapters import spend as reader
from radiant_dagster.adapters.spend import DaySpend, SpendLine
from radiant_dagster.assets.plots import DARK, LIGHT, Bar, bars, cell, picture
from radiant_dagster.resources import DatabaseResource

# The ledger is younger than that. Today is a partition too, for a look on demand.
DAYS = dg.DailyPartitionsDefinition(start_date="2026-01-01", timezone="UTC", end_offset=1)

BAR_WIDTH = 16


@dg.asset(
    name="spend",
    group_name="governor",
    kinds={"postgres"},
    owners=["team:radiant"],
    partitions_def=DAYS,
    description="What a day cost, over all tenants: spent and still reserved, how near estimates "
    "are to what was charged, what was refused, by model, role and tenant. Tenants are "
    "pseudonyms, a keyed hash; names and questions are nowhere. Materialised every night for the "
    "day before; materialise today's partition for a look on demand. Reads only.",
)
def spend(context: dg.AssetExecutionContext, database: DatabaseResource) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """Report what a day cost."""
    found = reader.spend_of(database.database, date.fromisoformat(context.partition_key))
    lines = found.lines
    spent = sum(line.spent_micro_usd for line in lines)
    held_for = sum(line.settled_estimate_micro_usd for line in lines)
    metadata: dict[str, dg.MetadataValue | int | float] = {
        "spent_usd": spent / 1e6,
        "reserved_usd": sum(line.reserved_micro_usd for line in lines) / 1e6,
        "settled_estimate_usd": held_for / 1e6,
        "calls": sum(line.calls for line in lines),
        "refusals": found.refusals,
        "expired": sum(line.expired for line in lines),
        "by_model": dg.MetadataValue.md(table("model", lines, lambda line: line.model)),
        "by_role": dg.MetadataValue.md(table("role", lines, lambda line: line.role)),
        "by_tenant": dg.MetadataValue.md(table("tenant", lines, lambda line: line.tenant)),
        "last_30_days": dg.MetadataValue.md(picture("USD a day", plot(found.history))),
    }
    if spent:
        metadata["estimate_to_actual"] = held_for / spent
    return dg.MaterializeResult(metadata=metadata)


def table(name: str, lines: Sequence[SpendLine], key: Callable[[SpendLine], str]) -> str:
    """Return what was spent by one of a line's fields as a Markdown table, dearest first."""
    if not lines:
        return "Nothing was spent."
    sums: dict[str, tuple[int, int, int]] = {}
    for line in lines:
        calls, spent, reserved = sums.get(key(line), (0, 0, 0))
        sums[key(line)] = (
            calls + line.calls,
            spent + line.spent_micro_usd,
            reserved + line.reserved_micro_usd,
        )
    rows = [f"{name} | calls | spent USD | reserved USD", "--- | ---: | ---: | ---:"]
    for value, (calls, spent, reserved) in sorted(sums.items(), key=lambda item: -item[1][1]):
        rows.append(f"{cell(value)} | {calls} | {spent / 1e6:.6f} | {reserved / 1e6:.6f}")
    return "\n".join(rows)


def plot(history: Sequence[DaySpend]) -> str:
    """Draw a bar a day, what is reserved on top of what is spent, as SVG."""
    most = max(day.spent_micro_usd + day.reserved_micro_usd for day in history)
    return bars(
        f"most: ${most / 1e6:.4f} a day; dark spent, light reserved",
        [
            Bar(str(day.on_day), (float(day.spent_micro_usd), float(day.reserved_micro_usd)))
            for day in history
        ],
        colours=(DARK, LIGHT),
        width=BAR_WIDTH,
    )


@dg.asset_check(
    asset=spend,
    blocking=True,
    description="Every account holds what its reservations add up to: estimates of what is held, "
    "amounts of what is charged. A failure means that the budget is not to be trusted: somebody "
    "changed the tables by hand, or there is a fault in the ledger.",
)
def account_equals_ledger(database: DatabaseResource) -> dg.AssetCheckResult:
    """Every account holds what its reservations add up to."""
    unequal = reader.unequal_accounts(database.database)
    return dg.AssetCheckResult(
        passed=not unequal,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata={"unequal_accounts": len(unequal), "first": unequal[:20]},
    )

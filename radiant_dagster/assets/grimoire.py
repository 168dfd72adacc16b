"""The Grimoire as Dagit shows it: one asset over all tenants, with counts and checks, no text."""

import dagster as dg

from radiant_dagster.adapters.grimoire import upkeep
from radiant_dagster.adapters.grimoire.scan import heuristics_with_identifiers
from radiant_dagster.resources import DatabaseResource, SafetyResource


@dg.asset(
    name="grimoire",
    group_name="knowledge",
    kinds={"postgres", "pgvector"},
    owners=["team:radiant"],
    description="What the think tank has learned: heuristics with a confidence that only recorded "
    "outcomes move. Materialising it runs the daily maintenance over all tenants: expire what has "
    "lapsed, retire what is not trusted, delete what was out of use for 30 days. The Librarian "
    "adds a materialisation for each heuristic it stores. Texts stay in the database; read them "
    "with `radiant grimoire list`.",
)
def grimoire(database: DatabaseResource) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """Maintain the Grimoire and report on it."""
    changed = upkeep.maintain(database.database)
    by_domain, duplicates, brier = upkeep.statistics(database.database)
    totals = {
        name: sum(row[name] for row in by_domain)
        for name in ("active", "quarantined", "expired", "retired", "never_used")
    }
    active = totals["active"]
    means = [(row["mean_confidence"], row["active"]) for row in by_domain if row["active"]]
    metadata: dict[str, dg.MetadataValue | int | float] = {
        **totals,
        "never_used_share": totals["never_used"] / active if active else 0.0,
        "mean_confidence": sum(m * n for m, n in means) / active if active else 0.5,
        "duplicate_rate": duplicates / max(1, active + totals["quarantined"]),
        "expired_now": changed["expired"],
        "retired_now": changed["retired"],
        "deleted_now": changed["deleted"],
        "by_domain": dg.MetadataValue.md(_table(by_domain)),
    }
    if brier is not None:
        metadata["brier_score"] = brier
    return dg.MaterializeResult(metadata=metadata)


def _table(rows: list[dict[str, object]]) -> str:
    if not rows:
        return "No heuristic yet. Sessions with a released answer add quarantined candidates."
    names = ("domain", "active", "quarantined", "expired", "retired", "never_used")
    lines = [" | ".join(names), " | ".join("---" for _ in names)]
    lines += [" | ".join(str(row[name]) for name in names) for row in rows]
    return "\n".join(lines)


@dg.asset_check(
    asset=grimoire,
    blocking=False,
    description="Every table with a tenant has FORCE row-level security. A failure means that one "
    "tenant might read another's rows: stop the workers and run `radiant db migrate`.",
)
def row_level_security_forced(database: DatabaseResource) -> dg.AssetCheckResult:
    """Every table with a tenant has FORCE row-level security."""
    tables = upkeep.tables_without_forced_rls(database.database)
    return dg.AssetCheckResult(passed=not tables, metadata={"unforced_tables": tables})


@dg.asset_check(
    asset=grimoire,
    description="No active heuristic is a day and a half past its expiry. A failure means that "
    "the daily maintenance does not run: look at `grimoire_maintenance_schedule`.",
)
def nothing_overdue(database: DatabaseResource) -> dg.AssetCheckResult:
    """No active heuristic is past its expiry."""
    overdue, _ = upkeep.overdue_and_unknown(database.database)
    return dg.AssetCheckResult(passed=overdue == 0, metadata={"overdue": overdue})


@dg.asset_check(
    asset=grimoire,
    description="Every heuristic's embedding model has a similarity threshold. A failure means "
    "that rows of a model are never found: add the model's threshold.",
)
def every_model_has_a_threshold(database: DatabaseResource) -> dg.AssetCheckResult:
    """Every heuristic's embedding model has a similarity threshold."""
    _, unknown = upkeep.overdue_and_unknown(database.database)
    return dg.AssetCheckResult(passed=unknown == 0, metadata={"rows_of_unknown_models": unknown})


@dg.asset_check(
    asset=grimoire,
    description="No stored heuristic holds a personal identifier, by today's detector. A failure "
    "lists ids: retire them with `radiant grimoire retire`.",
)
def no_identifiers_left(database: DatabaseResource, safety: SafetyResource) -> dg.AssetCheckResult:
    """No stored heuristic holds a personal identifier."""
    found = heuristics_with_identifiers(database.database, safety.detector)
    return dg.AssetCheckResult(
        passed=not found, metadata={"count": len(found), "ids": [str(item) for item in found[:50]]}
    )

"""The Grimoire as Dagit shows it: one asset over all tenants, with counts and checks, no text."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import dagster as dg

from radiant_dagster.adapters import vector_index
from radiant_dagster.adapters.embeddings import EmbeddingModel
from radiant_dagster.adapters.grimoire import scan, upkeep
from radiant_dagster.adapters.grimoire.calibration import calibrate_from_outcomes
from radiant_dagster.adapters.grimoire.figures import BINS, WEEKS, Figures, read_figures
from radiant_dagster.adapters.grimoire.reembed import reembed_all
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.assets.plots import DARK, LIGHT, MIDDLE, Bar, bars, cell, picture
from radiant_dagster.errors import TransientError
from radiant_dagster.resources import (
    DatabaseResource,
    EmbeddingsResource,
    SafetyResource,
    process_settings,
)

STATES = ("active", "quarantined", "expired", "retired", "merged", "revoked")
DIGITS = 4  # of a share
MOST_IDS = 50  # that a failed check names


@dg.asset(
    name="grimoire",
    group_name="knowledge",
    kinds={"postgres", "pgvector"},
    owners=["team:radiant"],
    description="What the think tank has learned. A heuristic is one rule of thumb, distilled from "
    "a session: when a question looks like this, do (or avoid) that. New ones are quarantined and "
    "no agent sees them; active ones are offered to the agents of fitting questions. Confidence, 0 "
    "to 1, begins at 0.5 and moves only when people judge answers whose agents said they used the "
    "heuristic.\n\n"
    "Materialising runs the daily maintenance over all tenants: expire what nobody used, retire "
    "what very likely helps in fewer than three of ten cases, delete what was out of use for 30 "
    "days, embed anew what a replaced embedding model left, set each embedding model's similarity "
    "floor by what its uses were worth, once there are 200. It is safe at any time, beside running "
    "sessions, and a second run finds nothing to do. Each materialisation shows counts by state "
    "and domain, what share of the answered sessions was offered anything (hit rate) and cited it, "
    "and how well confidence foretells outcomes (Brier score: 0 is perfect, 0.25 is a coin). "
    "`open_links` are pairs that wait for a curator, `duplicate_rate` is the share that repeats "
    "another one's text, `refused` is what the Librarian was not allowed to keep in 12 weeks, "
    "`..._now` is what this run changed. The "
    "Librarian adds a materialisation for each heuristic it stores. Texts stay in the database; "
    "read them with `radiant grimoire list`.",
)
def grimoire(
    context: dg.AssetExecutionContext,
    database: DatabaseResource,
    embeddings: EmbeddingsResource,
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """Maintain the Grimoire and report on it."""
    changed = upkeep.maintain(database.database)
    reembedded, away = _reembed(database.database, embeddings.model)
    if away is not None:
        context.log.warning("Old vectors stay until tomorrow: %s", away)
    floors = calibrate_from_outcomes(database.database, now=datetime.now(UTC), apply=True)
    found = read_figures(database.database)
    metadata = {
        **_numbers(found),
        **{f"{name}_now": count for name, count in changed.items()},
        "reembedded_now": reembedded,
        "calibrated_now": sum(floor.chosen is not None for floor in floors),
        "by_domain": dg.MetadataValue.md(by_domain(found.by_domain)),
        "refused_by_reason": dg.MetadataValue.md(refusals(found.refused)),
        **_pictures(found),
    }
    return dg.MaterializeResult(metadata=metadata)


def _reembed(database: Database, model: EmbeddingModel) -> tuple[int, str | None]:
    # A model that is away must not cost the day's report; what is left is taken up tomorrow.
    try:
        return reembed_all(database, model), None
    except TransientError as error:
        return 0, error.code


def _numbers(found: Figures) -> Mapping[str, int | float]:
    active, live = found.total("active"), found.total("active") + found.total("quarantined")
    confidence = sum((row["mean_confidence"] or 0) * row["active"] for row in found.by_domain)
    sessions = sum(week.sessions for week in found.use)
    offered = sum(week.offered for week in found.use)
    numbers: dict[str, int | float] = {
        **{name: found.total(name) for name in STATES},
        "never_used": found.total("never_used"),
        "never_used_share": found.total("never_used") / active if active else 0.0,
        "mean_confidence": confidence / active if active else 0.5,
        "duplicate_rate": found.duplicates / max(1, live),
        "hit_rate": offered / max(1, sessions),
        "cited_share": sum(week.cited for week in found.use) / max(1, offered),
        "open_links": found.open_links,
        "refused": sum(count for _, count in found.refused),
    }
    if found.brier is not None:
        numbers["brier_score"] = found.brier
    return {name: round(value, DIGITS) for name, value in numbers.items()}


def by_domain(rows: Sequence[Mapping[str, object]]) -> str:
    """Return counts and mean confidence by domain as a Markdown table."""
    if not rows:
        return "No heuristic yet. Sessions with a released answer add quarantined candidates."
    # What matters most first: Dagit cuts off what is too wide, and nobody can scroll.
    counts = ("active", "never_used", *STATES[1:])
    lines = [" | ".join(("domain", "confidence", *counts))]
    lines.append(" | ".join(("---", *("---:" for _ in ("confidence", *counts)))))
    for row in rows:
        mean = row["mean_confidence"]
        shown = "-" if not isinstance(mean, float) else f"{mean:.2f}"
        lines.append(" | ".join([cell(row["domain"]), shown, *(cell(row[n]) for n in counts)]))
    return "\n".join(lines)


def refusals(refused: Sequence[tuple[str, int]]) -> str:
    """Return why the Librarian refused as a Markdown table, most frequent first."""
    if not refused:
        return f"Nothing was refused in {WEEKS} weeks."
    lines = ["reason | refused", "--- | ---:"]
    return "\n".join([*lines, *(f"{cell(reason)} | {count}" for reason, count in refused)])


def _pictures(found: Figures) -> Mapping[str, dg.MetadataValue]:
    drawn = {
        "confidence_of_active": bars(
            f"active heuristics by confidence, most: {max(found.histogram)}",
            [
                Bar(f"{number / BINS:.1f} to {(number + 1) / BINS:.1f}", (float(count),))
                for number, count in enumerate(found.histogram)
            ],
            colours=(DARK,),
        ),
        "growth_by_week": bars(
            "a week: light new, middle promoted, dark retired",
            [
                Bar(str(item.week), (float(item.added), float(item.promoted), float(item.retired)))
                for item in found.growth
            ],
            colours=(LIGHT, MIDDLE, DARK),
            side_by_side=True,
        ),
        "use_by_week": bars(
            "answered sessions a week: dark cited, middle offered only, light offered nothing",
            [
                Bar(
                    str(item.week),
                    (
                        float(item.cited),
                        float(item.offered - item.cited),
                        float(item.sessions - item.offered),
                    ),
                )
                for item in found.use
            ],
            colours=(DARK, MIDDLE, LIGHT),
        ),
        "hit_rate_by_week": bars(
            "share of answered sessions that were offered anything; full height is all",
            [
                Bar(str(item.week), (item.offered / item.sessions if item.sessions else 0.0,))
                for item in found.use
            ],
            colours=(DARK,),
            most=1.0,
        ),
    }
    return {name: dg.MetadataValue.md(picture(name, svg)) for name, svg in drawn.items()}


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
    "that rows of a model are never found. `radiant grimoire reembed`, for each tenant, or the "
    "next maintenance gives them vectors of the present model.",
)
def every_model_has_a_threshold(database: DatabaseResource) -> dg.AssetCheckResult:
    """Every heuristic's embedding model has a similarity threshold."""
    _, unknown = upkeep.overdue_and_unknown(database.database)
    return dg.AssetCheckResult(passed=unknown == 0, metadata={"rows_of_unknown_models": unknown})


@dg.asset_check(
    asset=grimoire,
    description="No active or quarantined heuristic holds a personal identifier, by today's "
    "detector. A failure lists them: read each, then retire it with `radiant grimoire retire`, or "
    "give it another text with `radiant grimoire edit`.",
)
def no_identifiers_left(database: DatabaseResource, safety: SafetyResource) -> dg.AssetCheckResult:
    """No stored heuristic holds a personal identifier."""
    found = scan.heuristics_with_identifiers(database.database, safety.detector)
    return _none_of(found)


@dg.asset_check(
    asset=grimoire,
    description="The text of every active heuristic is, to the letter, the one that was let "
    "through. Agents do not get a changed one. A failure lists them: somebody changed the table "
    "past the curators. Read each, then bring its last version back with `radiant grimoire "
    "rollback`, or retire it.",
)
def content_as_approved(database: DatabaseResource) -> dg.AssetCheckResult:
    """The text of every active heuristic is the one that was let through."""
    return _none_of(scan.heuristics_not_as_approved(database.database))


@dg.asset_check(
    asset=grimoire,
    description="Every confidence is what the recorded uses and reviewed sessions add up to, "
    "within 0.1 % of rounding. A failure lists them: somebody changed the table by hand, or there "
    "is a fault in the credit; `radiant grimoire rebuild` computes a tenant's again.",
)
def posterior_equals_usage(database: DatabaseResource) -> dg.AssetCheckResult:
    """Every confidence is what its records add up to."""
    return _none_of(scan.posteriors_that_differ(database.database))


@dg.asset_check(
    asset=grimoire,
    description="No active heuristic lies near to every question, as one does that was planted to "
    "be offered always. A failure lists them: read each and retire what does not belong there. "
    "Honest ones are hardly ever listed.",
)
def no_heuristic_fits_everything(database: DatabaseResource) -> dg.AssetCheckResult:
    """No active heuristic lies near to every question."""
    return _none_of(
        scan.heuristics_near_everything(database.database), severity=dg.AssetCheckSeverity.WARN
    )


@dg.asset_check(
    asset=grimoire,
    description="Every domain of a tenant above RADIANT_GRIMOIRE_EXACT_ROWS active heuristics has "
    "a vector index of its own. A failure means that its sessions are consulted rightly and "
    "slowly: run `radiant db index`.",
)
def large_domains_have_their_index(database: DatabaseResource) -> dg.AssetCheckResult:
    """Every large domain has a vector index of its own."""
    rows = process_settings().grimoire_exact_rows
    with database.database.system_transaction("radiant_maintenance") as cursor:
        lacking = vector_index.without_index(cursor, rows)
    domains = [f"{item.domain} of tenant {item.tenant_id}" for item in lacking[:MOST_IDS]]
    return dg.AssetCheckResult(
        passed=not lacking,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"count": len(lacking), "domains": domains},
    )


def _none_of(
    found: Sequence[scan.Suspect], *, severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR
) -> dg.AssetCheckResult:
    # As what to type: an id says nothing of its tenant. Dagit hides lists behind a click.
    commands = [
        f"radiant grimoire show {item.heuristic_id} --tenant {item.tenant_id}"
        for item in found[:MOST_IDS]
    ]
    metadata: dict[str, int | str | list[str]] = {"count": len(found)}
    if commands:
        metadata |= {"read_first": commands[0], "read_all": commands}
    return dg.AssetCheckResult(passed=not found, severity=severity, metadata=metadata)

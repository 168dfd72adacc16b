"""Measures how alike a question has to be to a heuristic's trigger."""

from datetime import UTC, datetime

import dagster as dg
from pydantic import Field

from radiant_dagster.adapters.grimoire.calibration import calibrate_from_outcomes
from radiant_dagster.resources import DatabaseResource


class CalibrateConfig(dg.Config):
    """Whether the floors are written."""

    apply: bool = Field(
        default=False,
        description="Write the chosen floors. Off: only show them in this step's metadata.",
    )


@dg.op(
    description="Choose the similarity floor of every embedding model by what the uses of its "
    "heuristics were worth. Models with fewer than 200 judged uses stay as they are. Shows old and "
    "new floors with precision and coverage; writes them where `apply` is set.",
    out=dg.Out(dg.Nothing),
)
def calibrate_floors(
    context: dg.OpExecutionContext, config: CalibrateConfig, database: DatabaseResource
) -> None:
    """Choose the similarity floor of every embedding model by its outcomes."""
    found = calibrate_from_outcomes(database.database, now=datetime.now(UTC), apply=config.apply)
    for item in found:
        context.log.info(
            "%s: %d judged uses, floor %.2f -> %s",
            item.model_id, item.n, item.before, item.chosen.floor if item.chosen else "as it is",
        )  # fmt: skip
    context.add_output_metadata(
        {
            item.model_id: dg.MetadataValue.json(
                {"before": item.before, "judged_uses": item.n, "applied": config.apply}
                | ({"chosen": item.chosen.as_dict()} if item.chosen else {})
            )
            for item in found
        }
    )

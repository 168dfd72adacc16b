"""Forgets what happened long ago and was told."""

import dagster as dg

from radiant_dagster.adapters.event_retention import forget_old
from radiant_dagster.resources import DatabaseResource, process_settings


@dg.op(
    description="Delete events older than RADIANT_EVENT_DAYS with their deliveries. What somebody "
    "still has to be told of stays. Shows how many were deleted; a failure deletes nothing more "
    "and is mended by the next day's run.",
    out=dg.Out(dg.Nothing),
)
def forget_old_events(context: dg.OpExecutionContext, database: DatabaseResource) -> None:
    """Delete old events with their deliveries."""
    days = process_settings().event_days
    deleted = forget_old(database.database, days=days)
    context.add_output_metadata({"older_than_days": days, **deleted})

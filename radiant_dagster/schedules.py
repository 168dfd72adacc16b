"""When maintenance runs."""

from datetime import UTC, datetime, timedelta

import dagster as dg

from radiant_dagster.assets.grimoire import grimoire
from radiant_dagster.assets.spend import spend
from radiant_dagster.jobs import event_maintenance

grimoire_maintenance = dg.define_asset_job(
    "grimoire_maintenance",
    # The asset and its checks.
    selection=dg.AssetSelection.assets(grimoire) | dg.AssetSelection.checks_for_assets(grimoire),
    description="Expires, retires and deletes heuristics over all tenants, embeds anew what a "
    "replaced embedding model left, then checks the Grimoire. Safe to run at any time, beside "
    "running sessions.",
)

grimoire_maintenance_schedule = dg.ScheduleDefinition(
    name="grimoire_maintenance_schedule",
    job=grimoire_maintenance,
    cron_schedule="17 3 * * *",  # off the full hour, where everybody's jobs start
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every day at 03:17 UTC: maintain the Grimoire and run its checks.",
)

event_maintenance_schedule = dg.ScheduleDefinition(
    name="event_maintenance_schedule",
    job=event_maintenance,
    cron_schedule="41 3 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every day at 03:41 UTC: delete old events and their deliveries.",
)

spend_report = dg.define_asset_job(
    "spend_report",
    selection=dg.AssetSelection.assets(spend) | dg.AssetSelection.checks_for_assets(spend),
    description="Reports what a day cost over all tenants, and checks that the accounts hold what "
    "the ledger adds up to. Reads only; safe to run at any time.",
)


@dg.schedule(
    name="spend_report_schedule",
    job=spend_report,
    cron_schedule="23 0 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every day at 00:23 UTC: report what the day before cost.",
)
def spend_report_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Ask for the partition of the day that has just ended."""
    ended: datetime = context.scheduled_execution_time.astimezone(UTC) - timedelta(days=1)
    return dg.RunRequest(partition_key=f"{ended:%Y-%m-%d}")

"""When maintenance runs."""

import dagster as dg

from radiant_dagster.assets.grimoire import grimoire

grimoire_maintenance = dg.define_asset_job(
    "grimoire_maintenance",
    # The asset and its checks.
    selection=dg.AssetSelection.assets(grimoire) | dg.AssetSelection.checks_for_assets(grimoire),
    description="Expires, retires and deletes heuristics over all tenants, then checks the "
    "Grimoire. Safe to run at any time, beside running sessions.",
)

grimoire_maintenance_schedule = dg.ScheduleDefinition(
    name="grimoire_maintenance_schedule",
    job=grimoire_maintenance,
    cron_schedule="17 3 * * *",  # off the full hour, where everybody's jobs start
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every day at 03:17 UTC: maintain the Grimoire and run its checks.",
)

"""What Dagster loads: the jobs, the assets, sensors, schedules and resources."""

import os

import dagster as dg

from radiant_dagster.adapters.settings import Settings
from radiant_dagster.assets import grimoire as grimoire_assets
from radiant_dagster.assets import spend as spend_assets
from radiant_dagster.engine.executor import threaded_executor
from radiant_dagster.engine.io_manager import id_only_io_manager
from radiant_dagster.jobs import (
    build_think_tank,
    event_maintenance,
    grimoire_calibrate,
    synthesis_and_librarian,
)
from radiant_dagster.resources import build_resources
from radiant_dagster.schedules import (
    event_maintenance_schedule,
    grimoire_maintenance,
    grimoire_maintenance_schedule,
    spend_report,
    spend_report_schedule,
)
from radiant_dagster.sensors.approval import approval_sensor
from radiant_dagster.sensors.runs import (
    session_canceled_sensor,
    session_failure_sensor,
    stuck_session_sensor,
)


def build_definitions(*, inline_prompts: bool) -> dg.Definitions:
    """Put everything together.

    Args:
        inline_prompts: Offer a prompt field in the Launchpad (RADIANT_ALLOW_INLINE_PROMPTS).
    """
    return dg.Definitions(
        assets=[grimoire_assets.grimoire, spend_assets.spend],
        asset_checks=dg.load_asset_checks_from_modules([grimoire_assets, spend_assets]),
        jobs=[
            build_think_tank(inline_prompts=inline_prompts),
            synthesis_and_librarian,
            grimoire_maintenance,
            grimoire_calibrate,
            spend_report,
            event_maintenance,
        ],
        schedules=[
            grimoire_maintenance_schedule,
            spend_report_schedule,
            event_maintenance_schedule,
        ],
        sensors=[
            approval_sensor,
            session_failure_sensor,
            session_canceled_sensor,
            stuck_session_sensor,
        ],
        resources={**build_resources(), "io_manager": id_only_io_manager},
        executor=threaded_executor,
    )


defs = build_definitions(inline_prompts=Settings.load(os.environ).allow_inline_prompts)

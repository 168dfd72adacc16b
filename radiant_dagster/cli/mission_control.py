"""`radiant mission-control`: the reviewers' pages and the API, without the rest of the stack."""

import click

from radiant_dagster.cli.common import example, load_settings
from radiant_dagster.mission_control.server import run


@click.command(
    short_help="Serve the reviewers' pages and the API.",
    epilog=example("radiant mission-control --port 8080"),
)
@click.option("--host", help="Default: RADIANT_MISSION_CONTROL_HOST, or 127.0.0.1.")
@click.option(
    "--port", type=click.IntRange(1, 65535), metavar="N",
    help="Default: RADIANT_MISSION_CONTROL_PORT, or 8080.",
)  # fmt: skip
def mission_control(host: str | None, port: int | None) -> None:
    """Serve Mission Control until Ctrl-C; `radiant up` does it by itself.

    It works with the login of RADIANT_REVIEW_DATABASE_URL, and takes decisions while Dagster is
    down. It speaks no TLS: beyond this machine, put a proxy in front.
    """
    given = {"mission_control_host": host, "mission_control_port": port}
    update = {name: value for name, value in given.items() if value is not None}
    run(load_settings().model_copy(update=update))

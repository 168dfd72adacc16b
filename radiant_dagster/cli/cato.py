"""`radiant cato`: the safety rules as a service of their own."""

import click

from radiant_dagster.cato_service import run
from radiant_dagster.cli.common import example, load_settings


@click.group(
    short_help="Serve Cato's safety checks over HTTP.",
    epilog=example("radiant cato serve --port 8090"),
)
def cato() -> None:
    """Run Cato's embedded rules as a service. Without one, every worker has them in itself."""


@cato.command(
    short_help="Answer safety checks until Ctrl-C.",
    epilog=example("radiant cato serve --port 8090"),
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), default=8090, show_default=True, metavar="N",
              help="Port to listen on.")  # fmt: skip
def serve(host: str, port: int) -> None:
    """Answer checks of those whose CATO_SERVICE_URL points here.

    With RADIANT_CATO_KEY set, only who shows it is answered; beyond loopback it has to be set.
    """
    run(load_settings(), host=host, port=port)

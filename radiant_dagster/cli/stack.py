"""`radiant up`, `down`, `reset`: everything on one machine."""

from pathlib import Path
from uuid import uuid4

import click

from radiant_dagster.adapters import tenants
from radiant_dagster.adapters.settings import Settings
from radiant_dagster.cli.common import example, load_settings, open_database, stdin_is_terminal
from radiant_dagster.cli.keys import ensure_reviewer
from radiant_dagster.cli.main import EXIT_FAILED
from radiant_dagster.errors import InvalidInput, TenantNotFound
from radiant_dagster.local import control
from radiant_dagster.local.control import StackInfo
from radiant_dagster.local.stack import Stack


@click.command(
    short_help="Start everything on this machine; Ctrl-C stops it.",
    epilog=example("radiant up --workers 2"),
)
@click.option(
    "--workers", type=click.IntRange(1, 64), metavar="N",
    help="Runs at the same time. Default: RADIANT_WORKERS, or 4.",
)  # fmt: skip
def up(workers: int | None) -> None:
    """Start everything on this machine.

    That is Postgres, the broker, the demo model, Mission Control, Dagster and its workers.

    Pieces that your settings point elsewhere are not started. Data is kept between starts. It
    stays in the foreground: one Ctrl-C stops it all. Other terminals find it by themselves.
    """
    settings = load_settings(stack=False)
    if workers is not None:
        settings = settings.model_copy(update={"workers": workers})
    with Stack(settings) as stack:
        info = stack.start(lambda line: click.echo(line))
        reachable = load_settings()
        created = ensure_tenant(reachable)
        _print_addresses(info, reachable, created)
        # Into somebody else's database no admin is put unasked.
        if "mission" in info.processes and "postgres" in info.processes:
            _print_login(ensure_reviewer(reachable))
        click.echo("Ctrl-C stops everything.")
        stack.wait()
        click.echo("\nStopping ...")
    click.echo("Everything is stopped; the data is kept.")


def ensure_tenant(settings: Settings) -> bool:
    """Create the settings' tenant where it is missing; returns True where it did."""
    with open_database(settings) as database:
        try:
            tenants.find_tenant(database, settings.tenant)
        except TenantNotFound:
            tenants.create_tenant(database, uuid4(), settings.tenant, settings.tenant.capitalize())
            return True
    return False


def _print_addresses(info: StackInfo, settings: Settings, created: bool) -> None:
    click.echo()
    if created:
        click.echo(f"Tenant   {settings.tenant} (created now)")
    if info.mission_control_url:
        click.echo(f"Review   {info.mission_control_url}")
    if info.dagster_url:
        click.echo(f"Dagit    {info.dagster_url}")
    model = info.environment.get("RADIANT_OFFLINE_MODEL_URL")
    if model:
        click.echo(f"Model    {model} (offline demo: answers are made up; set LITELLM_PROXY_URL)")
    else:
        click.echo(f"Model    {settings.litellm_proxy_url or settings.resolved_llm_transport}")
    click.echo(f"Data     {settings.home}")
    click.echo('Ask, from another terminal:  radiant think "..."')


def _print_login(path: Path) -> None:
    # A key in a log file or a service's journal would outlive the terminal it was meant for.
    shown = f"{path.read_text().strip()} (kept in {path})"
    click.echo(f"Log in   {shown if stdin_is_terminal() else f'with the key in {path}'}")


@click.command(short_help="Stop what `radiant up` started.", epilog=example("radiant down"))
def down() -> None:
    """Stop what `radiant up` started; the data is kept."""
    settings = load_settings(stack=False)
    if control.down(settings):
        click.echo("Everything is stopped; the data is kept.")
    else:
        click.echo(f"Nothing runs at {settings.home}.")


@click.command(
    short_help="Stop it and delete all of its data for good.", epilog=example("radiant reset --yes")
)
@click.option("--yes", is_flag=True, help="Do not ask.")
def reset(yes: bool) -> None:
    """Stop the stack and delete its sessions, decisions and heuristics for good.

    Databases and brokers that your settings point to are not touched.
    """
    settings = load_settings(stack=False)
    if not settings.home.is_dir():
        click.echo(f"Nothing is at {settings.home}.")
        return
    if not yes:
        if not stdin_is_terminal():
            raise InvalidInput(
                "--yes", "is missing, and nobody can be asked here", "Pass it to delete all data."
            )
        if not click.confirm(f"Delete all data in {settings.home} for good?"):
            click.echo("Nothing was deleted.", err=True)
            raise click.exceptions.Exit(EXIT_FAILED)
    removed = control.reset(settings)
    click.echo(f"Deleted from {settings.home}: {', '.join(removed) or 'nothing'}.")

"""`radiant notify`: which people hear of approvals, by e-mail, Slack, Teams and the rest."""

import re
import sys
import uuid
from datetime import UTC, datetime, timedelta

import click
from rich.table import Table

from radiant_dagster.adapters import targets
from radiant_dagster.adapters.deliverer import policy_of
from radiant_dagster.adapters.notifications import Notifier
from radiant_dagster.adapters.vault import Vault
from radiant_dagster.adapters.webhooks import Sender
from radiant_dagster.cli.common import (
    as_option,
    connect,
    emit_json,
    example,
    json_option,
    login_name,
    make_console,
    short,
    tenant_option,
)
from radiant_dagster.cli.main import EXIT_FAILED
from radiant_dagster.cli.webhooks import choice_options, find_target, words
from radiant_dagster.domain.webhooks import Event, sentence
from radiant_dagster.errors import InvalidInput

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


@click.group(
    short_help="Tell people of approvals by e-mail, Slack, Teams and the rest.",
    epilog=example(
        "radiant notify add night-shift --domain medical --event approval.requested",
        "radiant notify test night-shift",
    ),
)
def notify() -> None:
    """Tell people of approvals: domain, deadline and link, never texts."""


@notify.command(
    short_help="Add a route; asks for its URL.",
    epilog=example(
        "radiant notify add night-shift --domain medical",
        "radiant notify add night-shift < apprise-url.txt",
    ),
)
@click.argument("name")
@choice_options
@as_option
@tenant_option
@json_option
def add(
    name: str,
    types: tuple[str, ...],
    domains: tuple[str, ...],
    actor: str | None,
    tenant: str | None,
    as_json: bool,
) -> None:
    """Add a route. Its Apprise URL is a secret: it is asked for, or read from standard input.

    For instance mailtos://user:password@example.org?to=ward@example.org or slack://A/B/C.
    """
    who, route_id = login_name(actor), uuid.uuid4()
    if not NAME.fullmatch(name):
        raise InvalidInput("name", "is not a short name", "Use lower-case letters, digits, - or _.")
    with connect(tenant) as client:
        vault = Vault.of(client.settings)
        url = _read_url()
        sender = Sender(policy_of(client.settings))
        try:
            service = Notifier(sender).check(url)
        finally:
            sender.close()
        with client.database.tenant_transaction(client.tenant_id) as cursor:
            targets.add_route(
                cursor,
                client.tenant_id,
                route_id,
                name=name,
                service=service,
                url=vault.seal(url.encode(), client.tenant_id, route_id),
                types=types,
                domains=domains,
                actor=who,
            )
    if as_json:
        emit_json({"id": route_id, "name": name, "service": service})
    else:
        click.echo(f"Added {name} ({service}). Try it: radiant notify test {name}")


def _read_url() -> str:
    if sys.stdin.isatty():
        return click.prompt("Apprise URL", hide_input=True).strip()
    return sys.stdin.readline(10_000).strip()


@notify.command("list", short_help="Routes without URLs.", epilog=example("radiant notify list"))
@tenant_option
@json_option
def list_(tenant: str | None, as_json: bool) -> None:
    """List routes; of their URLs the service alone."""
    with (
        connect(tenant) as client,
        client.database.tenant_transaction(client.tenant_id) as cursor,
    ):
        rows = targets.routes(cursor, client.tenant_id)
    if as_json:
        emit_json({"routes": rows})
        return
    table = Table(box=None, pad_edge=False)
    for name in ("id", "name", "service", "events", "domains"):
        table.add_column(name, header_style="dim")
    for row in rows:
        table.add_row(
            short(row["id"]), row["name"], row["service"], words(row["types"]),
            words(row["domains"]),
        )  # fmt: skip
    make_console().print(table if rows else "There are no routes.")


@notify.command(
    short_help="Send a test message.", epilog=example("radiant notify test night-shift")
)
@click.argument("name")
@tenant_option
def test(name: str, tenant: str | None) -> None:
    """Send one message to a route, as if an approval waited."""
    now = datetime.now(UTC)
    with connect(tenant) as client:
        with client.database.tenant_transaction(client.tenant_id) as cursor:
            route_id = find_target(targets.routes(cursor, client.tenant_id), name, "route")
            row = targets.route(cursor, client.tenant_id, route_id)
        if row is None:
            raise InvalidInput("route", "was removed just now", "Add it again.")
        event = Event(
            uuid.uuid4(), client.tenant_id, "approval.requested", uuid.uuid4(), None, "test",
            "pending", now + timedelta(minutes=5), now,
        )  # fmt: skip
        url = Vault.of(client.settings).open(bytes(row["url"]), client.tenant_id, route_id).decode()
        sender = Sender(policy_of(client.settings))
        try:
            reply = Notifier(sender).send(url, f"Test. {sentence(event, None)}")
        finally:
            sender.close()
    if reply.error is not None:
        click.echo(f"It failed: {reply.error}.")
        raise click.exceptions.Exit(EXIT_FAILED)
    click.echo("It was taken.")


@notify.command(
    short_help="Remove a route and its URL.", epilog=example("radiant notify remove night-shift")
)
@click.argument("name")
@as_option
@tenant_option
def remove(name: str, actor: str | None, tenant: str | None) -> None:
    """Remove a route. What was not delivered to it yet is given up."""
    who = login_name(actor)
    with (
        connect(tenant) as client,
        client.database.tenant_transaction(client.tenant_id) as cursor,
    ):
        route_id = find_target(targets.routes(cursor, client.tenant_id), name, "route")
        targets.remove(cursor, client.tenant_id, "notification", route_id, actor=who)
    click.echo(f"Removed {name}.")

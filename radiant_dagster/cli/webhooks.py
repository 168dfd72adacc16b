"""`radiant webhooks`: who is told of approvals and sessions by signed HTTP, and what arrived."""

import base64
import signal
import threading
import uuid
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import click
from rich.table import Table

from radiant_dagster.adapters import deliveries, targets
from radiant_dagster.adapters.deliverer import Deliverer, endpoint_keys, policy_of
from radiant_dagster.adapters.migrations import require_current
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.adapters.vault import Vault
from radiant_dagster.adapters.webhooks import Sender, new_secret
from radiant_dagster.cli.common import (
    Client,
    as_option,
    connect,
    emit_json,
    example,
    json_option,
    load_settings,
    login_name,
    make_console,
    moment,
    plain,
    short,
    tenant_option,
)
from radiant_dagster.cli.main import EXIT_FAILED
from radiant_dagster.domain.webhooks import EVENT_TYPES, SECRET_PREFIX, parse_secret
from radiant_dagster.errors import ConfigurationError, InvalidInput

ID_LENGTH = 6


def choice_options(command: Any) -> Any:
    """Add --event and --domain, which both kinds of target choose by."""
    command = click.option(
        "--event", "types", multiple=True, type=click.Choice(EVENT_TYPES),
        help="Of this type only. May be given several times. Default: all.",
    )(command)  # fmt: skip
    return click.option(
        "--domain", "domains", multiple=True, metavar="NAME",
        help="Of this domain only. May be given several times. Default: all.",
    )(command)  # fmt: skip


def find_target(rows: list[dict[str, Any]], text: str, field: str) -> UUID:
    """Return the id of the row that a person named by id, its beginning, or name.

    Raises:
        InvalidInput: None or several.
    """
    wanted = text.strip().lower()
    found = [
        row["id"]
        for row in rows
        if row.get("name") == wanted
        or (len(wanted) >= ID_LENGTH and str(row["id"]).startswith(wanted))
    ]
    if len(found) != 1:
        problem = "none is called so" if not found else "several begin so"
        raise InvalidInput(field, problem, "Copy it from the list.")
    return found[0]


def words(items: list[str]) -> str:
    """Return a choice for people."""
    return ", ".join(items) if items else "all"


@click.group(
    short_help="Tell other systems of approvals by signed HTTP.",
    epilog=example(
        "radiant webhooks add https://hooks.example.org/radiant",
        "radiant webhooks test 4f0a21",
        "radiant webhooks deliveries --undelivered",
    ),
)
def webhooks() -> None:
    """Tell other systems of approvals and sessions: ids, states and deadlines, never texts.

    Requests are signed after Standard Webhooks and repeated until they arrive.
    """


def _find(client: Client, text: str) -> UUID:
    with client.database.tenant_transaction(client.tenant_id) as cursor:
        return find_target(targets.endpoints(cursor, client.tenant_id), text, "endpoint")


@webhooks.command(
    short_help="Add an endpoint; prints its secret once.",
    epilog=example("radiant webhooks add https://hooks.example.org/radiant --domain medical"),
)
@click.argument("url")
@click.option("--secret", metavar="whsec_...", help="Default: a new one.")
@choice_options
@as_option
@tenant_option
@json_option
def add(
    url: str,
    secret: str | None,
    types: tuple[str, ...],
    domains: tuple[str, ...],
    actor: str | None,
    tenant: str | None,
    as_json: bool,
) -> None:
    """Add an endpoint. Its secret is printed once; give it to the receiver."""
    who, endpoint_id = login_name(actor), uuid.uuid4()
    with connect(tenant) as client:
        vault = Vault.of(client.settings)
        Sender(policy_of(client.settings)).check(url)
        key = parse_secret(secret) if secret else new_secret()
        with client.database.tenant_transaction(client.tenant_id) as cursor:
            targets.add_endpoint(
                cursor,
                client.tenant_id,
                endpoint_id,
                url=url,
                secret=vault.seal(key, client.tenant_id, endpoint_id),
                types=types,
                domains=domains,
                actor=who,
            )
    _print_secret(endpoint_id, key, as_json=as_json)


def _print_secret(
    endpoint_id: UUID, key: bytes, *, as_json: bool, old_until: datetime | None = None
) -> None:
    secret = SECRET_PREFIX + base64.b64encode(key).decode()
    if as_json:
        more = {"old_secret_until": old_until} if old_until else {}
        emit_json({"id": endpoint_id, "secret": secret, **more})
        return
    click.echo(f"Endpoint {endpoint_id}\nSecret {secret}\nIt is not shown again.")
    if old_until:
        click.echo(f"The secret before signs too until {moment(old_until)}.")


@webhooks.command(
    "list", short_help="Endpoints and what they chose.", epilog=example("radiant webhooks list")
)
@tenant_option
@json_option
def list_(tenant: str | None, as_json: bool) -> None:
    """List endpoints, without their secrets."""
    with (
        connect(tenant) as client,
        client.database.tenant_transaction(client.tenant_id) as cursor,
    ):
        rows = targets.endpoints(cursor, client.tenant_id)
    if as_json:
        emit_json({"endpoints": rows})
        return
    table = Table(box=None, pad_edge=False)
    for name in ("id", "events", "domains", "state"):
        table.add_column(name, header_style="dim", no_wrap=name == "id")
    table.add_column("url", header_style="dim", overflow="fold")
    for row in rows:
        state = f"disabled: {row['disabled_reason']}" if row["disabled_at"] else "on"
        table.add_row(
            short(row["id"]), words(row["types"]), words(row["domains"]), state, plain(row["url"])
        )
    make_console().print(table if rows else "There are no endpoints.")


@webhooks.command(
    short_help="Send a signed test and say what came back.",
    epilog=example("radiant webhooks test 4f0a21"),
)
@click.argument("endpoint", metavar="ID")
@tenant_option
@json_option
def test(endpoint: str, tenant: str | None, as_json: bool) -> None:
    """Send one signed request of type webhook.test, once."""
    with connect(tenant) as client:
        endpoint_id = _find(client, endpoint)
        with client.database.tenant_transaction(client.tenant_id) as cursor:
            row = targets.endpoint(cursor, client.tenant_id, endpoint_id)
        if row is None:
            raise InvalidInput("endpoint", "was removed just now", "Add it again.")
        keys = endpoint_keys(Vault.of(client.settings), client.tenant_id, row)
        sender = Sender(policy_of(client.settings))
        try:
            body = {"type": "webhook.test", "timestamp": datetime.now(UTC).isoformat(), "data": {}}
            reply = sender.send(row["url"], keys, str(uuid.uuid4()), body)
        finally:
            sender.close()
    if as_json:
        emit_json({"delivered": reply.error is None, "status": reply.status, "error": reply.error})
    else:
        click.echo("It arrived." if reply.error is None else f"It failed: {reply.error}.")
    if reply.error is not None:
        raise click.exceptions.Exit(EXIT_FAILED)


@webhooks.command(
    short_help="Remove an endpoint and its secret.",
    epilog=example("radiant webhooks remove 4f0a21"),
)
@click.argument("endpoint", metavar="ID")
@as_option
@tenant_option
def remove(endpoint: str, actor: str | None, tenant: str | None) -> None:
    """Remove an endpoint. What was not delivered to it yet is given up."""
    who = login_name(actor)
    with connect(tenant) as client:
        endpoint_id = _find(client, endpoint)
        with client.database.tenant_transaction(client.tenant_id) as cursor:
            targets.remove(cursor, client.tenant_id, "webhook", endpoint_id, actor=who)
    click.echo(f"Removed {endpoint_id}.")


@webhooks.command(
    short_help="Replace a secret; both sign for 24 hours.",
    epilog=example("radiant webhooks rotate 4f0a21"),
)
@click.argument("endpoint", metavar="ID")
@as_option
@tenant_option
@json_option
def rotate(endpoint: str, actor: str | None, tenant: str | None, as_json: bool) -> None:
    """Replace an endpoint's secret. For 24 hours requests carry both signatures."""
    who, key = login_name(actor), new_secret()
    with connect(tenant) as client:
        vault, endpoint_id = Vault.of(client.settings), _find(client, endpoint)
        sealed = vault.seal(key, client.tenant_id, endpoint_id)
        with client.database.tenant_transaction(client.tenant_id) as cursor:
            until = targets.rotate(cursor, client.tenant_id, endpoint_id, sealed, actor=who)
    _print_secret(endpoint_id, key, as_json=as_json, old_until=until)


@webhooks.command(
    "deliveries",
    short_help="What was sent to whom, and what came of it.",
    epilog=example("radiant webhooks deliveries --undelivered"),
)
@click.option("--undelivered", is_flag=True, help="What has not arrived only.")
@tenant_option
@json_option
def deliveries_(undelivered: bool, tenant: str | None, as_json: bool) -> None:
    """List deliveries to endpoints and people, the newest event first."""
    with (
        connect(tenant) as client,
        client.database.tenant_transaction(client.tenant_id) as cursor,
    ):
        rows = deliveries.recent(cursor, client.tenant_id, undelivered_only=undelivered)
    if as_json:
        emit_json({"deliveries": rows})
        return
    table = Table(box=None, pad_edge=False)
    for name in ("event", "type", "to", "kind", "tries", "state", "next try"):
        table.add_column(name, header_style="dim", no_wrap=True)
    for row in rows:
        state = "delivered" if row["delivered_at"] else row["last_error"] or "waits"
        if row["gave_up_at"]:
            state = f"given up: {state}"
        table.add_row(
            short(row["event_id"]), row["type"], short(row["target"]), row["kind"],
            str(row["attempts"]), state, moment(row["next_at"]),
        )  # fmt: skip
    make_console().print(table if rows else "Nothing was sent.")


@webhooks.command(
    short_help="Deliver until Ctrl-C, over all tenants.",
    epilog=example("radiant webhooks deliver"),
)
def deliver() -> None:
    """Deliver webhooks and notifications of all tenants until Ctrl-C.

    Several may run at once. Mission Control does the same, so this is for machines without it.
    """
    settings, stop = load_settings(), threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    if settings.review_database_url is None:
        raise ConfigurationError(
            "RADIANT_REVIEW_DATABASE_URL",
            "is not set, and the login of workers must not read everybody's endpoints",
            "Set it to a login of Mission Control's own and run `radiant db migrate`.",
        )
    url = settings.review_database_url.get_secret_value()
    require_current(url)
    database = Database(url, application_name="radiant deliver")
    try:
        click.echo("Delivering. Ctrl-C ends it.", err=True)
        Deliverer.of(settings, database).run(stop)
    finally:
        database.close()

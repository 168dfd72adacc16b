"""`radiant keys`, `radiant principals`: who may come in, and with what."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import click
from rich.table import Table

from radiant_dagster.adapters import principals as store
from radiant_dagster.adapters.postgres import Cursor
from radiant_dagster.adapters.settings import Settings
from radiant_dagster.cli.common import (
    Client,
    as_option,
    connect_reviewer,
    emit_json,
    example,
    json_option,
    login_name,
    make_console,
    moment,
    plain,
    tenant_option,
)
from radiant_dagster.domain.principals import ROLES, Kind, Principal
from radiant_dagster.errors import ConfigurationError, InvalidInput, PrincipalNotFound
from radiant_dagster.local.home import write_private

SPAN = re.compile(r"([1-9][0-9]{0,3})([dh])")
NEVER = "never"
KEY_FILE = "reviewer.key"
LOCAL_REVIEWER = "local-reviewer"
# Everything a person on their own machine may want to try.
LOCAL_ROLES = frozenset({"admin", "reviewer", "senior", "privacy", "curator"})


@contextmanager
def open_directory(tenant: str | None) -> Iterator[tuple[Client, Cursor]]:
    """Open a transaction in which principals and keys are managed.

    Raises:
        ConfigurationError: There is no login for it.
    """
    with connect_reviewer(tenant) as client:
        if client.settings.review_database_url is None:
            raise ConfigurationError(
                "RADIANT_REVIEW_DATABASE_URL",
                "is not set, and the login of workers must not make keys",
                "Set it to a login of Mission Control's own and run `radiant db migrate`.",
            )
        with client.database.tenant_transaction(client.tenant_id, role="radiant_api") as cursor:
            yield client, cursor


@click.group(
    short_help="Make, list and revoke the keys that people and services show.",
    epilog=example("radiant keys create --name dr-lee --role reviewer --domain medical"),
)
def keys() -> None:
    """Make, list and revoke keys. A key says who somebody is, and of which tenant."""


@keys.command(
    short_help="Make a key, and whose it is where they are new.",
    epilog=example(
        "radiant keys create --name dr-lee --role reviewer --domain medical --expires 90d",
        "radiant keys create --name backend --role service --expires never",
    ),
)
@click.option("--name", required=True, help="Of the person or service, as audits show it.")
@click.option(
    "--role", "roles", multiple=True, type=click.Choice(ROLES),
    help="What somebody new may do; may be repeated.",
)  # fmt: skip
@click.option(
    "--domain", "domains", multiple=True,
    help="That somebody new is qualified for; may be repeated. Default: all.",
)  # fmt: skip
@click.option("--email", help="By which a sign-on proxy knows somebody new.")
@click.option("--program", is_flag=True, help="A program, whatever its role; `service` always is.")
@click.option(
    "--expires", default="90d", metavar="90d|12h|never", show_default=True,
    help="When the key stops working.",
)  # fmt: skip
@as_option
@tenant_option
@json_option
def create(
    name: str,
    roles: tuple[str, ...],
    domains: tuple[str, ...],
    email: str | None,
    program: bool,
    expires: str,
    actor: str | None,
    tenant: str | None,
    as_json: bool,
) -> None:
    """Make a key and print it, this once: only a hash of it is kept.

    Whoever has no principal of that name yet gets one with the roles and domains given.
    """
    expires_at = expiry(expires, datetime.now(UTC))
    who = login_name(actor)
    kind: Kind = "service" if program or "service" in roles else "person"
    with open_directory(tenant) as (client, cursor):
        try:
            principal = store.find_principal(cursor, client.tenant_id, name)
        except PrincipalNotFound:
            principal = store.create_principal(
                cursor,
                client.tenant_id,
                uuid4(),
                name=name,
                kind=kind,
                roles=frozenset(roles),
                domains=frozenset(domains) or None,
                email=email,
                actor=who,
            )
        else:
            _require_unchanged(principal, roles, domains)
        made = store.create_key(cursor, principal, uuid4(), actor=who, expires_at=expires_at)
    if as_json:
        emit_json(
            {
                "key": made.key.text,
                "prefix": made.key.prefix,
                "name": principal.name,
                "roles": sorted(principal.roles),
                "expires_at": made.expires_at,
            }
        )
        return
    click.echo(made.key.text)
    until = f"until {moment(made.expires_at)}" if made.expires_at else "until it is revoked"
    click.echo(
        f"Keep it now, it is not shown again. It is {principal.name}'s "
        f"({', '.join(sorted(principal.roles))}) {until}.",
        err=True,
    )


def _require_unchanged(
    principal: Principal, roles: tuple[str, ...], domains: tuple[str, ...]
) -> None:
    if (roles and frozenset(roles) != principal.roles) or (
        domains and frozenset(domains) != principal.domains
    ):
        raise InvalidInput(
            "--role",
            f"{principal.name} is there already with other roles or domains",
            "Leave --role and --domain out for another key, or use another name.",
        )


def expiry(text: str, now: datetime) -> datetime | None:
    """Return when a key ends.

    Args:
        text: ``90d``, ``12h`` or ``never``.
        now: From when on.

    Raises:
        InvalidInput: It reads otherwise.
    """
    if text == NEVER:
        return None
    found = SPAN.fullmatch(text)
    if found is None:
        raise InvalidInput("--expires", f"{text!r} is no time span", "Use 90d, 12h or never.")
    count = int(found[1])
    return now + (timedelta(days=count) if found[2] == "d" else timedelta(hours=count))


@keys.command("list", short_help="All keys of a tenant.", epilog=example("radiant keys list"))
@tenant_option
@json_option
def list_keys(tenant: str | None, as_json: bool) -> None:
    """List keys by their public part, never their secret."""
    with open_directory(tenant) as (client, cursor):
        rows = store.list_keys(cursor, client.tenant_id)
    if as_json:
        emit_json({"keys": rows})
        return
    table = _table("key", "whose", "roles", "state", "expires", "last used", "made by")
    for row in rows:
        table.add_row(
            f"rk_{row['prefix']}",
            plain(row["name"]),
            ", ".join(row["roles"]),
            row["state"],
            moment(row["expires_at"]),
            moment(row["last_used_at"]),
            plain(row["created_by"]),
        )
    make_console().print(table)


@keys.command(
    short_help="Let a key work no more.", epilog=example("radiant keys revoke rk_ab12cd34")
)
@click.argument("prefix", metavar="KEY")
@as_option
@tenant_option
@json_option
def revoke(prefix: str, actor: str | None, tenant: str | None, as_json: bool) -> None:
    """Revoke a key, by its public part as `radiant keys list` shows it; at once and for good."""
    public = "_".join(prefix.split("_")[:2])  # somebody may paste the whole key
    with open_directory(tenant) as (client, cursor):
        store.revoke_key(cursor, client.tenant_id, public, actor=login_name(actor))
    if as_json:
        emit_json({"prefix": public.removeprefix("rk_"), "state": "revoked"})
    else:
        click.echo(f"Key {public} works no more.")


@click.group(
    short_help="List people and services, and shut one out.",
    epilog=example("radiant principals list", "radiant principals disable dr-lee"),
)
def principals() -> None:
    """List who may come in, and shut somebody out. `radiant keys create` lets somebody in."""


@principals.command(
    "list", short_help="All people and services.", epilog=example("radiant principals list --json")
)
@tenant_option
@json_option
def list_principals(tenant: str | None, as_json: bool) -> None:
    """List people and services with their roles, domains and number of working keys."""
    with open_directory(tenant) as (client, cursor):
        rows = store.list_principals(cursor, client.tenant_id)
    if as_json:
        emit_json({"principals": rows})
        return
    table = _table("name", "kind", "roles", "domains", "e-mail", "keys", "state")
    for row in rows:
        table.add_row(
            plain(row["name"]),
            row["kind"],
            ", ".join(row["roles"]),
            "all" if row["domains"] is None else ", ".join(row["domains"]),
            plain(row["email"] or "-"),
            str(row["keys"]),
            "disabled" if row["disabled_at"] else "active",
        )
    make_console().print(table)


@principals.command(
    short_help="Let somebody in no more.", epilog=example("radiant principals disable dr-lee")
)
@click.argument("name")
@as_option
@tenant_option
@json_option
def disable(name: str, actor: str | None, tenant: str | None, as_json: bool) -> None:
    """Let none of somebody's keys and sessions work any more. What they decided stands."""
    with open_directory(tenant) as (client, cursor):
        principal = store.disable_principal(cursor, client.tenant_id, name, actor=login_name(actor))
    if as_json:
        emit_json({"name": principal.name, "state": "disabled"})
    else:
        click.echo(f"{principal.name} is shut out.")


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in columns:
        table.add_column(name, header_style="dim", overflow="fold")
    return table


def ensure_reviewer(settings: Settings) -> Path:
    """Return the file with a working key for this machine, made at the first call.

    Args:
        settings: Of a running embedded stack; the key is for its tenant.
    """
    path = settings.home / KEY_FILE
    kept = path.read_text().strip() if path.exists() else ""
    with open_directory(None) as (client, cursor):
        holder = store.by_key(client.database, kept)
        # One of another tenant would log in to that one's pages, whatever RADIANT_TENANT says.
        if holder is not None and holder.principal.tenant_id == client.tenant_id:
            return path
        try:
            principal = store.find_principal(cursor, client.tenant_id, LOCAL_REVIEWER)
        except PrincipalNotFound:
            principal = store.create_principal(
                cursor,
                client.tenant_id,
                uuid4(),
                name=LOCAL_REVIEWER,
                kind="person",
                roles=LOCAL_ROLES,
                actor="system:up",
            )
        made = store.create_key(cursor, principal, uuid4(), actor="system:up")
    write_private(path, f"{made.key.text}\n")
    return path

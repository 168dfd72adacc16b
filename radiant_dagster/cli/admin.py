"""`radiant tenants`, `panels`, `config`: setting things up."""

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import click
import yaml
from pydantic import AliasChoices, SecretStr
from rich.table import Table

from radiant_dagster.adapters import tenant_tools
from radiant_dagster.adapters import tenants as store
from radiant_dagster.adapters.available_tools import usable_names
from radiant_dagster.adapters.panels import agent_to_dict, load_panel_file
from radiant_dagster.adapters.price_settings import prices_from
from radiant_dagster.adapters.settings import Settings
from radiant_dagster.cli.common import (
    clean,
    connect,
    emit_json,
    example,
    json_option,
    load_settings,
    make_console,
    moment,
    open_database,
    plain,
    tenant_option,
    valid_text,
)
from radiant_dagster.cli.erase import erase
from radiant_dagster.domain.swarm import validate_agents
from radiant_dagster.domain.wording import counted
from radiant_dagster.errors import InvalidInput

PANEL_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")
MASK = "**********"


@click.group(
    short_help="Create, list and erase tenants.",
    epilog=example('radiant tenants create acme --name "Acme Clinic"'),
)
def tenants() -> None:
    """Create, list and erase tenants. Each sees its own sessions and heuristics only."""


tenants.add_command(erase)


@tenants.command(
    short_help="Create a tenant.",
    epilog=example('radiant tenants create acme --name "Acme Clinic"'),
)
@click.argument("slug")
@click.option("--name", help="As people call it. Default: the slug.")
@json_option
def create(slug: str, name: str | None, as_json: bool) -> None:
    """Create a tenant with the domains general, medical, financial and legal, and two panels."""
    tenant_id = uuid4()
    with open_database(load_settings()) as database:
        store.create_tenant(
            database, tenant_id, valid_text("slug", slug), valid_text("name", name or slug)
        )
    if as_json:
        emit_json({"id": tenant_id, "slug": slug, "name": name or slug})
    else:
        click.echo(f'Tenant {slug} is there. Ask as it: radiant think --tenant {slug} "..."')


@tenants.command("list", short_help="All tenants.", epilog=example("radiant tenants list"))
@json_option
def list_tenants(as_json: bool) -> None:
    """List all tenants."""
    with open_database(load_settings()) as database:
        rows = store.list_tenants(database)
    if as_json:
        emit_json({"tenants": rows})
        return
    table = _table("slug", "name", "created", "id")
    for row in rows:
        created: Any = row["created_at"]
        table.add_row(plain(row["slug"]), plain(row["name"]), moment(created), str(row["id"]))
    make_console().print(table)


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in columns:
        table.add_column(name, header_style="dim", overflow="fold")
    return table


@click.group(
    short_help="List, show and import panels of agents.",
    epilog=example(
        "radiant panels import ethics ethics.yaml", 'radiant think --panel ethics "..."'
    ),
)
def panels() -> None:
    """List, show and import panels: named sets of agents."""


@panels.command("list", short_help="All panels of a tenant.", epilog=example("radiant panels list"))
@tenant_option
@json_option
def list_panels(tenant: str | None, as_json: bool) -> None:
    """List the panels of a tenant."""
    with (
        connect(tenant) as client,
        client.database.tenant_transaction(client.tenant_id) as cursor,
    ):
        rows = store.list_panels(cursor, client.tenant_id)
    if as_json:
        emit_json({"panels": rows})
        return
    table = _table("name", "agents", "description")
    for row in rows:
        table.add_row(plain(row["name"]), str(row["agents"]), plain(row["description"]))
    make_console().print(table)


@panels.command(
    "show",
    short_help="A panel's agents, as a panel file.",
    epilog=example("radiant panels show default > mine.yaml"),
)
@click.argument("name")
@tenant_option
@json_option
def show_panel(name: str, tenant: str | None, as_json: bool) -> None:
    """Print a panel as YAML, which `panels import` and `think --panel` read again."""
    with (
        connect(tenant) as client,
        client.database.tenant_transaction(client.tenant_id) as cursor,
    ):
        found = store.panel_agents(cursor, client.tenant_id, name)
    agents = [
        {key: value for key, value in agent_to_dict(agent).items() if value is not None}
        for agent in found
    ]
    if as_json:
        emit_json({"name": name, "agents": agents})
    else:
        text = yaml.safe_dump({"agents": agents}, sort_keys=False, allow_unicode=True, width=95)
        click.echo(clean(text), nl=False)


@panels.command(
    "import",
    short_help="Store a panel file under a name.",
    epilog=example(
        'radiant panels import ethics ethics.yaml --description "Four views on right and wrong."'
    ),
)
@click.argument("name")
@click.argument("file")
@click.option("--description", default="", help="What the panel is good for.")
@tenant_option
@json_option
def import_panel(name: str, file: str, description: str, tenant: str | None, as_json: bool) -> None:
    """Store a panel file under a name, replacing a panel of that name.

    `radiant think --help` shows how such a file looks.
    """
    if not PANEL_NAME.fullmatch(name):
        raise InvalidInput(
            "name",
            f"{name!r} is not usable",
            "Use lower-case letters, digits, '-' or '_', starting with a letter.",
        )
    agents = load_panel_file(Path(file))
    prices = prices_from(load_settings())
    for agent in agents:
        prices.price_of(
            agent.model
        )  # a panel nobody could use is refused now, not at the first question
    with (
        connect(tenant) as client,
        client.database.tenant_transaction(client.tenant_id) as cursor,
    ):
        allowed = tenant_tools.allowed_names(cursor, client.tenant_id)
        known_tools = usable_names(client.settings, allowed, agents)
        validate_agents(agents, known_tools=known_tools)
        store.save_panel(
            cursor, client.tenant_id, name, valid_text("description", description), agents
        )
    if as_json:
        emit_json({"name": name, "agents": len(agents)})
    else:
        click.echo(f"Panel {name} has {counted(len(agents), 'agent')}.")


@click.group(
    short_help="Show every setting and where it comes from.", epilog=example("radiant config show")
)
def config() -> None:
    """Show the settings."""


@config.command(
    "show",
    short_help="Every setting, its value and its origin.",
    epilog=example("RADIANT_WORKERS=2 radiant config show"),
)
@json_option
def show_config(as_json: bool) -> None:
    """Show every setting: its environment variable, its value, where that comes from.

    Passwords and keys are masked. Origin is `env` for an environment variable, `stack.json` for
    what a running `radiant up` tells, or `default`.
    """
    rows = settings_rows(load_settings(), load_settings(stack=False))
    if as_json:
        emit_json({"settings": rows})
        return
    console = make_console()
    for row in rows:
        value = "-" if row["value"] is None else row["value"]
        console.print(plain(f"{row['variable']} = {value}  ({row['origin']})", "bold"))
        console.print(plain(f"    {row['description']}", "dim"))


def settings_rows(settings: Settings, without_stack: Settings) -> list[dict[str, Any]]:
    """Return variable, value (masked), origin and description of every setting."""
    rows: list[dict[str, Any]] = []
    for name, field in Settings.model_fields.items():
        alias = field.validation_alias
        variable = str(alias.choices[0]) if isinstance(alias, AliasChoices) else name
        origin = "default"
        if name in without_stack.model_fields_set:
            origin = "env"
        elif name in settings.model_fields_set:
            origin = "stack.json"
        rows.append(
            {
                "variable": variable,
                "value": masked(getattr(settings, name)),
                "origin": origin,
                "description": field.description or "",
            }
        )
    return rows


def masked(value: object) -> object:
    """Return a setting's value without password or key."""
    if value is None or isinstance(value, (bool, int)):
        return value
    secret = isinstance(value, SecretStr)
    text = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
    if "://" not in text:
        return MASK if secret else text
    try:
        parts = urlsplit(text)
        if parts.password is None and not (secret and parts.query):
            return text
        login, _, host = parts.netloc.rpartition("@")
        netloc = f"{login.partition(':')[0]}:***@{host}" if login else host
        # A query may carry a password too (?password=, ?sslpassword=).
        return urlunsplit(parts._replace(netloc=netloc, query="***" if parts.query else ""))
    except ValueError:
        return MASK

"""`radiant tools`: which tools there are, and which of them a tenant's agents may call."""

import click
from rich.table import Table

from radiant_dagster.adapters import tenant_tools
from radiant_dagster.adapters.available_tools import AvailableTool, list_tools
from radiant_dagster.cli.common import (
    as_option,
    connect,
    emit_json,
    example,
    json_option,
    login_name,
    make_console,
    plain,
    tenant_option,
)
from radiant_dagster.errors import ConfigurationError, InvalidInput


@click.group(
    short_help="List, allow and forbid the tools agents may call.",
    epilog=example("radiant tools list", "radiant tools allow unit_converter"),
)
def tools() -> None:
    """List the tools there are, and allow or forbid them to a tenant's agents.

    An agent gets a tool by naming it in its panel file, as `tools: [calculator]`.
    """


@tools.command(
    "list",
    short_help="Every tool, where it comes from, whether it is allowed.",
    epilog=example("radiant tools list --json"),
)
@tenant_option
@json_option
def list_(tenant: str | None, as_json: bool) -> None:
    """List installed tools, those of MCP servers, and what the tenant may use of them."""
    with connect(tenant) as client:
        with client.database.tenant_transaction(client.tenant_id) as cursor:
            entries = tenant_tools.entries(cursor, client.tenant_id)
        found = list_tools(client.settings)
    allowed = {entry["name"] for entry in entries if entry["allowed"]}
    names = {tool.name for tool in found}
    found += [
        AvailableTool(name, "-", "", "is allowed, but not installed")
        for name in sorted(allowed - names)
    ]
    if as_json:
        rows = [{"tool": tool, "allowed": tool.name in allowed} for tool in found]
        emit_json({"tools": rows})
        return
    table = Table(box=None, pad_edge=False)
    for title in ("name", "allowed", "from", "description"):
        table.add_column(title, header_style="dim", overflow="fold")
    for tool in found:
        table.add_row(
            plain(tool.name),
            "yes" if tool.name in allowed else "no",
            plain(tool.source),
            plain(tool.problem, "red") if tool.problem else plain(tool.description),
        )
    make_console().print(table)


@tools.command(
    short_help="Let the tenant's agents call a tool.", epilog=example("radiant tools allow units")
)
@click.argument("name")
@as_option
@tenant_option
@json_option
def allow(name: str, actor: str | None, tenant: str | None, as_json: bool) -> None:
    """Allow an installed tool to a tenant's agents."""
    _set(name, actor, tenant, allowed=True, as_json=as_json)


@tools.command(
    short_help="Stop the tenant's agents from calling a tool.",
    epilog=example("radiant tools forbid grimoire_search"),
)
@click.argument("name")
@as_option
@tenant_option
@json_option
def forbid(name: str, actor: str | None, tenant: str | None, as_json: bool) -> None:
    """Forbid a tool; agents that are at work get it refused from their next turn on."""
    _set(name, actor, tenant, allowed=False, as_json=as_json)


def _set(name: str, actor: str | None, tenant: str | None, *, allowed: bool, as_json: bool) -> None:
    who = login_name(actor)
    with connect(tenant) as client:
        with client.database.tenant_transaction(client.tenant_id) as cursor:
            known = {entry["name"] for entry in tenant_tools.entries(cursor, client.tenant_id)}
        if allowed or name not in known:
            _require_usable(name, list_tools(client.settings))
        with client.database.tenant_transaction(client.tenant_id) as cursor:
            tenant_tools.set_allowed(cursor, client.tenant_id, name, allowed=allowed, actor=who)
    if as_json:
        emit_json({"name": name, "allowed": allowed})
    else:
        click.echo(f"Agents may{'' if allowed else ' not'} call {name} now.")


def _require_usable(name: str, found: list[AvailableTool]) -> None:
    tool = next((tool for tool in found if tool.name == name), None)
    if tool is None:
        available = ", ".join(tool.name for tool in found if not tool.problem) or "none"
        raise InvalidInput("name", f"there is no tool {name!r}", f"Available: {available}.")
    if tool.problem:
        raise ConfigurationError(name, "is broken", tool.problem)

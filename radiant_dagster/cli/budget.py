"""`radiant budget`: what may be spent, what is, and where it went."""

import csv
import sys
from typing import Any, cast

import click
from rich.table import Table

from radiant_dagster.adapters import budgets
from radiant_dagster.cli.common import (
    as_option,
    connect,
    emit_json,
    example,
    json_option,
    login_name,
    make_console,
    moment,
    plain,
    short,
    tenant_option,
    usd,
)
from radiant_dagster.domain.governor import SCOPES, Scope, parse_limit

LEDGER_COLUMNS: tuple[str, ...] = (
    "created_at", "session_id", "attempt_key", "purpose", "model", "state", "estimate_micro_usd",
    "actual_micro_usd", "day", "month", "expires_at", "closed_at",
)  # fmt: skip


@click.group(
    short_help="Show and set what may be spent; list what was.",
    epilog=example("radiant budget show", "radiant budget set day 25"),
)
def budget() -> None:
    """Show and set what a tenant may spend a day and a month, and list what was spent."""


@budget.command(
    short_help="Limits, what is spent and what is reserved.",
    epilog=example("radiant budget show --json"),
)
@tenant_option
@json_option
def show(tenant: str | None, as_json: bool) -> None:
    """Show each limit with what is spent, reserved for sessions that run, and free."""
    with (
        connect(tenant) as client,
        client.database.tenant_transaction(client.tenant_id) as cursor,
    ):
        rows = budgets.show(cursor, client.tenant_id)
    if as_json:
        emit_json({"budgets": rows})
        return
    if not rows:
        click.echo("No budget, so nothing may be spent. Set one: radiant budget set day 25")
        return
    table = _table("scope", "period", "limit", "spent", "reserved", "free", "resets at", "set by")
    for row in rows:
        amounts = ("limit", "spent", "reserved", "free")
        table.add_row(
            row["scope"],
            row["period"],
            *(usd(row[f"{name}_micro_usd"]) for name in amounts),
            moment(row["resets_at"]),
            plain(row["set_by"]),
        )
    make_console().print(table)


@budget.command(
    "set",
    short_help="Set the limit of the day or the month.",
    epilog=example("radiant budget set day 25", "radiant budget set month 400"),
    # So that -5 is refused as an amount, not as an unknown option.
    context_settings={"ignore_unknown_options": True},
)
@click.argument("scope", type=click.Choice(SCOPES))
@click.argument("limit", metavar="USD")
@as_option
@tenant_option
@json_option
def set_(scope: str, limit: str, actor: str | None, tenant: str | None, as_json: bool) -> None:
    """Set what may be spent a day or a month, in US dollars; counts at once. 0 stops spending."""
    micro_usd = parse_limit(limit)
    who = login_name(actor)
    with (
        connect(tenant) as client,
        client.database.tenant_transaction(client.tenant_id) as cursor,
    ):
        budgets.set_limit(cursor, client.tenant_id, cast("Scope", scope), micro_usd, actor=who)
    if as_json:
        emit_json({"scope": scope, "limit_micro_usd": micro_usd})
    else:
        click.echo(f"The limit of the {scope} is {usd(micro_usd)} now.")


@budget.command(
    short_help="Every reservation: estimate, charge, state.",
    epilog=example("radiant budget ledger --limit 1000 --csv > ledger.csv"),
)
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 100_000))
@click.option("--csv", "as_csv", is_flag=True, help="Print comma-separated values.")
@tenant_option
@json_option
def ledger(limit: int, as_csv: bool, tenant: str | None, as_json: bool) -> None:
    """List the newest reservations: what was held for a session and what was charged."""
    if as_csv and as_json:
        raise click.UsageError("Pass --csv or --json, not both.")
    with (
        connect(tenant) as client,
        client.database.tenant_transaction(client.tenant_id) as cursor,
    ):
        rows = budgets.entries(cursor, client.tenant_id, limit)
    if as_json:
        emit_json({"reservations": rows})
    elif as_csv:
        writer = csv.DictWriter(sys.stdout, LEDGER_COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    elif not rows:
        click.echo("Nothing was reserved yet.")
    else:
        make_console().print(_ledger_table(rows))


def _ledger_table(rows: list[dict[str, Any]]) -> Table:
    table = _table("session", "at", "state", "reserved", "charged", "purpose", "models")
    for row in rows:
        charged = row["actual_micro_usd"]
        table.add_row(
            short(row["session_id"]),
            moment(row["created_at"]),
            row["state"],
            usd(row["estimate_micro_usd"]),
            "-" if charged is None else usd(charged),
            row["purpose"],
            plain(row["model"]),
        )
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in columns:
        table.add_column(name, header_style="dim", overflow="fold")
    return table

"""`radiant budget`: what may be spent, what is, and where it went."""

import csv
import sys
from datetime import datetime
from typing import Any, cast

import click
from rich.table import Table

from radiant_dagster.adapters import budgets
from radiant_dagster.adapters.budgets import ENTRY_COLUMNS, Selection
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
from radiant_dagster.domain.limits import SCOPES, Scope, parse_limit, require_user_scope
from radiant_dagster.errors import InvalidInput

SHOWN = 20
user_option = click.option(
    "--user", metavar="NAME", help="Of one user; as sessions are asked under."
)


@click.group(
    short_help="Show and set what may be spent; list what was.",
    epilog=example("radiant budget show", "radiant budget set day 25"),
)
def budget() -> None:
    """Show and set what a tenant, a user and a session may spend, and list what was spent."""


@budget.command(
    short_help="Limits, what is spent and what is reserved.",
    epilog=example("radiant budget show", "radiant budget show --user ann"),
)
@user_option
@tenant_option
@json_option
def show(user: str | None, tenant: str | None, as_json: bool) -> None:
    """Show each limit with what is spent, reserved for sessions that run, and free.

    Limits of users without a name hold for every user, the one of the session for each session.
    """
    require_user_scope("user_day", user)
    with (
        connect(tenant) as client,
        client.database.tenant_transaction(client.tenant_id) as cursor,
    ):
        rows = budgets.show(cursor, client.tenant_id, user)
    if as_json:
        emit_json({"budgets": rows})
        return
    if not rows:
        click.echo("No budget, so nothing may be spent. Set one: radiant budget set day 25")
        return
    table = _table(
        "scope", "user", "period", "limit", "spent", "reserved", "free", "resets at", "set by"
    )
    for row in rows:
        amounts = ("limit", "spent", "reserved", "free")
        table.add_row(
            row["scope"],
            plain(row["user"]),
            row["period"],
            *(usd(row[f"{name}_micro_usd"]) for name in amounts),
            moment(row["resets_at"]) if row["resets_at"] else "never",
            plain(row["set_by"]),
        )
    make_console().print(table)


@budget.command(
    "set",
    short_help="Set the limit of a day, a month, a session or a user.",
    epilog=example("radiant budget set day 25", "radiant budget set user_day 5 --user ann"),
    # So that -5 is refused as an amount, not as an unknown option.
    context_settings={"ignore_unknown_options": True},
)
@click.argument("scope", type=click.Choice(SCOPES))
@click.argument("limit", metavar="USD")
@user_option
@as_option
@tenant_option
@json_option
def set_(
    scope: str, limit: str, user: str | None, actor: str | None, tenant: str | None, as_json: bool
) -> None:
    """Set what may be spent, in US dollars; counts at once. 0 stops spending.

    day and month are the tenant's, session what one session may cost, user_day and user_month what
    each user may spend, or one user with --user.
    """
    micro_usd = parse_limit(limit)
    whose = require_user_scope(cast("Scope", scope), user)
    who = login_name(actor)
    with (
        connect(tenant) as client,
        client.database.tenant_transaction(client.tenant_id) as cursor,
    ):
        budgets.set_limit(
            cursor, client.tenant_id, cast("Scope", scope), micro_usd, actor=who, user=whose
        )
    if as_json:
        emit_json({"scope": scope, "user": whose, "limit_micro_usd": micro_usd})
    else:
        of = f" of user {plain(whose)}" if whose else ""
        click.echo(f"The limit of the {scope}{of} is {usd(micro_usd)} now.")


@budget.command(
    short_help="Every paid call: estimate, charge, state.",
    epilog=example("radiant budget ledger --csv --from 2026-11-01 --to 2026-11-30 > ledger.csv"),
)
@click.option(
    "--limit",
    type=click.IntRange(1, 1_000_000),
    help="At most so many, the newest.  [default: 20; with --csv all]",
)
@click.option("--from", "since", type=click.DateTime(["%Y-%m-%d"]), help="First day, UTC.")
@click.option("--to", "until", type=click.DateTime(["%Y-%m-%d"]), help="Last day, UTC.")
@click.option("--csv", "as_csv", is_flag=True, help="Print comma-separated values.")
@user_option
@tenant_option
@json_option
def ledger(
    limit: int | None,
    since: datetime | None,
    until: datetime | None,
    as_csv: bool,
    user: str | None,
    tenant: str | None,
    as_json: bool,
) -> None:
    """List paid calls, the newest first: what was held for each and what was charged."""
    if since and until and until < since:
        raise InvalidInput("--to", "is before --from", "Pass the later day as --to.")
    require_user_scope("user_day", user)
    wanted = Selection(
        limit if limit or as_csv else SHOWN,
        since.date() if since else None,
        until.date() if until else None,
        user,
    )
    if as_csv and as_json:
        raise click.UsageError("Pass --csv or --json, not both.")
    with (
        connect(tenant) as client,
        client.database.tenant_transaction(client.tenant_id) as cursor,
    ):
        rows = budgets.entries(cursor, client.tenant_id, wanted)
    if as_json:
        emit_json({"reservations": rows})
    elif as_csv:
        writer = csv.DictWriter(sys.stdout, ENTRY_COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    elif not rows:
        click.echo("Nothing was reserved yet.")
    else:
        make_console().print(_ledger_table(rows))
        if any(row["actual_is_estimated"] for row in rows):
            click.echo("* No bill came, and it may have been billed: the estimate is charged.")


def _ledger_table(rows: list[dict[str, Any]]) -> Table:
    table = _table("session", "at", "state", "reserved", "charged", "call", "attempt", "model")
    for row in rows:
        charged = row["actual_micro_usd"]
        table.add_row(
            short(row["session_id"]),
            moment(row["created_at"]),
            row["state"],
            usd(row["estimate_micro_usd"]),
            "-" if charged is None else usd(charged) + ("*" if row["actual_is_estimated"] else ""),
            plain(row["agent_id"] or row["purpose"]),
            row["attempt_key"].rpartition(":")[2],
            plain(row["model"]),
        )
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in columns:
        table.add_column(name, header_style="dim", overflow="fold")
    return table

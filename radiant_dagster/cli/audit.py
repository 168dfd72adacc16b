"""`radiant audit`: who did what, and the proof that nobody changed it afterwards."""

import click
from rich.table import Table

from radiant_dagster.adapters import audit as store
from radiant_dagster.cli.common import (
    connect_reviewer,
    emit_json,
    example,
    json_option,
    make_console,
    moment,
    plain,
    short,
    tenant_option,
)
from radiant_dagster.cli.main import EXIT_FAILED
from radiant_dagster.domain.wording import counted
from radiant_dagster.errors import InvalidInput

PROBLEMS = {
    "changed": "was changed after it was written",
    "deleted": "was deleted",
    "not_linked": "was written past the chain",
    "link_missing": "follows rows that were deleted with their links",
    "link_changed": "follows a link that was changed",
    "end_missing": "The newest rows were deleted",
    "anchor_missing": "The chain does not contain the given head: it was written anew",
}


@click.group(
    short_help="Who did what; and prove that nobody changed it.",
    epilog=example("radiant audit show", "radiant audit verify"),
)
def audit() -> None:
    """Read the audit trail, and check the chain of hashes that protects it."""


@audit.command(short_help="Who did what, newest first.", epilog=example("radiant audit show"))
@click.option("--before", type=int, metavar="NUMBER", help="Only rows before this one.")
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="How many."
)
@tenant_option
@json_option
def show(before: int | None, limit: int, tenant: str | None, as_json: bool) -> None:
    """List the newest rows. They hold ids, states and names, never the texts of a session."""
    with (
        connect_reviewer(tenant) as client,
        client.database.tenant_transaction(client.tenant_id, role="radiant_review") as cursor,
    ):
        rows = store.page(cursor, client.tenant_id, before=before, limit=limit)
    if as_json:
        emit_json({"audit": rows})
        return
    table = Table(box=None, pad_edge=False)
    for name in ("number", "at", "who", "did", "session", "approval", "heuristic", "hash"):
        table.add_column(name, header_style="dim", no_wrap=True)
    for row in rows:
        table.add_row(
            str(row["id"]),
            moment(row["at"]),
            plain(row["actor"]),
            plain(row["action"]),
            short(row["session_id"] or "-"),
            short(row["approval_id"] or "-"),
            short(row["heuristic_id"] or "-"),
            short(row["hash"] or "-"),
        )
    make_console().print(table)


@audit.command(
    short_help="Recompute the chain of hashes.",
    epilog=example("radiant audit verify", "radiant audit verify --head 5f1c..."),
)
@click.option("--head", metavar="HASH", help="A head noted earlier, which has to be in the chain.")
@tenant_option
@json_option
def verify(head: str | None, tenant: str | None, as_json: bool) -> None:
    """Check that no audit row was changed, deleted or slipped in; exit code 1 where one was.

    Note the head that is printed outside of the database: given back with --head, it also finds a
    trail that somebody with all rights wrote anew.
    """
    try:
        anchor = bytes.fromhex(head) if head is not None else None
    except ValueError:
        raise InvalidInput("--head", "is not a hash", "Copy it from an earlier check.") from None
    with (
        connect_reviewer(tenant) as client,
        client.database.tenant_transaction(client.tenant_id, role="radiant_review") as cursor,
    ):
        result = store.verify(cursor, client.tenant_id, anchor=anchor)
    if as_json:
        emit_json(result)
    elif result.problem is None:
        click.echo(f"The trail of {counted(result.rows, 'row')} holds. Head: {result.head}")
    else:
        what = PROBLEMS[result.problem]
        where = "" if result.broken_id is None else f"Row {result.broken_id} "
        click.echo(
            f"{where}{what}. Before it, {counted(result.rows, 'row')} in order. Head: {result.head}"
        )
    if not result.holds:
        raise click.exceptions.Exit(EXIT_FAILED)

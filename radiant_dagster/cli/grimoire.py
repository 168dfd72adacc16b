"""`radiant grimoire`: what was learned, and what a curator makes of it."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import click
from rich.console import Console

from radiant_dagster.adapters import tenants
from radiant_dagster.adapters.embeddings import build_embeddings
from radiant_dagster.adapters.grimoire import finding, reading
from radiant_dagster.cli import grimoire_curate, grimoire_files, grimoire_queue
from radiant_dagster.cli.common import (
    Either,
    Sectioned,
    connect_either,
    emit_json,
    example,
    json_option,
    make_console,
    plain,
    resolve_id,
    short,
    tenant_option,
    valid_text,
)
from radiant_dagster.cli.grimoire_calibrate import calibrate
from radiant_dagster.cli.grimoire_tables import print_heuristic, sentence, table
from radiant_dagster.cli.grimoire_upkeep import rebuild, reembed
from radiant_dagster.cli.remote import Remote
from radiant_dagster.cli.render import STYLES
from radiant_dagster.wire.base import MAX_PAGE

SECTIONS = {
    "Look": ("queue", "list", "search", "show", "history"),
    "Decide on one": ("promote", "edit", "rollback", "retire", "revoke", "pin", "unpin"),
    "Decide on two": ("resolve", "merge", "unmerge", "keep-apart"),
    "Decide on many": ("purge", "export", "import"),
    "Operate": ("calibrate", "rebuild", "reembed"),
}


@click.group(
    cls=Sectioned,
    sections=SECTIONS,
    short_help="Read and curate what the Think Tank has learned.",
    epilog=example(
        "radiant grimoire list --state quarantined", "radiant grimoire promote 51be70 --as curator"
    ),
)
def grimoire() -> None:
    """Read and curate heuristics, the rules of thumb that were distilled from sessions.

    New ones are quarantined: no agent sees them before a curator promotes them or further reviewed
    sessions have vouched for them. Active ones are offered to the agents of fitting questions; only
    judged answers (`radiant approvals`, `radiant feedback`) move their confidence.
    """


@grimoire.command(
    "list",
    short_help="The newest heuristics.",
    epilog=example("radiant grimoire list --domain general --state active"),
)
@click.option("--domain", help="Of this domain only.")
@click.option("--state", type=click.Choice(grimoire_files.STATES), help="In this state only.")
@click.option("--words", help="That are in the trigger or the action.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1000))
@tenant_option
@json_option
def list_(
    domain: str | None,
    state: str | None,
    words: str | None,
    limit: int,
    tenant: str | None,
    as_json: bool,
) -> None:
    """List heuristics, the newest first."""
    with connect_either(tenant) as client:
        rows = _list(
            client, domain, state, None if words is None else valid_text("--words", words), limit
        )
    if as_json:
        emit_json({"heuristics": rows})
        return
    if not rows:
        click.echo("Nothing is there. Sessions that end well teach something.")
        return
    grid = table("id", "state", "domain", "confidence", "judged")
    for row in rows:
        used = row["success_count"] + row["failure_count"]
        grid.add_row(
            short(row["id"]),
            plain(row["state"], STYLES.get(row["state"], "")),
            row["domain"],
            f"{row['confidence']:.2f}",
            str(used),
            plain(sentence(row)),
        )
    make_console().print(grid)


def _list(
    client: Either, domain: str | None, state: str | None, words: str | None, limit: int
) -> list[dict[str, Any]]:
    if isinstance(client, Remote):
        page = client.api.heuristics(
            domain=domain, state=state, q=words, limit=min(limit, MAX_PAGE)
        )
        return [row.model_dump() for row in page.heuristics]
    with client.database.tenant_transaction(client.tenant_id) as cursor:
        tenants.require_domain(cursor, client.tenant_id, domain)
        return reading.list_heuristics(
            cursor, client.tenant_id, domain=domain, state=state, limit=limit, q=words
        )


@grimoire.command(
    short_help="Heuristics that fit a question.",
    epilog=example('radiant grimoire search "vaccine fridge without power" --domain medical'),
)
@click.argument("text")
@click.option("--domain", help="Of this domain only.")
@click.option("--limit", default=10, show_default=True, type=click.IntRange(1, 100))
@tenant_option
@json_option
def search(text: str, domain: str | None, limit: int, tenant: str | None, as_json: bool) -> None:
    """Find the heuristics nearest in meaning to a text, quarantined ones too."""
    wanted = valid_text("text", text)
    with connect_either(tenant) as client:
        found = _search(client, wanted, domain, limit)
    if as_json:
        emit_json(found)
        return
    _print_found(make_console(), found)


def _search(client: Either, text: str, domain: str | None, limit: int) -> dict[str, Any]:
    if isinstance(client, Remote):
        return client.api.search_heuristics(text, domain=domain, limit=limit).model_dump()
    model = build_embeddings(client.settings)
    near = finding.by_meaning(
        client.database, client.tenant_id, model, text, domain=domain, limit=limit
    )
    return asdict(near)


def _print_found(console: Console, found: Mapping[str, Any]) -> None:
    if not found["heuristics"]:
        click.echo("Nothing is there to compare with.")
        return
    grid = table("id", "similarity", "needs", "state", "domain", "confidence")
    for row in found["heuristics"]:
        # Below the floor, or not active: no agent would get it, however trusted.
        offered = row["similarity"] >= row["floor"] and row["state"] == "active"
        grid.add_row(
            short(row["id"]),
            f"{row['similarity']:.2f}",
            f"{row['floor']:.2f}",
            plain(row["state"], STYLES.get(row["state"], "")),
            row["domain"],
            f"{row['confidence']:.2f}",
            plain(sentence(row)),
            style="" if offered else "dim",
        )
    console.print(grid)
    console.print(plain("Agents get active ones that are at least as similar as needed.", "dim"))


@grimoire.command(short_help="One heuristic.", epilog=example("radiant grimoire show 51be70"))
@click.argument("heuristic_id", metavar="ID")
@tenant_option
@json_option
def show(heuristic_id: str, tenant: str | None, as_json: bool) -> None:
    """Show a heuristic: what it says, where it comes from, how far it is trusted and why."""
    with connect_either(tenant) as client:
        row = grimoire_curate.look(client, resolve_id(client, "knowledge_heuristics", heuristic_id))
    if as_json:
        emit_json(row)
        return
    print_heuristic(make_console(), row)


for command in (
    *grimoire_queue.COMMANDS,
    *grimoire_curate.COMMANDS,
    *grimoire_files.COMMANDS,
    calibrate,
    rebuild,
    reembed,
):
    grimoire.add_command(command)

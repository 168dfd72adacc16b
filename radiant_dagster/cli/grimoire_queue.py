"""`radiant grimoire`: what waits for a curator, what happened to one, and what goes together."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, get_args

import click
from rich.console import Console

from radiant_dagster.adapters import tenants
from radiant_dagster.adapters.grimoire import purge, queue
from radiant_dagster.cli.common import (
    Either,
    as_option,
    connect_either,
    emit_json,
    example,
    json_option,
    login_name,
    make_console,
    moment,
    plain,
    resolve_id,
    short,
    tenant_option,
    valid_text,
)
from radiant_dagster.cli.grimoire_curate import KIND, look
from radiant_dagster.cli.grimoire_tables import print_versions, sentence, table
from radiant_dagster.cli.remote import Remote
from radiant_dagster.domain.curation import Root, RootKind
from radiant_dagster.domain.wording import counted
from radiant_dagster.errors import InvalidInput

WHAT_TO_DO: Mapping[str, str] = {
    "Conflicts": "resolve ID --with ID --keep this|other|both",
    "Near copies": "merge ID --into ID, or keep-apart ID --from ID",
    "Candidates": "promote ID, edit ID or retire ID, after show ID",
    "Expiring or doing badly": "pin ID, edit ID or retire ID, after show ID",
}
KINDS: tuple[RootKind, ...] = get_args(RootKind)


@click.command(
    short_help="The texts that a heuristic had.", epilog=example("radiant grimoire history 51be70")
)
@click.argument("heuristic_id", metavar="ID")
@tenant_option
@json_option
def history(heuristic_id: str, tenant: str | None, as_json: bool) -> None:
    """Show every text that a heuristic had, and who did what to it."""
    with connect_either(tenant) as client:
        row = look(client, resolve_id(client, KIND, heuristic_id))
    if as_json:
        emit_json({"versions": row["versions"], "history": row["history"]})
        return
    console = make_console()
    print_versions(console, row["versions"])
    console.print(plain("Audit", "bold"))
    for item in row["history"]:
        console.print(plain(f"{moment(item['at'])} {item['action']} by {item['actor']}"))


@click.command(
    "queue",
    short_help="What waits for a curator.",
    epilog=example("radiant grimoire queue --domain medical"),
)
@click.option("--domain", help="Of this domain only.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 200))
@tenant_option
@json_option
def queue_(domain: str | None, limit: int, tenant: str | None, as_json: bool) -> None:
    """List what waits for a curator: conflicts, near copies, candidates, and what lapses."""
    with connect_either(tenant) as client:
        if isinstance(client, Remote):
            found = client.api.curation_queue(domain=domain, limit=limit).model_dump()
        else:
            with client.database.tenant_transaction(client.tenant_id) as cursor:
                tenants.require_domain(cursor, client.tenant_id, domain)
                found = asdict(queue.waiting(cursor, client.tenant_id, domain=domain, limit=limit))
    if as_json:
        emit_json(found)
        return
    _print_pairs("Conflicts", found["conflicts"], limit)
    _print_pairs("Near copies", found["near_copies"], limit)
    _print_rows("Candidates", found["candidates"], limit, "sessions", "users")
    _print_rows(
        "Expiring or doing badly", found["lapsing"], limit, "success_count", "failure_count"
    )
    if not any(found.values()):
        click.echo("Nothing waits for you.")


def _print_title(console: Console, title: str, rows: list[dict[str, Any]], limit: int) -> None:
    more = ", and perhaps more: see --limit" if len(rows) == limit else ""
    console.print(
        plain(f"{title} ({len(rows)}{more})", "bold"), plain(f"  {WHAT_TO_DO[title]}", "dim")
    )


def _print_pairs(title: str, pairs: list[dict[str, Any]], limit: int) -> None:
    if not pairs:
        return
    console = make_console()
    _print_title(console, title, pairs, limit)
    grid = table("id", "domain", "alike")
    for number, pair in enumerate(pairs):
        if number:
            grid.add_row()
        for side in ("one", "other"):
            row = pair[side]
            grid.add_row(
                short(row["id"]), pair["domain"], f"{pair['similarity']:.2f}", plain(sentence(row))
            )
    console.print(grid)


def _print_rows(title: str, rows: list[dict[str, Any]], limit: int, *counts: str) -> None:
    if not rows:
        return
    console = make_console()
    _print_title(console, title, rows, limit)
    names = [
        name.replace("success_count", "good").replace("failure_count", "bad") for name in counts
    ]
    grid = table("id", "domain", "likely helps", *names)
    for row in rows:
        numbers = [str(row[name]) for name in counts]
        probability = f"{row['probability']:.0%}"
        grid.add_row(short(row["id"]), row["domain"], probability, *numbers, plain(sentence(row)))
    console.print(grid)


@click.command(
    "purge",
    short_help="Retire everything derived from something.",
    epilog=example(
        "radiant grimoire purge --session 7f3a91 --dry-run",
        "radiant grimoire purge --user mallory --yes",
    ),
)
@click.option("--session", "session_id", metavar="ID", help="What was learned from it.")
@click.option("--user", metavar="NAME", help="What was learned from this user's sessions.")
@click.option("--heuristic", "heuristic_id", metavar="ID", help="This one and its descendants.")
@click.option("--dry-run", is_flag=True, help="Only list what would be retired.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@as_option
@tenant_option
@json_option
def purge_(
    session_id: str | None,
    user: str | None,
    heuristic_id: str | None,
    dry_run: bool,
    yes: bool,
    actor: str | None,
    tenant: str | None,
    as_json: bool,
) -> None:
    """Retire everything that was derived from a session, a user or a heuristic.

    Also what was learned from follow-ups of the session, and from answers whose agents had cited
    what was learned from it, over any number of steps.
    """
    who = login_name(actor)
    given = zip(KINDS, (session_id, user, heuristic_id), strict=True)
    named: list[tuple[RootKind, str]] = [(kind, text) for kind, text in given if text is not None]
    if len(named) != 1:
        raise InvalidInput(
            "--session", "or --user or --heuristic is needed", "Pass exactly one of them."
        )
    if as_json and not (yes or dry_run):
        raise InvalidInput("--json", "asks nothing", "Add --dry-run or --yes.")
    ((kind, text),) = named
    with connect_either(tenant) as client:
        root = Root(kind, _root(client, kind, text))
        rows = _derived(client, root)
        if not as_json:
            _print_derived(rows)
        if rows and not dry_run:
            if not yes:
                click.confirm(f"Retire {counted(len(rows), 'heuristic')}?", abort=True)
            rows = _derived(client, root, retire_as=who)
    if as_json:
        emit_json({"dry_run": dry_run, "heuristics": rows})
    elif not dry_run and rows:
        click.echo(f"{len(rows)} retired.")
    elif dry_run and rows:
        click.echo(f"{counted(len(rows), 'heuristic')} would be retired; nothing was.")


def _root(client: Either, kind: RootKind, text: str) -> str:
    if kind == "user":
        return valid_text("--user", text)
    return str(resolve_id(client, "session" if kind == "session" else KIND, text))


def _derived(client: Either, root: Root, *, retire_as: str | None = None) -> list[dict[str, Any]]:
    if isinstance(client, Remote):
        found = client.api.purge(root.kind, root.value, dry_run=retire_as is None)
        return [row.model_dump() for row in found.heuristics]
    with client.database.tenant_transaction(client.tenant_id) as cursor:
        if retire_as is None:
            return purge.find_derived(cursor, client.tenant_id, root)
        return purge.retire_derived(cursor, client.tenant_id, root, actor=retire_as)


def _print_derived(rows: list[dict[str, Any]]) -> None:
    if not rows:
        click.echo("Nothing in use was derived from it.")
        return
    grid = table("id", "state", "domain")
    for row in rows:
        # Over the API without the action.
        text = sentence(row) if "action_template" in row else f"When: {row['trigger_pattern']}"
        grid.add_row(short(row["id"]), row["state"], row["domain"], plain(text))
    make_console().print(grid)


COMMANDS = (queue_, history, purge_)

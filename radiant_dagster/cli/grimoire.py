"""`radiant grimoire`: what was learned, and what a curator makes of it."""

from typing import Any

import click
from rich.console import Console

from radiant_dagster.adapters import tenants
from radiant_dagster.adapters.embeddings import build_embeddings
from radiant_dagster.adapters.grimoire import reading
from radiant_dagster.adapters.grimoire.search import floor_of, nearest
from radiant_dagster.cli import grimoire_curate, grimoire_files, grimoire_queue
from radiant_dagster.cli.common import (
    Either,
    Sectioned,
    connect,
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
from radiant_dagster.domain.selection import Candidate
from radiant_dagster.errors import InvalidInput
from radiant_dagster.wire.base import MAX_PAGE

SECTIONS = {
    "Look": ("queue", "list", "search", "show", "history"),
    "Decide on one": ("promote", "edit", "rollback", "retire", "revoke", "pin", "unpin"),
    "Decide on two": ("resolve", "merge", "unmerge", "keep-apart"),
    "Decide on many": ("purge", "export", "import"),
    "Operate": ("calibrate", "rebuild", "reembed"),
}
STATES = ("quarantined", "active", "retired", "expired", "merged", "revoked")
SEARCHED = ("active", "quarantined")


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
@click.option("--state", type=click.Choice(STATES), help="In this state only.")
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
        _require_domain(domain, tenants.domain_policies(cursor, client.tenant_id))
        return reading.list_heuristics(
            cursor, client.tenant_id, domain=domain, state=state, limit=limit, q=words
        )


def _require_domain(domain: str | None, known: dict[str, tenants.DomainPolicy]) -> None:
    if domain is not None and domain not in known:
        raise InvalidInput(
            "domain",
            f"this tenant has no domain {domain!r}",
            f"Use one of: {', '.join(sorted(known))}.",
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
    with (
        connect(tenant) as client,
        client.database.tenant_transaction(client.tenant_id) as cursor,
    ):
        policies = tenants.domain_policies(cursor, client.tenant_id)
        _require_domain(domain, policies)
        model = build_embeddings(client.settings)
        # Before the transaction: a model may take seconds, a connection is one of few.
        vector = model.embed([wanted])[0]
        found: list[tuple[str, Candidate]] = []
        with client.database.tenant_transaction(client.tenant_id) as cursor:
            floor = floor_of(cursor, model.model_id)
            for name in [domain] if domain else sorted(policies):
                near = nearest(
                    cursor, client.tenant_id, name, model.model_id, vector,
                    states=SEARCHED, limit=limit,
                )  # fmt: skip
                found += [(name, candidate) for candidate in near]
    found = sorted(found, key=lambda item: -item[1].similarity)[:limit]
    if as_json:
        emit_json({"floor": floor, "heuristics": [_as_dict(*item) for item in found]})
        return
    _print_found(make_console(), found, floor)


def _as_dict(domain: str, candidate: Candidate) -> dict[str, object]:
    return {
        "id": candidate.id,
        "domain": domain,
        "similarity": round(candidate.similarity, 4),
        "confidence": candidate.confidence,
        "polarity": candidate.polarity,
        "trigger_pattern": candidate.trigger_pattern,
        "action_template": candidate.action_template,
    }


def _print_found(console: Console, found: list[tuple[str, Candidate]], floor: float) -> None:
    if not found:
        click.echo("Nothing is there to compare with.")
        return
    grid = table("id", "similarity", "domain", "confidence")
    for domain, candidate in found:
        # Below the floor an agent would not get it, however trusted.
        style = "" if candidate.similarity >= floor else "dim"
        grid.add_row(
            short(candidate.id),
            f"{candidate.similarity:.2f}",
            domain,
            f"{candidate.confidence:.2f}",
            plain(sentence(_as_dict(domain, candidate))),
            style=style,
        )
    console.print(grid)
    console.print(plain(f"Agents get those of {floor:.2f} or more that are active.", "dim"))


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

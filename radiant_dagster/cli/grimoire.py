"""`radiant grimoire`: what was learned, and what a curator makes of it."""

import click
from rich.console import Console
from rich.table import Table

from radiant_dagster.adapters import tenants
from radiant_dagster.adapters.embeddings import build_embeddings
from radiant_dagster.adapters.grimoire import curation, reading
from radiant_dagster.adapters.grimoire.search import floor_of, nearest
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
    resolve_id,
    short,
    tenant_option,
    valid_text,
)
from radiant_dagster.cli.grimoire_calibrate import calibrate
from radiant_dagster.cli.grimoire_upkeep import rebuild, reembed
from radiant_dagster.cli.render import STYLES
from radiant_dagster.domain.selection import Candidate
from radiant_dagster.errors import InvalidInput

STATES = ("quarantined", "active", "retired", "expired", "merged", "revoked")
SEARCHED = ("active", "quarantined")


@click.group(
    short_help="Read and curate what the Think Tank has learned.",
    epilog=example(
        "radiant grimoire list --state quarantined", "radiant grimoire promote 51be70 --as curator"
    ),
)
def grimoire() -> None:
    """Read and curate heuristics, the rules of thumb that were distilled from sessions.

    New ones are quarantined: no agent sees them before a curator promotes them or further reviewed
    sessions have vouched for them.
    """


grimoire.add_command(calibrate)


@grimoire.command(
    "list",
    short_help="The newest heuristics.",
    epilog=example("radiant grimoire list --domain general --state active"),
)
@click.option("--domain", help="Of this domain only.")
@click.option("--state", type=click.Choice(STATES), help="In this state only.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1000))
@tenant_option
@json_option
def list_(
    domain: str | None, state: str | None, limit: int, tenant: str | None, as_json: bool
) -> None:
    """List heuristics, the newest first."""
    with (
        connect(tenant) as client,
        client.database.tenant_transaction(client.tenant_id) as cursor,
    ):
        _require_domain(domain, tenants.domain_policies(cursor, client.tenant_id))
        rows = reading.list_heuristics(
            cursor, client.tenant_id, domain=domain, state=state, limit=limit
        )
    if as_json:
        emit_json({"heuristics": rows})
        return
    if not rows:
        click.echo("Nothing is there. Sessions that end well teach something.")
        return
    table = _table("id", "state", "domain", "confidence", "used")
    for row in rows:
        used = row["success_count"] + row["failure_count"]
        table.add_row(
            short(row["id"]),
            plain(row["state"], STYLES.get(row["state"], "")),
            row["domain"],
            f"{row['confidence']:.2f}",
            str(used),
            plain(_sentence(row["polarity"], row["trigger_pattern"], row["action_template"])),
        )
    make_console().print(table)


def _require_domain(domain: str | None, known: dict[str, tenants.DomainPolicy]) -> None:
    if domain is not None and domain not in known:
        raise InvalidInput(
            "domain",
            f"this tenant has no domain {domain!r}",
            f"Use one of: {', '.join(sorted(known))}.",
        )


def _sentence(polarity: str, trigger: str, action: str) -> str:
    return f"When: {trigger} {polarity.capitalize()}: {action}"


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in columns:
        table.add_column(name, header_style="dim", no_wrap=True)
    table.add_column("heuristic", header_style="dim", overflow="fold")
    return table


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
    table = _table("id", "similarity", "domain", "confidence")
    for domain, candidate in found:
        # Below the floor an agent would not get it, however trusted.
        style = "" if candidate.similarity >= floor else "dim"
        table.add_row(
            short(candidate.id),
            f"{candidate.similarity:.2f}",
            domain,
            f"{candidate.confidence:.2f}",
            plain(
                _sentence(candidate.polarity, candidate.trigger_pattern, candidate.action_template)
            ),
            style=style,
        )
    console.print(table)
    console.print(plain(f"Agents get those of {floor:.2f} or more that are active.", "dim"))


@grimoire.command(short_help="One heuristic.", epilog=example("radiant grimoire show 51be70"))
@click.argument("heuristic_id", metavar="ID")
@tenant_option
@json_option
def show(heuristic_id: str, tenant: str | None, as_json: bool) -> None:
    """Show a heuristic: what it says, where it comes from, how far it is trusted."""
    with connect(tenant) as client:
        found = resolve_id(client, "knowledge_heuristics", heuristic_id)
        with client.database.tenant_transaction(client.tenant_id) as cursor:
            row = reading.get_heuristic(cursor, client.tenant_id, found)
    if as_json:
        emit_json(row)
        return
    console = make_console()
    console.print(plain(f"Heuristic {row['id']}", "bold"))
    console.print(plain(f"When: {row['trigger_pattern']}"))
    console.print(plain(f"{row['polarity'].capitalize()}: {row['action_template']}"))
    grid = Table.grid(padding=(0, 2))
    for name, value in (
        ("State", row["state"]),
        ("Domain", row["domain"]),
        ("Confidence", f"{row['confidence']:.2f} after {row['success_count']} good and "
                       f"{row['failure_count']} bad uses"),
        ("From", f"session {row['source_execution_id'] or '-'} ({row['outcome'] or '-'}), by "
                 f"{row['created_by']}"),
        ("Promoted by", row["approved_by"] or "-"),
        ("Created", moment(row["created_at"])),
        ("Last used", moment(row["last_used_at"])),
        ("Expires", moment(row["expires_at"])),
    ):  # fmt: skip
        grid.add_row(plain(name, "dim"), plain(value))
    console.print(grid)


@grimoire.command(
    short_help="Let agents use a quarantined heuristic.",
    epilog=example("radiant grimoire promote 51be70 --as curator"),
)
@click.argument("heuristic_id", metavar="ID")
@as_option
@tenant_option
@json_option
def promote(heuristic_id: str, actor: str | None, tenant: str | None, as_json: bool) -> None:
    """Make a quarantined heuristic active, on your word."""
    who = login_name(actor)
    with connect(tenant) as client:
        found = resolve_id(client, "knowledge_heuristics", heuristic_id)
        with client.database.tenant_transaction(client.tenant_id) as cursor:
            curation.promote(cursor, client.tenant_id, found, actor=who)
    if as_json:
        emit_json({"heuristic_id": found, "state": "active", "by": who})
    else:
        click.echo(f"Heuristic {found} is active: agents get it from now on.")


@grimoire.command(
    short_help="Take a heuristic out of use.",
    epilog=example("radiant grimoire retire 51be70 --as curator"),
)
@click.argument("heuristic_id", metavar="ID")
@as_option
@tenant_option
@json_option
def retire(heuristic_id: str, actor: str | None, tenant: str | None, as_json: bool) -> None:
    """Take a heuristic out of use, on your word."""
    who = login_name(actor)
    with connect(tenant) as client:
        found = resolve_id(client, "knowledge_heuristics", heuristic_id)
        with client.database.tenant_transaction(client.tenant_id) as cursor:
            curation.retire(cursor, client.tenant_id, found, actor=who)
    if as_json:
        emit_json({"heuristic_id": found, "state": "retired", "by": who})
    else:
        click.echo(f"Heuristic {found} is retired: no agent gets it any more.")


grimoire.add_command(rebuild)
grimoire.add_command(reembed)

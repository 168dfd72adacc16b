"""`radiant grimoire export` and `import`: heuristics as lines of JSON."""

import uuid
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, get_args

import click
from rich.progress import Progress

from radiant_dagster.adapters import tenants
from radiant_dagster.adapters.grimoire import files
from radiant_dagster.adapters.grimoire.texts import Checks
from radiant_dagster.cli.common import (
    Either,
    as_option,
    connect_either,
    emit_json,
    example,
    json_option,
    login_name,
    make_console,
    read_text,
    tenant_option,
)
from radiant_dagster.cli.remote import Remote
from radiant_dagster.domain.heuristic_files import as_line
from radiant_dagster.wire.grimoire import MAX_IMPORT_BYTES, State

STATES: tuple[State, ...] = get_args(State)
PAGE = 200


@click.command(
    "export",
    short_help="Write heuristics as lines of JSON.",
    epilog=example("radiant grimoire export --state active > grimoire.jsonl"),
)
@click.option("--domain", help="Of this domain only.")
@click.option("--state", type=click.Choice(STATES), help="In this state only.")
@tenant_option
def export(domain: str | None, state: str | None, tenant: str | None) -> None:
    """Write one heuristic a line: polarity, domain, trigger, action, numbers and provenance."""
    with connect_either(tenant) as client:
        for row in _rows(client, domain, state):
            click.echo(as_line(row))


def _rows(client: Either, domain: str | None, state: str | None) -> Iterator[dict[str, Any]]:
    if not isinstance(client, Remote):
        with client.database.tenant_transaction(client.tenant_id) as cursor:
            tenants.require_domain(cursor, client.tenant_id, domain)
        yield from files.every_heuristic(
            client.database, client.tenant_id, domain=domain, state=state
        )
        return
    place: str | None = None
    while True:
        page = client.api.heuristics(domain=domain, state=state, limit=PAGE, cursor=place)
        yield from (row.model_dump() for row in page.heuristics)
        place = page.next_cursor
        if place is None:
            return


@click.command(
    "import",
    short_help="Read heuristics from lines of JSON.",
    epilog=example("radiant grimoire import grimoire.jsonl --as curator"),
)
@click.argument("file", metavar="FILE")
@click.option(
    "--active", is_flag=True, help="Let agents use them at once, on your word. Not in domains "
    "where two people have to look.",
)  # fmt: skip
@as_option
@tenant_option
@json_option
def import_(file: str, active: bool, actor: str | None, tenant: str | None, as_json: bool) -> None:
    """Read heuristics from a file, or from standard input for `-`, as candidates.

    Every line is checked before one is stored; all are stored, or none. Numbers of another
    installation are not taken over: trust is earned here.
    """
    who = login_name(actor)
    text = read_text("file", file, max_bytes=MAX_IMPORT_BYTES)
    with connect_either(tenant) as client:
        done = _import(client, text, who, active=active)
    skipped = done["duplicate_lines"]
    if as_json:
        emit_json({"imported": done["ids"], "state": done["state"], "duplicate_lines": skipped})
        return
    click.echo(
        f"{len(done['ids'])} imported as {done['state']}, {len(skipped)} were known already."
    )


def _import(client: Either, text: str, who: str, *, active: bool) -> dict[str, Any]:
    console = make_console(stderr=True)
    if isinstance(client, Remote):
        with console.status("Importing"):
            return client.api.import_heuristics(text, active=active).model_dump()
    checks = Checks.of(client.settings)
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("Importing", total=None)
        ready = files.prepare(
            client.database, client.tenant_id, text, checks, actor=who, active=active,
            progress=lambda done, of: bar.update(task, completed=done, total=of),
        )  # fmt: skip
        with client.database.tenant_transaction(client.tenant_id) as cursor:
            done = files.store(
                cursor, client.tenant_id, ready,
                actor=who, now=datetime.now(UTC), new_id=uuid.uuid4,
            )  # fmt: skip
    return asdict(done)


COMMANDS = (export, import_)

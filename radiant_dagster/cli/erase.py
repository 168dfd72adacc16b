"""`radiant tenants erase`: remove a tenant everywhere, and prove it.

Dagster's side goes first, since the ids that it is found by are in our tables; so whatever breaks
in between, the same command finishes the work.
"""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID

import click

from radiant_dagster.adapters import dagster_traces, erasure, intake, vector_index
from radiant_dagster.adapters import tenants as store
from radiant_dagster.adapters.dagster_api import DagsterApi
from radiant_dagster.adapters.erasure import Holdings
from radiant_dagster.adapters.settings import Settings
from radiant_dagster.cli.common import (
    as_option,
    client_of,
    database_url,
    emit_json,
    example,
    json_option,
    load_settings,
    login_name,
    moment,
    open_database,
)
from radiant_dagster.cli.main import EXIT_STATE
from radiant_dagster.domain.wording import counted
from radiant_dagster.errors import (
    ConfigurationError,
    InvalidInput,
    SessionStateConflict,
    TenantBusy,
    TenantNotFound,
)

ENDED = frozenset({"SUCCESS", "FAILURE", "CANCELED"})
STOP_SECONDS = 60.0
POLL_SECONDS = 0.2
FORGET_TIMES, FORGET_PAUSE_SECONDS = 5, 2.0


@dataclass(frozen=True, slots=True)
class Found:
    """Where a tenant is. ``runs``: run id -> status; ``traces``: Dagster's table -> rows."""

    held: Holdings
    runs: Mapping[str, str]
    traces: Mapping[str, int]

    @property
    def ids(self) -> frozenset[str]:
        """By which other stores may name it."""
        return self.held.ids | frozenset(self.runs)

    @property
    def counts(self) -> dict[str, int]:
        """Table -> rows, of both databases."""
        ours = {f"radiant.{table}": rows for table, rows in self.held.rows.items()}
        return ours | {f"dagster.{table}": rows for table, rows in self.traces.items()}


class Eraser:
    """One tenant's erasure: look, stop what runs, delete, look again."""

    def __init__(self, settings: Settings, tenant_id: UUID) -> None:
        owner, dagster = settings.owner_database_url, settings.dagster_database_url
        if dagster is None:
            raise ConfigurationError(
                "RADIANT_DAGSTER_DATABASE_URL",
                "is not set, and Dagster's tables know the tenant's runs",
                "Set it to the database of Dagster's own tables.",
            )
        self._settings = settings
        self._tenant_id = tenant_id
        self._owner_url = owner.get_secret_value() if owner else database_url(settings)
        self._dagster_url = dagster.get_secret_value()
        self._dagster = DagsterApi(settings.dagster_url)

    def look(self, known: Iterable[str] = ()) -> Found:
        """Count what there is. ``known``: ids that were found before."""
        held, runs = self._open(known)
        ids = held.ids | frozenset(known) | frozenset(runs)
        return Found(held, runs, dagster_traces.count(self._dagster_url, ids))

    def _open(self, known: Iterable[str] = ()) -> tuple[Holdings, Mapping[str, str]]:
        with erasure.owner_transaction(self._owner_url, self._tenant_id) as cursor:
            held = erasure.holdings(cursor, self._tenant_id)
        ids = held.ids | frozenset(known)
        return held, dagster_traces.runs(self._dagster_url, str(self._tenant_id), ids)

    def stop(self, found: Found, *, actor: str) -> None:
        """Cancel what has not ended, and wait for its runs."""
        with open_database(self._settings) as database:
            client = client_of(self._settings, database, self._tenant_id)
            for session_id in found.held.running:
                try:
                    intake.cancel(client, session_id, actor=actor)
                except SessionStateConflict:
                    continue  # it ended by itself meanwhile
        for run_id in working(found.runs):
            self._dagster.terminate(run_id)
        end = time.monotonic() + STOP_SECONDS
        while True:
            held, runs = self._open()
            if not held.running and not working(runs):
                return
            if time.monotonic() > end:
                raise TenantBusy(len(held.running), len(working(runs)))
            time.sleep(POLL_SECONDS)

    def erase(self, found: Found, *, actor: str) -> Found:
        """Delete, and count again by the ids that were known before."""
        for run_id in found.runs:
            self._dagster.delete_run(run_id)
        self._forget(found.ids)
        vector_index.drop_of_tenant(self._owner_url, self._tenant_id)
        with erasure.owner_transaction(self._owner_url, self._tenant_id) as cursor:
            erasure.erase(cursor, self._tenant_id, actor=actor)
        self._forget(found.ids)  # what the daemon wrote meanwhile
        return self.look(found.ids)

    def _forget(self, ids: frozenset[str]) -> None:
        # A sensor that is in the middle of its tick writes its state once more, with what it knew.
        for _ in range(FORGET_TIMES):
            dagster_traces.forget(self._dagster_url, ids)
            left = dagster_traces.count(self._dagster_url, ids)
            if not any(left[table] for table in left.keys() - dagster_traces.RUN_TABLES):
                return
            time.sleep(FORGET_PAUSE_SECONDS)

    def tombstone(self, slug: str) -> erasure.Tombstone | None:
        """Return when a tenant of that slug was erased."""
        with erasure.owner_transaction(self._owner_url, self._tenant_id) as cursor:
            return erasure.tombstone(cursor, slug)


def working(runs: Mapping[str, str]) -> list[str]:
    """Return the runs that have not ended."""
    return [run_id for run_id, status in runs.items() if status not in ENDED]


@click.command(
    short_help="Remove a tenant everywhere, and prove it.",
    epilog=example("radiant tenants erase acme", "radiant tenants erase acme --yes"),
)
@click.argument("slug")
@click.option("--yes", is_flag=True, help="Erase. Asks for the slug again, on standard input.")
@click.option("--force", is_flag=True, help="Cancel what still runs, and what waits for a person.")
@as_option
@json_option
def erase(slug: str, yes: bool, force: bool, actor: str | None, as_json: bool) -> None:
    """Remove a tenant from every table, and what Dagster knows of it.

    Without --yes it changes nothing and lists what there is. Deleted are all rows of the tenant,
    audit trail included, and Dagster's runs with their events; where Dagster names the tenant's ids
    elsewhere, zeros take their place. One line stays: a hash of the slug, when, by whom, how many
    rows. Afterwards everything is counted again; exit code 3 where anything is left. Backups and
    archives of your own are not reached.
    """
    who = login_name(actor)
    settings = load_settings()
    eraser = Eraser(settings, _find(settings, slug))
    found = eraser.look()
    if not yes:
        _show(found.counts, found, as_json=as_json)
        return
    if click.prompt("Type the slug again", err=True) != slug:
        raise InvalidInput("slug", "is not the one typed again", "Nothing was changed.")
    if found.held.running or working(found.runs):
        if not force:
            raise TenantBusy(len(found.held.running), len(working(found.runs)))
        eraser.stop(found, actor=who)
        found = eraser.look()
    left = eraser.erase(found, actor=who)
    stone = eraser.tombstone(slug)
    rest = {table: rows for table, rows in left.counts.items() if rows}
    if as_json:
        emit_json({"erased": found.counts, "left": left.counts, "tombstone": stone})
    else:
        for table, rows in left.counts.items():
            click.echo(f"{table:32} {found.counts.get(table, 0):>9} -> {rows}")
        click.echo(f"Erased at {moment(stone.erased_at if stone else None)}. Left: {len(rest)}.")
    if rest or stone is None:
        click.echo(
            f"Something is left in: {', '.join(rest) or 'no table, nor a tombstone'}.", err=True
        )
        raise click.exceptions.Exit(EXIT_STATE)


def _find(settings: Settings, slug: str) -> UUID:
    with open_database(settings) as database:
        try:
            return store.find_tenant(database, slug)
        except TenantNotFound:
            # The usual message proposes to create it, which is not what is wanted here.
            raise InvalidInput(
                "slug", f"no tenant is named {slug!r}", "List them with `radiant tenants list`."
            ) from None


def _show(counts: Mapping[str, int], found: Found, *, as_json: bool) -> None:
    if as_json:
        emit_json({"would_erase": counts, "runs": len(found.runs)})
        return
    for table, rows in counts.items():
        click.echo(f"{table:32} {rows:>9}")
    click.echo(
        f"{counted(len(found.runs), 'run')} of Dagster. Not ended: "
        f"{counted(len(found.held.running), 'session')}, "
        f"{counted(len(working(found.runs)), 'run')}."
    )
    click.echo("Nothing was changed. Erase with --yes.")

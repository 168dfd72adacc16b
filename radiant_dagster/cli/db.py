"""`radiant db`: the schema of the database and the indexes that its data asks for."""

from typing import Any
from urllib.parse import urlsplit

import click

from radiant_dagster.adapters.health import database_facts
from radiant_dagster.adapters.migrations import (
    LOGIN_ROLES,
    REVIEW_LOGIN_ROLES,
    migrate,
    migration_names,
)
from radiant_dagster.adapters.postgres import location
from radiant_dagster.adapters.settings import Settings
from radiant_dagster.adapters.vector_index import Arranged, arrange
from radiant_dagster.cli.common import (
    database_url,
    emit_json,
    example,
    json_option,
    load_settings,
    open_database,
)
from radiant_dagster.cli.main import EXIT_FAILED
from radiant_dagster.domain.wording import counted
from radiant_dagster.errors import InvalidInput

owner_option = click.option(
    "--url", help="Login of the database's owner. Default: RADIANT_OWNER_DATABASE_URL."
)


@click.group(
    short_help="Bring the database up to date, or see what it lacks.",
    epilog=example("radiant db status", "radiant db migrate", "radiant db index"),
)
def db() -> None:
    """Bring the database up to date, or see what it lacks."""


@db.command(
    "migrate",
    short_help="Create roles and tables that are missing.",
    epilog=example("radiant db migrate --url postgresql://postgres:secret@db:5432/radiant"),
)
@owner_option
@json_option
def migrate_(url: str | None, as_json: bool) -> None:
    """Create the roles and tables that are missing, and nothing else.

    It needs a login that may create roles, and lets the logins of RADIANT_DATABASE_URL and
    RADIANT_REVIEW_DATABASE_URL use them. The embedded database is migrated by `radiant up`.
    """
    settings = load_settings()
    owner_url = _owner_url(settings, url)
    applied = migrate(owner_url, logins=_logins(settings))
    if as_json:
        emit_json({"database": location(owner_url), "applied": applied})
    elif applied:
        click.echo(f"Applied to {location(owner_url)}: {', '.join(applied)}.")
    else:
        click.echo(f"{location(owner_url)} is up to date.")


@db.command(
    "index",
    short_help="Give large domains of the Grimoire their vector index.",
    epilog=example("radiant db index", "radiant db index --rows 10000"),
)
@owner_option
@click.option(
    "--rows",
    type=click.IntRange(min=0),
    help="Heuristics above which a domain gets one. Default: RADIANT_GRIMOIRE_EXACT_ROWS.",
)
@json_option
def index(url: str | None, rows: int | None, as_json: bool) -> None:
    """Give every large domain of the Grimoire a vector index of its own.

    Without one every heuristic of the domain is compared with the question, which is as right and,
    above some thousands, slower. The largest hundred domains get one: more would slow every
    statement down. Those of domains that shrank to half as many are dropped. Sessions go on
    meanwhile; run it from time to time, `radiant doctor` tells when it is needed.
    """
    settings = load_settings()
    above = settings.grimoire_exact_rows if rows is None else rows
    with open_database(settings) as database:
        done = arrange(
            database,
            _owner_url(settings, url),
            above,
            on_progress=lambda large: click.echo(
                f"Indexing {large.rows} heuristics, {large.domain} of tenant {large.tenant_id} ...",
                err=True,
            ),
        )
    if as_json:
        created = [
            {"tenant_id": str(large.tenant_id), "domain": large.domain, "rows": large.rows}
            for large in done.created
        ]
        most = done.largest.rows if done.largest else 0
        emit_json(
            {
                "rows": above,
                "created": created,
                "dropped": len(done.dropped),
                "large": len(done.large),
                "most_rows": most,
            }
        )
    else:
        click.echo(_arranged(done, above))


def _arranged(done: Arranged, above: int) -> str:
    if done.largest is None:
        found = "The Grimoire holds no active heuristic, so nothing needs an index."
    elif not done.large:
        found = (
            f"Nothing needs an index: the largest domain, {done.largest.domain} of tenant "
            f"{done.largest.tenant_id}, holds {counted(done.largest.rows, 'active heuristic')}, "
            f"and up to {above} are compared one by one."
        )
    else:
        found = (
            f"Domains with more than {above} active heuristics: {len(done.large)}. Each has its "
            "index" + (f"; made now: {len(done.created)}." if done.created else " already.")
        )
    gone = f" Dropped, of domains that shrank: {len(done.dropped)}." if done.dropped else ""
    return found + gone


def _owner_url(settings: Settings, url: str | None) -> str:
    owner = settings.owner_database_url
    owner_url = url or (owner.get_secret_value() if owner else database_url(settings))
    if not owner_url.startswith(("postgresql://", "postgres://")):
        raise InvalidInput("--url", "is no PostgreSQL URL", "It starts with postgresql://.")
    return owner_url


def _logins(settings: Settings) -> dict[str, tuple[str, ...]]:
    """Return which login may step into which roles."""
    logins: dict[str, tuple[str, ...]] = {}
    review, main = settings.review_database_url, settings.database_url
    for url, roles in ((review, REVIEW_LOGIN_ROLES), (main, LOGIN_ROLES)):
        login = urlsplit(url.get_secret_value()).username if url else None
        if login:  # one login for both gets what both need
            logins[login] = (*logins.get(login, ()), *roles)
    return logins


@db.command(
    short_help="What the database has and lacks.", epilog=example("radiant db status --json")
)
@json_option
def status(as_json: bool) -> None:
    """Show the database's version, extension, roles and migrations. Exit code 1 if any lacks."""
    facts = database_facts(database_url(load_settings()))
    complete = not facts.pending and not facts.missing_roles and facts.pgvector is not None
    if as_json:
        emit_json({"up_to_date": complete, **_facts_dict(facts)})
    else:
        for name, value in _facts_dict(facts).items():
            shown = ", ".join(value) or "none" if isinstance(value, list) else value
            click.echo(f"{name.replace('_', ' '):20} {shown}")
        if not complete:
            click.echo("Run `radiant db migrate`.", err=True)
    if not complete:
        raise click.exceptions.Exit(EXIT_FAILED)


def _facts_dict(facts: Any) -> dict[str, object]:
    return {
        "database": facts.location,
        "postgresql": f"{facts.server_version // 10000}.{facts.server_version % 10000}",
        "pgvector": facts.pgvector,
        "migrations_applied": [n for n in migration_names() if n not in facts.pending],
        "migrations_pending": list(facts.pending),
        "roles_missing": list(facts.missing_roles),
    }

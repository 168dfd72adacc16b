"""`radiant doctor`: checks every piece in the order in which they need each other."""

import importlib.metadata
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import click

from radiant_dagster.adapters import health, tenants, vector_index
from radiant_dagster.adapters.cato import build_cato
from radiant_dagster.adapters.dagster_api import DagsterApi
from radiant_dagster.adapters.detectors import build_detector
from radiant_dagster.adapters.embeddings import build_embeddings
from radiant_dagster.adapters.grimoire import search
from radiant_dagster.adapters.llm_transports import build_llm
from radiant_dagster.adapters.migrations import (
    MIN_PGVECTOR,
    MIN_POSTGRES,
    REVIEW_LOGIN_ROLES,
)
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.adapters.settings import Settings
from radiant_dagster.adapters.synthesis import verdict_of
from radiant_dagster.cli.common import (
    database_url,
    emit_json,
    example,
    json_option,
    load_settings,
    make_console,
    open_database,
    plain,
)
from radiant_dagster.cli.doctor_reviews import check_decisions, check_keys, check_targets
from radiant_dagster.cli.findings import Failed, Noted, Skipped
from radiant_dagster.cli.main import EXIT_FAILED
from radiant_dagster.errors import (
    CatoUnavailable,
    ConfigurationError,
    DagsterUnavailable,
    RadiantError,
)
from radiant_dagster.local.control import running_stack

Result = Literal["ok", "warning", "failed", "skipped"]
MARKS: dict[Result, tuple[str, str]] = {
    "ok": ("ok", "green"),
    "warning": ("!!", "yellow"),
    "failed": ("FAIL", "bold red"),
    "skipped": ("--", "dim"),
}
ONE_VERSION = ("dagster", "dagster-webserver", "dagster-graphql")
SHOWN_VERSIONS = ("dagster", "dagster-celery", "litellm", "sqlalchemy", "radiant-dagster")
# Releases of LiteLLM that carried malware.
COMPROMISED = ("1.82.7", "1.82.8", "1.107.")


@dataclass(frozen=True, slots=True)
class Check:
    """What one check found.

    Args:
        name: The piece.
        result: Only ``failed`` counts against the whole.
        detail: What was found, and what to do where it failed.
    """

    name: str
    result: Result
    detail: str


def checks(settings: Settings | ConfigurationError) -> Iterator[tuple[str, Callable[[], str]]]:
    """Yield every check by name; each returns what it found or raises."""
    yield "Python and packages", check_packages
    if isinstance(settings, ConfigurationError):
        problem = settings

        def refuse() -> str:
            raise problem

        yield "Settings", refuse
        return
    s = settings
    yield "Settings", lambda: f"valid; models through {s.resolved_llm_transport}"
    yield "Data folder", lambda: check_home(s.home)
    yield "Embedded stack", lambda: check_stack(s)
    yield "Database", lambda: check_database(s)
    yield "Reviewer's login", lambda: check_reviewer(s)
    yield "Mission Control", lambda: check_mission_control(s)
    yield "Tenant", lambda: check_tenant(s)
    yield "Decisions", lambda: check_decisions(s)
    yield "Webhooks", lambda: check_targets(s)
    yield "Keys", lambda: check_keys(s)
    yield "Broker", lambda: check_broker(s)
    yield "Dagster webserver", lambda: f"{s.dagster_url}, Dagster {_dagster(s).version()}"
    yield "Code location", lambda: check_location(s)
    yield "Dagster daemons", lambda: check_daemons(s)
    yield "Workers", lambda: check_workers(s)
    yield "Models", lambda: check_models(s)
    yield "Embedding model", lambda: check_embeddings(s)
    yield "Vector index", lambda: check_vector_index(s)
    yield "Scrubber", lambda: check_scrubber(s)
    yield "Cato", lambda: check_cato(s)


def run_checks(settings: Settings | ConfigurationError) -> Iterator[Check]:
    """Run every check, also after a failed one."""
    for name, check in checks(settings):
        try:
            yield Check(name, "ok", check())
        except Skipped as reason:
            yield Check(name, "skipped", str(reason))
        except Noted as note:
            yield Check(name, "warning", str(note))
        except (Failed, RadiantError) as error:
            yield Check(name, "failed", str(error))
        except Exception as error:  # noqa: BLE001 - one broken piece must not hide the others
            yield Check(name, "failed", f"unexpected {type(error).__name__}; please report it")


def check_packages() -> str:
    """Check the versions that have to fit together."""
    versions = {name: importlib.metadata.version(name) for name in {*ONE_VERSION, *SHOWN_VERSIONS}}
    python = ".".join(str(part) for part in sys.version_info[:3])
    if len({versions[name] for name in ONE_VERSION}) != 1:
        raise Failed("dagster, dagster-webserver and dagster-graphql differ. Run `make install`.")
    if versions["litellm"].startswith(COMPROMISED):
        raise Failed(f"litellm {versions['litellm']} was compromised. Run `make install` now.")
    if tuple(int(part) for part in versions["sqlalchemy"].split(".")[:2]) >= (2, 1):
        raise Failed("sqlalchemy 2.1 cannot be used by dagster-postgres. Run `make install`.")
    shown = ", ".join(f"{name} {versions[name]}" for name in SHOWN_VERSIONS)
    return f"Python {python}, {shown}"


def check_home(home: Path) -> str:
    """Check that the data folder can be used, without making it."""
    nearest = home
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        raise Failed(
            f"RADIANT_HOME: {home} cannot be written. Set it to a folder of yours; it is needed "
            "for `radiant up` only."
        )
    return f"{home}" + ("" if home.exists() else " (made at the first start)")


def check_stack(settings: Settings) -> str:
    """Tell whether `radiant up` runs."""
    info = running_stack(settings)
    if info is None:
        raise Skipped("`radiant up` does not run here; fine where all pieces run elsewhere")
    return f"runs as process {info.pid}: {', '.join(info.processes)}"


def check_database(settings: Settings) -> str:
    """Check version, extension, migrations and roles."""
    facts = health.database_facts(database_url(settings))
    if facts.server_version < MIN_POSTGRES:
        raise Failed(
            f"RADIANT_DATABASE_URL: PostgreSQL {facts.server_version // 10000} is too old. Use 15 "
            "or newer."
        )
    if facts.pgvector is None:
        raise Failed(
            f"RADIANT_DATABASE_URL: {facts.location} lacks the extension pgvector. Install "
            "pgvector 0.8 on its server, then run `radiant db migrate`."
        )
    if tuple(int(part) for part in facts.pgvector.split(".")[:2]) < MIN_PGVECTOR:
        raise Failed(
            f"RADIANT_DATABASE_URL: pgvector {facts.pgvector} is too old. Install 0.8 or newer and "
            "run `alter extension vector update`."
        )
    if facts.pending:
        raise Failed(
            f"RADIANT_DATABASE_URL: {len(facts.pending)} migration(s) are missing, first "
            f"{facts.pending[0]}. Run `radiant db migrate`."
        )
    if facts.missing_roles:
        raise Failed(
            f"RADIANT_DATABASE_URL: the login lacks {', '.join(facts.missing_roles)}. Run "
            "`radiant db migrate`."
        )
    version = f"{facts.server_version // 10000}.{facts.server_version % 10000}"
    return f"{facts.location}, PostgreSQL {version}, pgvector {facts.pgvector}, up to date"


def check_reviewer(settings: Settings) -> str:
    """Check the login of `radiant approvals`."""
    if settings.review_database_url is None:
        raise Noted(
            "RADIANT_REVIEW_DATABASE_URL is not set: `radiant approvals` uses the main login. "
            "Give reviewers one of their own where that matters."
        )
    url = settings.review_database_url.get_secret_value()
    facts = health.database_facts(url, roles=REVIEW_LOGIN_ROLES)
    if facts.missing_roles:
        raise Failed(
            f"RADIANT_REVIEW_DATABASE_URL: the login lacks {', '.join(facts.missing_roles)}. Run "
            "`radiant db migrate`."
        )
    return facts.location


def check_mission_control(settings: Settings) -> str:
    """Check that reviewers find their pages."""
    url = settings.mission_control_address
    if not health.mission_control_ready(url):
        raise Noted(
            f"RADIANT_MISSION_CONTROL_URL: nothing is ready at {url}. Start it with `radiant up` "
            "or `radiant mission-control`; `radiant approvals` works without it."
        )
    return url


def check_tenant(settings: Settings) -> str:
    """Check that the settings' tenant exists."""
    with open_database(settings) as database:
        tenants.find_tenant(database, settings.tenant)
    return settings.tenant


def check_broker(settings: Settings) -> str:
    """Check that the broker answers."""
    url = _broker_url(settings)
    health.ping_broker(url)
    return health.broker_location(url)


def _broker_url(settings: Settings) -> str:
    if settings.broker_url is None:
        raise Failed("RADIANT_BROKER_URL: is not set. Start one with `radiant up`, or set it.")
    return settings.broker_url.get_secret_value()


def _dagster(settings: Settings) -> DagsterApi:
    return DagsterApi(settings.dagster_url, public_url=settings.dagster_public_url)


def check_location(settings: Settings) -> str:
    """Check that Dagster has loaded our definitions."""
    if not _dagster(settings).location_loaded():
        raise DagsterUnavailable(
            settings.dagster_url, "the code location radiant_dagster is not loaded without error"
        )
    return "radiant_dagster is loaded"


def check_daemons(settings: Settings) -> str:
    """Check the daemons that sensors and schedules need."""
    unhealthy = _dagster(settings).unhealthy_daemons()
    if unhealthy:
        raise Failed(
            f"not healthy: {', '.join(unhealthy)}. Decisions are carried out and deadlines kept "
            "by sensors only; start `dagster-daemon run`, or `radiant up`."
        )
    return "healthy"


def check_workers(settings: Settings) -> str:
    """Check that somebody would execute a run."""
    workers = health.live_workers(_broker_url(settings))
    if not workers:
        raise Failed(
            "no Celery worker answers. Start one with `radiant up`, or with "
            "`celery --app radiant_dagster.worker worker --queues dagster`."
        )
    return ", ".join(workers)


def check_models(settings: Settings) -> str:
    """Check that the gateway can be used and serves our own models."""
    llm = build_llm(settings)
    llm.check()
    served = llm.models()
    for variable, model in (
        ("RADIANT_SYNTHESIS_MODEL", settings.synthesis_model),
        ("RADIANT_FALLBACK_SYNTHESIS_MODEL", settings.fallback_synthesis_model),
        ("RADIANT_LIBRARIAN_MODEL", settings.librarian_model),
    ):
        if served is not None and model not in served:
            some = ", ".join(sorted(served)[:8])
            raise Failed(f"{variable}: {model} is not served. Set one of, for instance: {some}.")
    if llm.transport == "offline":
        raise Noted("the offline demo model answers; set LITELLM_PROXY_URL to use real models")
    count = "" if served is None else f", {len(served)} models: {', '.join(sorted(served)[:8])}"
    return f"{llm.transport}{count}"


def check_embeddings(settings: Settings) -> str:
    """Check that the embedding model loads and embeds, and has a threshold."""
    model = build_embeddings(settings)
    vector = model.embed(["a question about vaccine storage"])[0]
    return f"{model.model_id}, {len(vector)} dimensions{_floor(settings, model.model_id)}"


def _floor(settings: Settings, model_id: str) -> str:
    if settings.database_url is None:
        return ""
    with open_database(settings) as database:
        return f", similarity floor {_floor_of(database, model_id):.2f}"


def _floor_of(database: Database, model_id: str) -> float:
    with database.system_transaction("radiant_dispatch") as cursor:
        return search.floor_of(cursor, model_id)


def check_vector_index(settings: Settings) -> str:
    """Check that large domains are searched by an index."""
    rows = settings.grimoire_exact_rows
    with (
        open_database(settings) as database,
        database.system_transaction("radiant_maintenance") as cursor,
    ):
        slow = vector_index.without_index(cursor, rows)
    if slow:
        shown = ", ".join(f"{item.domain} of tenant {item.tenant_id}" for item in slow[:3])
        raise Noted(
            f"{shown}{' and others' if slow[3:] else ''} has more than {rows} heuristics and no "
            "vector index: every one is compared, which is right and slow. Run `radiant db index`."
        )
    return f"none is missing; up to {rows} heuristics a domain needs none"


def check_scrubber(settings: Settings) -> str:
    """Check that the scrubber's lists and model load, and that it finds what it should."""
    probe = "Dr. Ann Lee, MRN 4827193, went to Lagos."
    began = time.perf_counter()
    kinds = {span.type for span in build_detector(settings).detect(probe)}
    if not {"PERSON", "LOCATION", "MRN"} <= kinds:
        raise Failed(
            "RADIANT_PHI_ENGINE: the scrubber misses a name, a town or a record number. Reinstall "
            "radiant-dagster, or set RADIANT_NER_MODEL back."
        )
    model = f", model {settings.ner_model}" if settings.phi_engine == "rules+ner" else ""
    return f"{settings.phi_engine}{model}, loaded in {time.perf_counter() - began:.1f} s"


def check_cato(settings: Settings) -> str:
    """Check that Cato gives a verdict."""
    risk = build_cato(settings).check_epistemic_safety("Wash your hands before meals.", "general")
    if verdict_of(risk) == "unavailable":
        raise CatoUnavailable(", ".join(risk.reasons).removeprefix("cato_unavailable:"))
    where = settings.cato_service_url or "embedded rules"
    return f"{where} answers ({risk.verdict})"


@click.command(short_help="Check every piece and say what to do.", epilog=example("radiant doctor"))
@json_option
def doctor(as_json: bool) -> None:
    """Check every piece in the order in which they need each other, and say what to do.

    Nothing is changed and no model call is paid for. Exit code 0 only if nothing failed.
    """
    settings: Settings | ConfigurationError
    try:
        settings = load_settings()
    except ConfigurationError as error:
        settings = error
    console = make_console()
    found: list[Check] = []
    for check in run_checks(settings):
        found.append(check)
        if not as_json:
            mark, style = MARKS[check.result]
            console.print(plain(f"{mark:5}", style), plain(f"{check.name}: {check.detail}"))
    failed = [check.name for check in found if check.result == "failed"]
    if as_json:
        emit_json({"ok": not failed, "checks": [asdict(check) for check in found]})
    elif failed:
        click.echo(f"\nFailed: {', '.join(failed)}. Mend the first one first.", err=True)
    else:
        click.echo("\nAll is well.")
    if failed:
        raise click.exceptions.Exit(EXIT_FAILED)

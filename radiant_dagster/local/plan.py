"""Decides what `radiant up` starts: which servers are embedded, how each process is called.

A piece that the settings point elsewhere is not started. What the settings say may come from the
stack.json of an earlier start; such values are our own servers, not somebody else's.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import SecretStr

from radiant_dagster.adapters.settings import Settings
from radiant_dagster.errors import ConfigurationError
from radiant_dagster.local.dagster_home import LOCATION_NAME
from radiant_dagster.local.ports import LOOPBACK

ProcessName = Literal[
    "postgres", "valkey", "model", "mission", "code", "webserver", "daemon", "worker"
]
ALL: tuple[ProcessName, ...] = (
    "postgres", "valkey", "model", "mission", "code", "webserver", "daemon", "worker",
)  # fmt: skip
PORT_OF: dict[ProcessName, str] = {
    "postgres": "postgres",
    "valkey": "valkey",
    "model": "model",
    "mission": "mission_control",
    "code": "code",
    "webserver": "dagster",
}
DEFINITIONS = "radiant_dagster.definitions"
QUEUE = "dagster"


@dataclass(frozen=True, slots=True)
class Plan:
    """What to start, and how the pieces that are not started are reached.

    Attributes:
        processes: In order of start.
        external: Variable name -> value of the pieces that somebody else runs.
        ports: Port name (``dagster``) -> configured port, None to choose one.
        workers: Celery processes.
    """

    processes: tuple[ProcessName, ...]
    external: Mapping[str, str]
    ports: Mapping[str, int | None]
    workers: int


def make_plan(
    settings: Settings, processes: tuple[ProcessName, ...], recorded: Mapping[str, str]
) -> Plan:
    """Decide what to start.

    Args:
        settings: As loaded.
        processes: What the caller wants at most.
        recorded: The ``environment`` of a stack.json left by an earlier start.

    Raises:
        ConfigurationError: RADIANT's database is external, but Dagster's is not given.
    """
    urls = {
        "RADIANT_DATABASE_URL": settings.database_url,
        "RADIANT_OWNER_DATABASE_URL": settings.owner_database_url,
        "RADIANT_REVIEW_DATABASE_URL": settings.review_database_url,
        "RADIANT_DAGSTER_DATABASE_URL": settings.dagster_database_url,
        "RADIANT_BROKER_URL": settings.broker_url,
        "RADIANT_OFFLINE_MODEL_URL": settings.offline_model_url,
        "RADIANT_MISSION_CONTROL_URL": settings.own_mission_control_url,
    }
    external = {
        name: text
        for name, value in urls.items()
        if (text := _plain(value)) is not None and text != recorded.get(name)
    }
    skip: set[ProcessName] = set()
    if "RADIANT_DATABASE_URL" in external:
        if "RADIANT_DAGSTER_DATABASE_URL" not in external and "webserver" in processes:
            raise ConfigurationError(
                "RADIANT_DAGSTER_DATABASE_URL",
                "is not set, although RADIANT_DATABASE_URL is",
                "Set it to a database and login of Dagster's own on that server.",
            )
        skip.add("postgres")
        if "RADIANT_REVIEW_DATABASE_URL" not in external:
            skip.add("mission")  # the main login may not check credentials
    if "RADIANT_BROKER_URL" in external:
        skip.add("valkey")
    if settings.resolved_llm_transport != "offline" or "RADIANT_OFFLINE_MODEL_URL" in external:
        skip.add("model")
    chosen: tuple[ProcessName, ...] = tuple(
        name for name in ALL if name in processes and name not in skip
    )
    configured = {
        "postgres": settings.postgres_port,
        "valkey": settings.valkey_port,
        "model": settings.model_port,
        "mission_control": settings.mission_control_port,
        "code": settings.code_port,
        "dagster": settings.dagster_port,
    }
    ports = {port: configured[port] for name, port in PORT_OF.items() if name in chosen}
    return Plan(chosen, external, ports, settings.workers)


def _plain(value: SecretStr | str | None) -> str | None:
    return value.get_secret_value() if isinstance(value, SecretStr) else value


def command(
    name: ProcessName, ports: Mapping[str, int], dagster_home: Path, workers: int
) -> list[str]:
    """Return the command line of a Python process of the stack."""
    workspace = str(dagster_home / "workspace.yaml")
    arguments: dict[str, list[str]] = {
        "model": ["radiant_dagster.offline", "--port", str(ports.get("model", 0))],
        "mission": [
            "radiant_dagster.mission_control", "--host", LOOPBACK,
            "--port", str(ports.get("mission_control", 0)),
        ],
        "code": [
            "dagster", "api", "grpc", "--module-name", DEFINITIONS, "--host", LOOPBACK,
            "--port", str(ports.get("code", 0)), "--location-name", LOCATION_NAME,
            "--use-python-environment-entry-point",
        ],
        "webserver": [
            "dagster_webserver", "--host", LOOPBACK, "--port", str(ports.get("dagster", 0)),
            "--workspace", workspace,
        ],
        "daemon": ["dagster._daemon", "run", "--workspace", workspace],
        # One worker host: the gossip, mingle and heartbeat of a cluster only cost wake-ups.
        "worker": [
            "celery", "--app", "radiant_dagster.worker", "worker", "--pool", "prefork",
            "--concurrency", str(workers), "--queues", QUEUE, "--hostname", "radiant@%h",
            "--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "INFO",
        ],
    }  # fmt: skip
    return [sys.executable, "-m", *arguments[name]]

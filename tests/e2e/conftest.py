"""One whole stack for all end-to-end tests: servers, webserver, daemon, workers."""

import os
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from radiant_dagster.adapters import approvals, sessions, tenants
from radiant_dagster.adapters.dagster_api import DagsterApi
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.adapters.settings import Settings
from radiant_dagster.adapters.submission import prepare, store_session
from radiant_dagster.domain.approvals import Vote
from radiant_dagster.domain.swarm import AgentConfig
from radiant_dagster.local.control import StackInfo
from radiant_dagster.local.stack import Stack
from tests.services.folders import fresh_folder
from tests.services.llm_server import LlmServer
from tests.services.power_cuts import PowerCuts
from tests.services.review_load import ENVIRONMENT

PROMPT = "How should a small clinic prepare its vaccine storage for a power cut?"

MODEL_KEY = "sk-zqcanarymodelkeyvxk"


@dataclass
class Running:
    """A running stack and what the tests need to talk to it."""

    info: StackInfo
    settings: Settings
    env: dict[str, str]
    database: Database
    dagster: DagsterApi
    tenant: uuid.UUID
    models: LlmServer
    pids: dict[str, int]  # as they are now: tests kill processes and start them again

    def submit(self, **options: Any) -> tuple[uuid.UUID, str]:
        """Store and launch a session; return its id and the run's."""
        session_id = uuid.uuid4()
        agents = tuple(AgentConfig(f"a{n}", "analyst", "gpt-4o-mini") for n in range(3))
        wanted = {"prompt": PROMPT, "domain": "general", "user_id": "ann", "agents": agents}
        request, estimate = prepare(
            self.database, self.settings, self.tenant, **{**wanted, **options}
        )
        store_session(self.database, self.settings, self.tenant, session_id, request, estimate)
        return session_id, self.dagster.launch_think_tank(self.tenant, session_id)

    def session(self, session_id: uuid.UUID) -> dict[str, Any]:
        with self.database.tenant_transaction(self.tenant) as cursor:
            return sessions.get_session(cursor, self.tenant, session_id)

    def wait(self, session_id: uuid.UUID, *statuses: str, seconds: float = 60) -> dict[str, Any]:
        return until(
            lambda: self.session(session_id), lambda row: row["status"] in statuses, seconds
        )

    def wait_run(self, run_id: str, *statuses: str) -> str:
        return until(
            lambda: getattr(self.dagster.run_state(run_id), "status", ""),
            lambda status: status in statuses,
        )

    def approve(self, session_id: uuid.UUID) -> uuid.UUID:
        with self.database.tenant_transaction(self.tenant, role="radiant_review") as cursor:
            (request,) = (
                row
                for row in approvals.list_approvals(cursor, self.tenant, pending_only=True)
                if row["session_id"] == session_id
            )
            full = approvals.get_approval(cursor, self.tenant, request["id"])
        sha256 = bytes(full["payload_sha256"])
        vote = Vote("dr-lee", frozenset({"reviewer"}), "approved", sha256)
        approvals.decide(self.database, self.tenant, request["id"], vote)
        return request["id"]


def until(read: Callable[[], Any], holds: Callable[[Any], bool], seconds: float = 60) -> Any:
    """Return what `read` gives once it holds."""
    end = time.monotonic() + seconds
    while True:
        value = read()
        if holds(value):
            return value
        if time.monotonic() > end:
            raise AssertionError(f"still {value!r} after {seconds:.0f} s")
        time.sleep(0.1)


@pytest.fixture(scope="session")
def stack() -> Iterator[Running]:
    """A stack of two workers whose models are a scripted server in this process."""
    names = ("RADIANT_", "LITELLM_", "CATO_", "DB_", "DAGSTER_")
    clean = {key: value for key, value in os.environ.items() if not key.startswith(names)}
    with fresh_folder() as folder, LlmServer() as models:
        folder.chmod(0o755)
        env = clean | {
            **ENVIRONMENT,
            "RADIANT_HOME": str(folder / "home"),
            "RADIANT_WORKERS": "2",
            "LITELLM_PROXY_URL": models.url,
            "LITELLM_API_KEY": MODEL_KEY,
        }
        with Stack(Settings.load(env, stack=False), env=env) as manager:
            info = manager.start()
            settings = Settings.load({**env, **info.environment})
            assert settings.database_url is not None
            database = Database(settings.database_url.get_secret_value())
            tenant = uuid.uuid4()
            tenants.create_tenant(database, tenant, "e2e", "End to end")
            api = DagsterApi(settings.dagster_url)
            yield Running(info, settings, env, database, api, tenant, models, dict(info.processes))
            database.close()


@pytest.fixture(scope="session")
def power(stack: Running) -> Iterator[PowerCuts]:
    """What kills processes of the stack; those it started again live as long as the stack."""
    with PowerCuts(stack.pids, stack.settings.home / "logs") as cuts:
        yield cuts

"""The command line in this process, against real Postgres, models and a Dagster stand-in."""

import json
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import dagster as dg
import psycopg2
import pytest
from click.testing import CliRunner, Result

from radiant_dagster.adapters.postgres import Database
from radiant_dagster.adapters.settings import Settings
from radiant_dagster.cli.common import Client, client_of
from radiant_dagster.cli.main import main
from radiant_dagster.definitions import defs
from tests.conftest import World
from tests.services.dagster_server import DagsterServer
from tests.services.llm_server import LlmServer

PROMPT = "How should a small clinic prepare its vaccine storage for a power cut?"


@dataclass
class Radiant:
    """Runs commands; `dagster` is the webserver that they meet."""

    dagster: DagsterServer
    models: LlmServer
    tenant: uuid.UUID
    owner_url: str

    def __call__(self, *arguments: str, stdin: str | bytes | None = None) -> Result:
        return CliRunner().invoke(main, list(arguments), input=stdin, prog_name="radiant")

    def json(self, *arguments: str) -> Any:
        result = self(*arguments, "--json")
        assert result.exit_code == 0, result.stderr
        return json.loads(result.stdout)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Look into the database past row-level security."""
        connection = psycopg2.connect(self.owner_url)
        try:
            with connection.cursor() as cursor:
                cursor.execute(query)
                return cursor.fetchall()
        finally:
            connection.close()

    def nothing_happened(self) -> bool:
        """Whether no session is stored and no run was launched or paid for."""
        stored = self.rows("select count(*) from radiant.session") == [(0,)]
        return stored and not self.dagster.launched and not self.models.paid


@pytest.fixture
def radiant(
    database: Database,
    tenant: uuid.UUID,
    models: LlmServer,
    owner_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Radiant]:
    """The command line of the tenant acme; launched runs go nowhere."""
    with DagsterServer() as dagster:
        for name, value in {
            "RADIANT_DATABASE_URL": database.url,
            "LITELLM_PROXY_URL": models.url,
            "RADIANT_DAGSTER_URL": dagster.url,
            "RADIANT_TENANT": "acme",
            "LOGNAME": "ann",
        }.items():
            monkeypatch.setenv(name, value)
        yield Radiant(dagster, models, tenant, owner_url)


@pytest.fixture
def client(radiant: Radiant, database: Database) -> Client:
    """What commands hand to the functions below them."""
    return client_of(Settings.load(os.environ), database, radiant.tenant)


def execute(job: str, config: dict[str, Any], instance: dg.DagsterInstance) -> str:
    """Run a job in this process, as a worker would; returns the run's id."""
    result = defs.resolve_job_def(job).execute_in_process(
        run_config=config, instance=instance, raise_on_error=False
    )
    return result.run_id


@dataclass
class Stack:
    """A command line whose launches are executed."""

    radiant: Radiant
    instance: dg.DagsterInstance

    def conclude(self, approval_id: str) -> None:
        """Carry a decision out, as the approval sensor has it done."""
        config = {"tenant_id": str(self.radiant.tenant), "approval_id": approval_id}
        execute(
            "synthesis_and_librarian",
            {"ops": {"claim_decision": {"config": config}}},
            self.instance,
        )


@pytest.fixture
def stack(radiant: Radiant, world: World, instance: dg.DagsterInstance) -> Stack:
    """The command line with runs that happen before the launch is answered."""
    del world  # wires this process' resources to the same servers

    def run(config: dict[str, Any]) -> str:
        if "claim_decision" in config["ops"]:  # waits for `conclude`
            return str(uuid.uuid4())
        return execute("think_tank", config, instance)

    radiant.dagster.on_launch = run
    return Stack(radiant, instance)

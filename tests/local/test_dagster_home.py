from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._core.instance.config import dagster_instance_config
from dagster._core.run_coordinator import DefaultRunCoordinator
from dagster._core.storage.noop_compute_log_manager import NoOpComputeLogManager

from radiant_dagster.engine.launcher import RadiantRunLauncher
from radiant_dagster.local.dagster_home import write_dagster_home
from radiant_dagster.local.home import prepare_home
from radiant_dagster.local.postgres import create_databases, login_url


@pytest.fixture
def dagster_home(home: Path) -> Path:
    return write_dagster_home(prepare_home(home), 4266)


def test_the_instance_configuration_is_what_dagster_accepts(dagster_home: Path) -> None:
    config, _ = dagster_instance_config(str(dagster_home))

    assert config["telemetry"] == {"enabled": False}
    assert config["run_monitoring"]["enabled"] is True
    # Without a default an unconfigured pool is not limited at all.
    assert config["concurrency"]["pools"] == {"default_limit": 64, "granularity": "op"}


def test_dagster_opens_the_instance_with_our_parts(
    dagster_home: Path, running_server: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import psycopg2

    server_home, url = running_server
    connection = psycopg2.connect(url)
    connection.autocommit = True
    create_databases(connection, server_home)
    port = connection.info.port
    connection.close()
    database_url = login_url(server_home, port, "radiant_dagster", "dagster")
    monkeypatch.setenv("RADIANT_DAGSTER_DATABASE_URL", database_url)
    monkeypatch.setenv("RADIANT_BROKER_URL", "redis://127.0.0.1:1/0")

    with dg.DagsterInstance.from_config(str(dagster_home)) as instance:
        assert isinstance(instance.run_launcher, RadiantRunLauncher)
        assert isinstance(instance.run_coordinator, DefaultRunCoordinator)
        assert isinstance(instance.compute_log_manager, NoOpComputeLogManager)
        assert instance.get_runs() == []


def test_the_workspace_names_the_code_server(dagster_home: Path) -> None:
    workspace = yaml.safe_load((dagster_home / "workspace.yaml").read_text())

    assert workspace == {
        "load_from": [
            {
                "grpc_server": {
                    "host": "127.0.0.1",
                    "port": 4266,
                    "location_name": "radiant_dagster",
                }
            }
        ]
    }


def test_production_mounts_the_same_file(dagster_home: Path) -> None:
    deployed = Path(__file__).parents[2] / "deploy/dagster.yaml"

    assert deployed.read_text() == (dagster_home / "dagster.yaml").read_text()

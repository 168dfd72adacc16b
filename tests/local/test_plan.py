from pathlib import Path

import pytest

from radiant_dagster.adapters.settings import Settings
from radiant_dagster.errors import ConfigurationError
from radiant_dagster.local.plan import ALL, command, make_plan

OWN = "postgresql://radiant:x@127.0.0.1:5000/radiant"


def load(**env: str) -> Settings:
    return Settings.load({"RADIANT_HOME": "/nonexistent", **env}, stack=False)


def test_everything_is_embedded_where_nothing_is_configured() -> None:
    plan = make_plan(load(), ALL, {})

    assert plan.processes == ALL
    assert plan.external == {}
    assert set(plan.ports) == {
        "postgres", "valkey", "model", "mission_control", "code", "dagster",
    }  # fmt: skip


def test_a_database_of_ones_own_starts_no_postgres() -> None:
    settings = load(RADIANT_DATABASE_URL=OWN, RADIANT_DAGSTER_DATABASE_URL=OWN)

    plan = make_plan(settings, ALL, {})

    assert "postgres" not in plan.processes
    assert plan.external["RADIANT_DATABASE_URL"] == OWN


def test_mission_control_needs_a_login_of_its_own_on_such_a_database() -> None:
    own = {"RADIANT_DATABASE_URL": OWN, "RADIANT_DAGSTER_DATABASE_URL": OWN}

    without = make_plan(load(**own), ALL, {})
    given = make_plan(load(**own, RADIANT_REVIEW_DATABASE_URL=OWN), ALL, {})

    assert "mission" not in without.processes
    assert "mission" in given.processes


def test_a_broker_of_ones_own_starts_no_valkey() -> None:
    plan = make_plan(load(RADIANT_BROKER_URL="redis://broker:6379/0"), ALL, {})

    assert "valkey" not in plan.processes


@pytest.mark.parametrize(
    "env",
    [
        {"LITELLM_PROXY_URL": "http://127.0.0.1:4000"},
        {"RADIANT_LLM_TRANSPORT": "sdk"},
        {"RADIANT_OFFLINE_MODEL_URL": "http://127.0.0.1:4001"},
    ],
)
def test_a_model_of_ones_own_starts_no_demo_model(env: dict[str, str]) -> None:
    plan = make_plan(load(**env), ALL, {})

    assert "model" not in plan.processes
    assert "postgres" in plan.processes


def test_addresses_of_our_last_run_are_not_somebody_elses_servers() -> None:
    plan = make_plan(load(RADIANT_DATABASE_URL=OWN), ALL, {"RADIANT_DATABASE_URL": OWN})

    assert "postgres" in plan.processes
    assert plan.external == {}


def test_dagsters_own_database_is_asked_for() -> None:
    with pytest.raises(ConfigurationError, match=r"^RADIANT_DAGSTER_DATABASE_URL: is not set"):
        make_plan(load(RADIANT_DATABASE_URL=OWN), ALL, {})


def test_the_number_of_workers_is_a_setting_and_bounded() -> None:
    plan = make_plan(load(RADIANT_WORKERS="7"), ALL, {})

    assert "7" in command("worker", {}, Path("/nonexistent"), plan.workers)
    with pytest.raises(ConfigurationError, match="RADIANT_WORKERS"):
        load(RADIANT_WORKERS="0")


def test_every_server_binds_to_loopback() -> None:
    for name in ("mission", "code", "webserver"):
        line = command(
            name, {"code": 1, "dagster": 2, "mission_control": 3}, Path("/nonexistent"), 1
        )

        assert line[line.index("--host") + 1] == "127.0.0.1"

import socket
from pathlib import Path

import pytest

from radiant_dagster.errors import ConfigurationError
from radiant_dagster.local.ports import assign_ports


def test_a_taken_configured_port_is_refused_by_its_variable(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]

        with pytest.raises(ConfigurationError, match=rf"^RADIANT_DAGSTER_PORT: port {taken} is"):
            assign_ports(home, {"dagster": taken, "postgres": None})


def test_one_port_for_two_servers_is_refused(home: Path) -> None:
    port = assign_ports(home, {"code": None})["code"]

    with pytest.raises(ConfigurationError, match=r"RADIANT_(CODE|MODEL)_PORT"):
        assign_ports(home, {"code": port, "model": port})


def test_picked_ports_differ_and_are_kept(home: Path) -> None:
    names = dict.fromkeys(("postgres", "valkey", "dagster", "model", "code"))

    first = assign_ports(home, names)
    second = assign_ports(home, names)

    assert len(set(first.values())) == 5
    assert second == first


def test_a_kept_port_that_is_taken_meanwhile_is_replaced(home: Path) -> None:
    kept = assign_ports(home, {"postgres": None})["postgres"]

    with socket.create_server(("127.0.0.1", kept)):
        picked = assign_ports(home, {"postgres": None})["postgres"]

    assert picked != kept


def test_a_damaged_list_of_ports_is_no_obstacle(home: Path) -> None:
    (home / "ports.json").write_text("{")

    ports = assign_ports(home, {"postgres": None})

    assert ports["postgres"] > 0

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg2
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from radiant_dagster.adapters.settings import Settings
from radiant_dagster.errors import (
    BrokerUnavailable,
    ConfigurationError,
    DatabaseUnavailable,
    ServerDied,
    StackAlreadyRunning,
)
from radiant_dagster.local.control import down, reset, running_stack
from radiant_dagster.local.lock import is_locked
from radiant_dagster.local.processes import group_members
from radiant_dagster.local.stack import Stack
from tests.services.processes import children_of

SERVERS = ("postgres", "valkey", "model")
MANAGER = """
import contextlib, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # as on a terminal, however we run
signal.signal(signal.SIGHUP, signal.SIG_DFL)
from radiant_dagster.adapters.settings import Settings
from radiant_dagster.local.stack import Stack
settings = Settings.load({"RADIANT_HOME": sys.argv[1]}, stack=False)
with (
    contextlib.suppress(KeyboardInterrupt),  # may come between start and wait
    Stack(settings, processes=("valkey",)) as stack,
):
    stack.start()
    print("up", flush=True)
    stack.wait()
"""


def environment() -> dict[str, str]:
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}


def second_terminal(home: Path) -> Settings:
    return Settings.load({"RADIANT_HOME": str(home)})


@contextmanager
def manager_elsewhere(
    home: Path, groups: list[int] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """Run a manager with one server in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-c", MANAGER, str(home)],
        stdout=subprocess.PIPE,
        text=True,
        extra_groups=groups,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        yield process
    finally:
        process.terminate()
        process.communicate()


def recorded_processes(home: Path) -> dict[str, int]:
    return json.loads((home / "stack.json").read_text())["processes"]


def test_a_second_terminal_finds_the_servers_and_nothing_is_left_after_stop(
    home: Path, settings: Settings
) -> None:
    seen: list[str] = []

    with Stack(settings, processes=SERVERS, env=environment()) as stack:
        info = stack.start(seen.append)
        found = second_terminal(home)
        assert found.database_url is not None
        assert found.review_database_url is not None
        assert found.owner_database_url is not None
        assert found.broker_url is not None
        for url in (found.database_url, found.review_database_url, found.owner_database_url):
            psycopg2.connect(url.get_secret_value()).close()
        broker = redis.Redis.from_url(found.broker_url.get_secret_value())
        pong = broker.ping()
        broker.close()
        running = running_stack(settings)
        mode = stat.S_IMODE((home / "stack.json").stat().st_mode)

    assert pong is True
    assert running == info
    assert mode == 0o600
    assert set(info.processes) == set(SERVERS)
    assert not any(group_members(pid) for pid in info.processes.values())
    assert not (home / "stack.json").exists()
    assert running_stack(settings) is None
    assert any("Postgres listens" in line for line in seen)


def test_valkey_wants_its_password(home: Path, settings: Settings) -> None:
    with Stack(settings, processes=("valkey",), env=environment()) as stack:
        stack.start()
        port = json.loads((home / "ports.json").read_text())["valkey"]
        once = Retry(NoBackoff(), 0)  # by default it tries for 4 s
        stranger = redis.Redis("127.0.0.1", port, retry=once)

        with pytest.raises(redis.AuthenticationError):
            stranger.ping()

        stranger.close()


def test_secrets_are_on_no_command_line(home: Path, settings: Settings) -> None:
    with Stack(settings, processes=SERVERS, env=environment()) as stack:
        info = stack.start()
        lines = [Path(f"/proc/{pid}/cmdline").read_text() for pid in info.processes.values()]

    secrets = json.loads((home / "secrets.json").read_text()).values()
    assert len(secrets) == 5
    assert not [line for line in lines for secret in secrets if secret in line]


def test_what_opens_or_makes_signatures_reaches_mission_control_alone(home: Path) -> None:
    secrets = {"RADIANT_SECRET_KEY": "A" * 43 + "=", "RADIANT_WEBHOOK_SECRET": "whsec_" + "A" * 43}
    settings = Settings.load({"RADIANT_HOME": str(home), **secrets})
    processes = ("postgres", "mission", "model")

    with Stack(settings, processes=processes, env=environment() | secrets) as stack:
        info = stack.start()
        given = {
            name: Path(f"/proc/{info.processes[name]}/environ").read_text() for name in processes
        }

    assert [name for name in secrets if name in given["mission"]] == list(secrets)
    assert not any(name in given[other] for name in secrets for other in ("postgres", "model"))
    assert "RADIANT_REVIEW_DATABASE_URL" in given["mission"]
    assert "RADIANT_DATABASE_URL=" not in given["mission"]


def test_a_taken_port_is_named_before_anything_starts(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        settings = Settings.load({"RADIANT_HOME": str(home), "RADIANT_VALKEY_PORT": port})

        with pytest.raises(ConfigurationError, match="RADIANT_VALKEY_PORT"):
            Stack(settings, processes=SERVERS, env=environment()).start()

    assert not (home / "postgres").exists()
    assert not is_locked(home)


def test_a_second_start_says_that_the_first_is_running(home: Path, settings: Settings) -> None:
    with manager_elsewhere(home) as manager:
        before = recorded_processes(home)

        with pytest.raises(StackAlreadyRunning, match=str(manager.pid)):
            Stack(settings, processes=("valkey",)).start()

        assert recorded_processes(home) == before
        assert running_stack(settings) is not None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ctrl_c_and_its_like_end_everything(home: Path, number: int) -> None:
    with manager_elsewhere(home) as manager:
        servers = recorded_processes(home)

        manager.send_signal(number)
        code = manager.wait()

    assert code == 0
    assert not any(group_members(pid) for pid in servers.values())
    assert not (home / "stack.json").exists()


def test_a_killed_manager_leaves_no_server(home: Path, settings: Settings) -> None:
    with manager_elsewhere(home) as manager:
        servers = recorded_processes(home)
        manager.kill()
        manager.wait()

        while is_locked(home):  # its guard holds the lock until the servers have ended
            time.sleep(0.01)

    assert not any(group_members(pid) for pid in servers.values())
    assert running_stack(settings) is None


def test_a_start_right_after_a_kill_waits_for_the_guard(home: Path, settings: Settings) -> None:
    with manager_elsewhere(home) as manager:
        manager.kill()
        manager.wait()

        with Stack(settings, processes=("valkey",), env=environment()) as stack:
            info = stack.start()

            assert running_stack(settings) == info


def test_servers_that_outlived_manager_and_guard_are_ended_by_the_next_start(
    home: Path, settings: Settings
) -> None:
    with manager_elsewhere(home) as manager:
        servers = recorded_processes(home)
        guards = [pid for pid in children_of(manager.pid) if pid not in servers.values()]
        for pid in (*guards, manager.pid):
            os.kill(pid, signal.SIGKILL)
        manager.wait()
        orphaned = [pid for pid in servers.values() if group_members(pid)]

        with Stack(settings, processes=("valkey",), env=environment()) as stack:
            stack.start()
            left = [pid for pid in servers.values() if group_members(pid)]

    assert len(guards) == 1
    assert orphaned == list(servers.values())
    assert left == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's servers run under another account")
def test_servers_of_root_keep_none_of_roots_groups(home: Path) -> None:
    with manager_elsewhere(home, groups=[0, 4]) as manager:
        pid = recorded_processes(home)["valkey"]

        groups = {
            who: Path(f"/proc/{who}/status").read_text().partition("Groups:")[2].split("\n")[0]
            for who in (manager.pid, pid)
        }

    assert groups[manager.pid].split() == ["0", "4"]
    assert groups[pid].split() == []


def test_down_ends_a_manager_in_another_terminal(home: Path, settings: Settings) -> None:
    with manager_elsewhere(home) as manager:
        servers = recorded_processes(home)

        ended = down(settings)

        assert manager.wait() == 0

    assert ended is True
    assert not any(group_members(pid) for pid in servers.values())
    assert down(settings) is False


def test_a_process_that_dies_is_named_with_its_log(settings: Settings) -> None:
    with Stack(settings, processes=("valkey", "model"), env=environment()) as stack:
        info = stack.start()
        os.kill(info.processes["valkey"], signal.SIGKILL)

        with pytest.raises(ServerDied, match=r"^valkey ended with code -9.*valkey\.log") as caught:
            stack.wait()

    assert "Ready to accept connections" in caught.value.log_tail
    assert not any(group_members(pid) for pid in info.processes.values())


def test_a_failed_start_leaves_nothing(home: Path, settings: Settings) -> None:
    broken = {**environment(), "PYTHONHOME": "/nonexistent"}
    stack = Stack(settings, processes=SERVERS, env=broken)

    with pytest.raises(ServerDied, match=r"^model ended"):
        stack.start()

    assert not is_locked(home)
    assert not (home / "stack.json").exists()
    assert not (home / "postgres/postmaster.pid").exists()


def test_a_damaged_record_is_reported_and_mended_by_down(home: Path, settings: Settings) -> None:
    with manager_elsewhere(home) as manager:
        (home / "stack.json").write_text('{"pid": 1, "environ')

        with pytest.raises(ConfigurationError, match=r"stack\.json is damaged.*radiant down"):
            running_stack(settings)
        ended = down(settings)

        assert manager.wait() == 0
    assert ended is True
    assert not (home / "stack.json").exists()


def test_a_damaged_record_of_a_dead_stack_is_no_obstacle(home: Path, settings: Settings) -> None:
    with Stack(settings, processes=("valkey",), env=environment()) as stack:
        stack.start()
    (home / "stack.json").write_text("[]")

    with Stack(settings, processes=("valkey",), env=environment()) as stack:
        info = stack.start()

    assert set(info.processes) == {"valkey"}


def test_a_record_never_leads_to_the_end_of_a_strangers_process(
    home: Path, settings: Settings
) -> None:
    stranger = subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True
    )
    record = {
        "pid": stranger.pid,
        "started_at": "2026-01-01T00:00:00+00:00",
        "environment": {},
        "processes": {"postgres": stranger.pid},
        "marks": {"postgres": "1"},
    }
    (home / "stack.json").write_text(json.dumps(record))
    (home / "stack.lock").write_text(json.dumps({"pid": stranger.pid, "mark": "1"}))

    ended = down(settings)

    assert ended is False
    assert stranger.poll() is None
    assert not (home / "stack.json").exists()
    stranger.communicate(b"\n")


def test_reset_ends_the_stack_and_deletes_its_data(home: Path, settings: Settings) -> None:
    with manager_elsewhere(home) as manager:
        removed = reset(settings)

        assert manager.wait() == 0
    assert {"valkey", "secrets.json", "logs"} <= set(removed)
    assert list(home.iterdir()) == []


def test_reset_refuses_a_folder_with_other_files(home: Path, settings: Settings) -> None:
    with Stack(settings, processes=("valkey",), env=environment()) as stack:
        stack.start()
    (home / "thesis.txt").write_text("mine")

    with pytest.raises(ConfigurationError, match=r"thesis\.txt"):
        reset(settings)

    assert (home / "secrets.json").exists()


def test_reset_refuses_a_folder_that_it_did_not_make(home: Path, settings: Settings) -> None:
    (home / "logs").mkdir()

    with pytest.raises(ConfigurationError, match="no mark"):
        reset(settings)

    assert (home / "logs").exists()


def test_an_unreachable_server_of_ones_own_is_refused_at_the_start(home: Path) -> None:
    base = {"RADIANT_HOME": str(home)}
    database = "postgresql://radiant:canary@127.0.0.1:1/radiant"
    with_database = Settings.load(
        {**base, "RADIANT_DATABASE_URL": database, "RADIANT_DAGSTER_DATABASE_URL": database}
    )
    with_broker = Settings.load({**base, "RADIANT_BROKER_URL": "redis://:canary@127.0.0.1:1/0"})

    with pytest.raises(DatabaseUnavailable) as no_database:
        Stack(with_database, processes=SERVERS, env=environment()).start()
    with pytest.raises(BrokerUnavailable) as no_broker:
        Stack(with_broker, processes=("valkey",), env=environment()).start()

    assert "canary" not in f"{no_database.value} {no_broker.value}"
    assert not is_locked(home)

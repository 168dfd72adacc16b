"""Owns the data folder: who may write in it, under which account servers run, what is ours there.

Layout of `<home>`::

    .radiant-home   marker: this folder was made for RADIANT
    secrets.json    generated passwords (0600)
    ports.json      ports picked at the first start
    reviewer.key    a key for Mission Control on this machine (0600)
    stack.json      how to reach the running stack (0600), read by adapters/settings.py
    stack.lock      held by the manager for as long as it lives
    bin/            server binaries, copied when root starts them
    postgres/  valkey/  run/   data and socket of the servers
    dagster/  logs/            DAGSTER_HOME, one log a process

Postgres refuses to run as root. As root the servers therefore run under an existing unprivileged
account, from copied binaries, with data folders that this account owns. Nothing outside the data
folder is ever created or has its permissions changed; a data folder which that account cannot
reach is refused instead.
"""

import importlib.util
import json
import os
import pwd
import secrets
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from radiant_dagster.errors import ConfigurationError

MARKER = ".radiant-home"
MARKER_TEXT = "Data folder of RADIANT Think Tank. Remove it with `radiant reset`.\n"
SERVER_ACCOUNT = "nobody"  # initdb looks its account up, so it must have a passwd entry
OWN_ENTRIES = frozenset(
    {
        MARKER, "secrets.json", "ports.json", "reviewer.key", "stack.json", "stack.lock", "bin",
        "postgres", "valkey", "run", "dagster", "logs",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Account:
    """The account that server binaries run under; None fields mean the present one."""

    uid: int | None
    gid: int | None

    @property
    def extra_groups(self) -> list[int] | None:
        """Supplementary groups of its processes: none, or (None) the present ones."""
        return None if self.uid is None else []

    def give(self, path: Path) -> None:
        """Hand a file or folder inside the data folder to this account."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)


PRESENT_ACCOUNT = Account(None, None)


def server_account() -> Account:
    """Return the account for servers: `nobody` where we are root, otherwise the present one.

    Raises:
        ConfigurationError: Root, and the system has no account `nobody`.
    """
    if os.geteuid() != 0:
        return PRESENT_ACCOUNT
    try:
        entry = pwd.getpwnam(SERVER_ACCOUNT)
    except KeyError:
        raise ConfigurationError(
            "RADIANT_HOME",
            f"this system has no account {SERVER_ACCOUNT!r} to run Postgres under",
            "Run as a normal user, or set RADIANT_DATABASE_URL and RADIANT_BROKER_URL.",
        ) from None
    return Account(entry.pw_uid, entry.pw_gid)


def prepare_home(home: Path) -> Path:
    """Create the data folder, or check that an existing one is ours and can be reached.

    Returns:
        The absolute path, links resolved.

    Raises:
        ConfigurationError: It belongs to somebody else, holds other files, cannot be written, or
            lies below a folder that the server account cannot enter.
    """
    home = home.expanduser().absolute()
    account = server_account()
    try:
        home = home.resolve()
        if account.uid is not None:
            _refuse_closed_parents(home, account)
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        if account.uid is not None:
            _refuse_closed_parents(home, account)  # a strict umask closes what mkdir just made
        _refuse_foreign(home)
        # Root's server account has to pass through, but may not list: secrets stay 0600 root's.
        home.chmod(0o711 if account.uid is not None else 0o700)
        (home / MARKER).write_text(MARKER_TEXT)
    except NotADirectoryError:
        raise _unusable(home, "is not a folder") from None
    except FileExistsError:
        raise _unusable(home, "is not a folder") from None
    except OSError as error:
        raise _unusable(home, f"cannot be written ({error.strerror})") from None
    return home


def _unusable(home: Path, problem: str) -> ConfigurationError:
    return ConfigurationError(
        "RADIANT_HOME", f"{home} {problem}", "Set RADIANT_HOME to a folder of this user's own."
    )


def _refuse_foreign(home: Path) -> None:
    if home.stat().st_uid != os.geteuid():
        raise _unusable(home, "belongs to another user")
    if (home / MARKER).exists():
        return
    # Taking over a folder would change its permissions, and `radiant reset` would empty it.
    foreign = foreign_entries(home)
    if foreign:
        raise _unusable(home, f"already holds other files ({', '.join(foreign[:3])})")


def _refuse_closed_parents(home: Path, account: Account) -> None:
    for parent in home.parents:
        try:
            status = parent.stat()
        except FileNotFoundError:
            continue  # we will create it
        if account.uid == status.st_uid:
            passes = status.st_mode & stat.S_IXUSR
        elif account.gid == status.st_gid:
            passes = status.st_mode & stat.S_IXGRP
        else:
            passes = status.st_mode & stat.S_IXOTH
        if not passes:
            raise ConfigurationError(
                "RADIANT_HOME",
                f"{home} lies below {parent}, which the account {SERVER_ACCOUNT!r} cannot enter; "
                "as root the database runs under that account",
                "Leave RADIANT_HOME unset (/var/lib/radiant), set it to a folder that everybody "
                "may pass through, or run as a normal user.",
            )


def foreign_entries(home: Path) -> list[str]:
    """Return the names in the data folder that RADIANT did not make, sorted."""
    return sorted(entry.name for entry in home.iterdir() if entry.name not in OWN_ENTRIES)


def server_folder(home: Path, name: str) -> Path:
    """Create `<home>/<name>` for the server account alone (0700) and return it."""
    folder = home / name
    folder.mkdir(mode=0o700, exist_ok=True)
    server_account().give(folder)
    return folder


def private_folder(home: Path, name: str) -> Path:
    """Create `<home>/<name>` for the present user alone (0700) and return it."""
    folder = home / name
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Returns:
        The object; an empty one where the file does not exist.

    Raises:
        ConfigurationError: The file is damaged or may not be read.
    """
    try:
        value = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except PermissionError:
        raise ConfigurationError(
            "RADIANT_HOME", f"{path} belongs to another user", "Run as the user who started it."
        ) from None
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise ConfigurationError(
            "RADIANT_HOME", f"{path} is damaged", "Stop the stack with `radiant down`, delete it."
        )
    return value


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write a JSON object that only the present user can read, in one step."""
    write_private(path, json.dumps(value, indent=2) + "\n")


def write_private(path: Path, text: str) -> None:
    """Write a file of mode 0600; a reader sees the old text or the new one, never a part."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.draft")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def password(home: Path, name: str) -> str:
    """Return the generated password of that name, made at the first call and kept."""
    path = home / "secrets.json"
    known = read_json(path)
    if name not in known:
        # URL-safe, so that it goes into connection URLs as it is.
        known[name] = secrets.token_urlsafe(24)
        write_json(path, known)
    return str(known[name])


def package_folder(package: str) -> Path:
    """Return the installed folder of a package without importing it.

    Raises:
        ConfigurationError: It is not installed for this platform.
    """
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise ConfigurationError(
            "RADIANT_DATABASE_URL",
            f"the package {package} is not installed",
            "Run `make install`, or set RADIANT_DATABASE_URL and RADIANT_BROKER_URL.",
        )
    return Path(next(iter(found.submodule_search_locations)))


def runnable(home: Path, stamp: str, folders: tuple[Path, ...]) -> Path:
    """Return a folder that holds copies or originals of binaries the server account can run.

    Args:
        home: The prepared data folder.
        stamp: Name and version; a new version is copied beside the old one.
        folders: Neighbouring folders that must stay neighbours, since the binaries find their
            libraries by relative paths.

    Returns:
        The folder in which all of `folders` lie.
    """
    if server_account().uid is None:
        return folders[0].parent
    # As root: the environment may lie in a home that only root can enter, so always copy.
    target = home / "bin" / stamp
    if target.exists():
        return target
    (home / "bin").mkdir(mode=0o755, exist_ok=True)
    (home / "bin").chmod(0o755)
    draft = home / "bin" / f".{stamp}.{os.getpid()}"
    for folder in folders:
        shutil.copytree(folder, draft / folder.name, ignore=shutil.ignore_patterns("include"))
    for path in (draft, *draft.rglob("*")):
        if not path.is_symlink():
            executable = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
            path.chmod(0o755 if executable else 0o644)
    try:
        draft.rename(target)
    except OSError:  # another process was faster
        shutil.rmtree(draft)
    return target

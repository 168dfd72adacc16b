"""What the commands share: settings, connections, ids, options, output."""

import getpass
import json
import os
import re
import sys
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, TypeVar
from uuid import UUID

import click
from pydantic import SecretStr
from rich.console import Console
from rich.text import Text

from radiant_dagster.adapters import tenants
from radiant_dagster.adapters.dagster_api import DagsterApi
from radiant_dagster.adapters.intake import Desk
from radiant_dagster.adapters.migrations import require_current
from radiant_dagster.adapters.postgres import Database, TenantRole
from radiant_dagster.adapters.session_view import Kind, find_ids
from radiant_dagster.adapters.settings import Settings
from radiant_dagster.cli.remote import Remote, open_remote
from radiant_dagster.domain.swarm import require_storable
from radiant_dagster.errors import (
    ApprovalNotFound,
    ConfigurationError,
    HeuristicNotFound,
    InvalidInput,
    SessionNotFound,
    StateError,
)

POOL_SIZE = 2
PIPE_WIDTH = 160  # of tables where nobody watches; 80 would cut ids and codes
SHORT_ID = 8
PREFIX = re.compile(r"[0-9a-f][0-9a-f-]{5,35}")
NOT_FOUND: Mapping[Kind, Callable[[str], StateError]] = {
    "session": SessionNotFound,
    "approval_request": ApprovalNotFound,
    "knowledge_heuristics": HeuristicNotFound,
}
FIELD: Mapping[Kind, str] = {
    "session": "session",
    "approval_request": "approval",
    "knowledge_heuristics": "heuristic",
}
REMOTE: Mapping[Kind, Literal["sessions", "approvals", "grimoire"]] = {
    "session": "sessions",
    "approval_request": "approvals",
    "knowledge_heuristics": "grimoire",
}
Function = TypeVar("Function", bound=Callable[..., Any])

# Directions of writing that let a text show in another order than it is stored.
BIDI = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
C1 = re.compile("[\x7f-\x9f]")


Client = Desk  # an open connection of one command to one tenant's data, and to Dagster
Either = Client | Remote


class Sectioned(click.Group):
    """A group whose help lists its commands by what they are for, not by the alphabet."""

    def __init__(self, *args: Any, sections: Mapping[str, tuple[str, ...]], **more: Any) -> None:
        """Make a group.

        Args:
            args: Of `click.Group`.
            sections: Names of commands by heading; every command in one of them.
            more: Of `click.Group`.
        """
        super().__init__(*args, **more)
        self.sections = sections

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands by section."""
        width = max(map(len, self.commands))
        for title, names in self.sections.items():
            with formatter.section(title):
                found = [(name, self.commands[name].get_short_help_str(80)) for name in names]
                formatter.write_dl([(name.ljust(width), text) for name, text in found])


def tenant_option(command: Function) -> Function:
    """Add --tenant."""
    return click.option(
        "--tenant", metavar="SLUG|ID", help="Whose data. Default: RADIANT_TENANT, or `default`."
    )(command)


def json_option(command: Function) -> Function:
    """Add --json."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")(command)


def as_option(command: Function) -> Function:
    """Add --as NAME."""
    return click.option(
        "--as", "actor", metavar="NAME", help="Who does this. Default: your login name."
    )(command)


def example(*lines: str) -> str:
    """Return the epilog of a command's help: what to type."""
    title = "Example:" if len(lines) == 1 else "Examples:"
    return "\n".join(("\b", title, *(f"  {line}" for line in lines)))


def load_settings(*, stack: bool = True) -> Settings:
    """Return the settings of this process."""
    return Settings.load(os.environ, stack=stack)


def database_url(settings: Settings) -> str:
    """Return the database's URL.

    Raises:
        ConfigurationError: There is none.
    """
    return _required(settings.database_url)


def _required(url: SecretStr | None) -> str:
    if url is None:
        raise ConfigurationError(
            "RADIANT_DATABASE_URL",
            "is not set and no embedded stack runs",
            "Start one with `radiant up`, or set it.",
        )
    return url.get_secret_value()


@contextmanager
def open_database(settings: Settings) -> Iterator[Database]:
    """Open a pool on a database whose schema is current.

    Raises:
        ConfigurationError: No URL, or migrations are missing.
        DatabaseUnavailable: It cannot be reached.
    """
    url = database_url(settings)
    require_current(url)
    with _pool(url) as database:
        yield database


@contextmanager
def _pool(url: str) -> Iterator[Database]:
    database = Database(url, pool_size=POOL_SIZE, application_name="radiant cli")
    try:
        yield database
    finally:
        database.close()


@contextmanager
def connect(tenant: str | None = None) -> Iterator[Client]:
    """Open everything a command needs of one tenant.

    Args:
        tenant: Slug or id, or None for the settings' one.

    Raises:
        TenantNotFound: No such tenant.
        ConfigurationError, DatabaseUnavailable: See `open_database`.
    """
    settings = load_settings()
    with open_database(settings) as database:
        tenant_id = tenants.named_tenant(database, tenant or settings.tenant)
        yield client_of(settings, database, tenant_id)


def client_of(settings: Settings, database: Database, tenant_id: UUID) -> Client:
    """Put a client together from what is open already."""
    dagster = DagsterApi(settings.dagster_url, public_url=settings.dagster_public_url)
    return Client(settings, database, tenant_id, dagster)


@contextmanager
def connect_either(tenant: str | None = None, *, reviewer: bool = False) -> Iterator[Either]:
    """Open the API where RADIANT_API_URL names one, else the database.

    Args:
        tenant: For the database; the API's tenant is that of the key.
        reviewer: See `connect_reviewer`.

    Raises:
        InvalidInput: A tenant is named, but the key decides.
    """
    with open_remote(load_settings()) as remote:
        if remote is not None:
            if tenant is not None:
                raise InvalidInput("--tenant", "is that of RADIANT_API_KEY", "Leave it out.")
            yield remote
            return
        with (connect_reviewer if reviewer else connect)(tenant) as client:
            yield client


@contextmanager
def connect_reviewer(tenant: str | None = None) -> Iterator[Client]:
    """Open what a reviewer's commands need, with the reviewer's own login where there is one."""
    with connect(tenant) as client:
        url = client.settings.review_database_url
        if url is None:
            yield client
            return
        # That login may read one tenant's reviews and nothing else, not even the tenants' names.
        with _pool(url.get_secret_value()) as database:
            yield client_of(client.settings, database, client.tenant_id)


def resolve_id(client: Either, kind: Kind, text: str, *, role: TenantRole = "radiant_app") -> UUID:
    """Return the id that a person typed, whole or its first 6 or more characters.

    Raises:
        InvalidInput: Not an id, or several begin like this.
        SessionNotFound, ApprovalNotFound, HeuristicNotFound: None begins like this.
    """
    wanted = text.strip().lower()
    try:
        return UUID(wanted)
    except ValueError:
        pass
    if not PREFIX.fullmatch(wanted):
        raise InvalidInput(
            FIELD[kind], "is not an id", "Copy it from the list, or its first 6 or more characters."
        )
    if isinstance(client, Remote):
        found = client.find(REMOTE[kind], wanted)
    else:
        with client.database.tenant_transaction(client.tenant_id, role=role) as cursor:
            found = find_ids(cursor, client.tenant_id, kind, wanted)
    if not found:
        raise NOT_FOUND[kind](wanted)
    if len(found) > 1:
        some = ", ".join(str(item)[: len(wanted) + 4] for item in found)
        raise InvalidInput(FIELD[kind], f"several ids begin so: {some}", "Type more characters.")
    return found[0]


def login_name(given: str | None) -> str:
    """Return the name given, else this login's.

    Raises:
        InvalidInput: It is empty, or the system does not tell.
    """
    name = given
    if name is None:
        try:
            name = getpass.getuser()
        except (OSError, KeyError, ImportError):
            name = ""
    if not name.strip():
        raise InvalidInput("--as", "is empty", "Say who acts, for instance --as dr-lee.")
    return valid_text("--as", name.strip())


def valid_text(field: str, text: str) -> str:
    """Return a text that Postgres can store; raises InvalidInput for any other."""
    require_storable(field, text)
    return text


def read_text(field: str, source: str, *, max_bytes: int = 2_000_000) -> str:
    """Read a text file, or standard input for ``-``.

    Raises:
        InvalidInput: It cannot be read, is no UTF-8 text or too large.
    """
    try:
        if source == "-":
            raw: bytes = sys.stdin.buffer.read(max_bytes + 1)
        else:
            with open(source, "rb") as file:
                raw = file.read(max_bytes + 1)
    except FileNotFoundError:
        raise InvalidInput(field, f"there is no file {source}", "Name an existing one.") from None
    except OSError as error:
        raise InvalidInput(
            field, f"{source} cannot be read ({type(error).__name__})", "Check the file."
        ) from None
    if len(raw) > max_bytes:
        raise InvalidInput(
            field, f"{source} is larger than {max_bytes // 1_000_000} MB", "Pass an excerpt."
        )
    try:
        return valid_text(field, raw.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise InvalidInput(
            field, f"{source} is not UTF-8 text", "Convert it to plain text in UTF-8."
        ) from None


def stdin_is_terminal() -> bool:
    """Tell whether a person can be asked."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def make_console(*, stderr: bool = False) -> Console:
    """Return a console on the present standard output."""
    console = Console(stderr=stderr, highlight=False)
    if not console.is_terminal:
        console = Console(stderr=stderr, highlight=False, width=PIPE_WIDTH)
    return console


def clean(text: str) -> str:
    """Take out what would steer a terminal instead of showing on it.

    Answers come from models and prompts from strangers: an escape sequence in one could clear the
    screen, rewrite what stands above or fill the clipboard.
    """
    return "".join(
        "\N{REPLACEMENT CHARACTER}"
        if (unicodedata.category(char) == "Cc" and char not in "\n\t") or char in BIDI
        else char
        for char in text.replace("\r\n", "\n")
    )


def plain(text: object, style: str = "") -> Text:
    """Return a text that rich shows as it is: no markup, no escape sequences."""
    return Text(clean(str(text)), style=style)


def print_text(console: Console, text: str) -> None:
    """Print a long text: wrapped on a terminal, its own lines in a pipe."""
    console.print(plain(text), soft_wrap=not console.is_terminal)


def usd(micro_usd: int) -> str:
    """Return an amount for people."""
    return f"${micro_usd / 1e6:.4f}"


def duration(seconds: float) -> str:
    """Return a time span for people, as 0.8 s or 4:31."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def moment(at: datetime | None) -> str:
    """Return a time for people, in their own zone."""
    return at.astimezone().strftime("%Y-%m-%d %H:%M:%S") if at else "-"


def short(identifier: object) -> str:
    """Return the first characters of an id; every command takes them for the whole."""
    return str(identifier)[:SHORT_ID]


def emit_json(value: object) -> None:
    """Print one JSON document on standard output."""
    text = json.dumps(value, default=_json_value, ensure_ascii=False, indent=2)
    # JSON escapes C0 control characters by itself; C1 ones steer some terminals too.
    click.echo(C1.sub(lambda match: f"\\u{ord(match[0]):04x}", text))


def _json_value(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, (bytes, memoryview)):
        return bytes(value).hex()
    if isinstance(value, Decimal):
        return float(value)
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return str(value)

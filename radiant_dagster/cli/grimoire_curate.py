"""`radiant grimoire`: a curator's acts, over the API where one is named, else on the database."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, get_args
from uuid import UUID

import click

from radiant_dagster.adapters.grimoire import acts, reading
from radiant_dagster.adapters.grimoire.texts import Checks
from radiant_dagster.cli.common import (
    Either,
    Function,
    as_option,
    connect_either,
    emit_json,
    example,
    json_option,
    login_name,
    resolve_id,
    tenant_option,
    valid_text,
)
from radiant_dagster.cli.remote import Remote
from radiant_dagster.domain.curation import (
    REASONS,
    WORDS,
    Act,
    Edit,
    Keep,
    KeepApart,
    Merge,
    Pin,
    Promote,
    Reason,
    Resolve,
    Retire,
    Revoke,
    Rollback,
    Unmerge,
)
from radiant_dagster.errors import InvalidInput

KIND = "knowledge_heuristics"


def _options(command: Function) -> Function:
    version = click.option(
        "--if-version", type=click.IntRange(1), help="Refuse where its text has another version."
    )
    for option in (json_option, tenant_option, as_option, version):
        command = option(command)
    return click.argument("heuristic_id", metavar="ID")(command)


reason_option = click.option(
    "--reason", type=click.Choice(REASONS), default="other", show_default=True, help="Why."
)
why_option = click.option("--why", default="", help="Why, in your words; kept with the version.")


def _act(
    given: Mapping[str, Any],
    act: Callable[[Either], Act],
    said: str,
    *,
    options: Mapping[str, str] | None = None,
) -> None:
    who = login_name(given["actor"])
    with connect_either(given["tenant"]) as client, _options_named(options or {}):
        found = resolve_id(client, KIND, given["heuristic_id"])
        done = _carry_out(client, found, act(client), who, given["if_version"])
    if given["as_json"]:
        emit_json({**done, "by": who})
    else:
        click.echo(f"Heuristic {found} {said}")


@contextmanager
def _options_named(options: Mapping[str, str]) -> Iterator[None]:
    """Tell what was refused by the option that brought it, not by the field behind it."""
    names = {"actor": "--as", **options}
    try:
        yield
    except InvalidInput as error:
        if error.field not in names:
            raise
        raise InvalidInput(names[error.field], error.problem, error.fix) from None


def _carry_out(
    client: Either, heuristic_id: UUID, act: Act, who: str, version: int | None
) -> dict[str, Any]:
    if isinstance(client, Remote):
        fields = {
            name: str(value) if isinstance(value, UUID) else value
            for name, value in asdict(act).items()
        }
        word = WORDS[type(act)]
        return client.api.curate(heuristic_id, word, version=version, **fields).model_dump()
    checks = Checks.of(client.settings)
    done = acts.act_now(
        client.database, checks, client.tenant_id, heuristic_id, act,
        actor=who, if_version=version,
    )  # fmt: skip
    return asdict(done)


@click.command(
    short_help="Let agents use a quarantined heuristic.",
    epilog=example("radiant grimoire promote 51be70 --as curator"),
)
@_options
def promote(**given: Any) -> None:
    """Make a quarantined heuristic active, on your word."""
    _act(given, lambda _: Promote(), "is active: agents get it from now on.")


@click.command(
    short_help="Take a heuristic out of use.",
    epilog=example("radiant grimoire retire 51be70 --reason outdated --as curator"),
)
@reason_option
@_options
def retire(reason: Reason, **given: Any) -> None:
    """Take a heuristic out of use, on your word. The lesson may be learned again."""
    _act(given, lambda _: Retire(reason), "is retired: no agent gets it any more.")


@click.command(
    short_help="Declare a heuristic wrong.",
    epilog=example("radiant grimoire revoke 51be70 --reason wrong --as curator"),
)
@reason_option
@_options
def revoke(reason: Reason, **given: Any) -> None:
    """Declare a heuristic wrong, whatever state it is in."""
    _act(given, lambda _: Revoke(reason), "is revoked: no agent gets it any more.")


@click.command(
    short_help="Give a heuristic another text.",
    epilog=example('radiant grimoire edit 51be70 --action "Name the source and its date first."'),
)
@click.option("--trigger", help="When it applies. Default: as it is.")
@click.option("--action", help="What to do or to avoid. Default: as it is.")
@why_option
@_options
def edit(trigger: str | None, action: str | None, why: str, **given: Any) -> None:
    """Give a heuristic another text, as a new version.

    It is checked as the Librarian's texts are: no personal data, no links, no commands.
    """
    if trigger is None and action is None:
        raise InvalidInput("--trigger", "and --action are missing", "Pass one of them, or both.")

    def act(client: Either) -> Act:
        row = look(client, resolve_id(client, KIND, given["heuristic_id"]))
        return Edit(
            row["trigger_pattern"] if trigger is None else valid_text("--trigger", trigger),
            row["action_template"] if action is None else valid_text("--action", action),
            valid_text("--why", why),
        )

    options = {"trigger_pattern": "--trigger", "action_template": "--action", "reason": "--why"}
    _act(given, act, "has a new version.", options=options)


@click.command(
    short_help="Bring an earlier text back.",
    epilog=example("radiant grimoire rollback 51be70 --to 1"),
)
@click.option("--to", "version", type=click.IntRange(1), required=True, help="Its number.")
@why_option
@_options
def rollback(version: int, why: str, **given: Any) -> None:
    """Bring the text of an earlier version back, as a new version."""
    said = f"has the text of version {version} again."
    options = {"to_version": "--to", "reason": "--why"}
    _act(given, lambda _: Rollback(version, valid_text("--why", why)), said, options=options)


@click.command(
    short_help="Keep a heuristic for good.", epilog=example("radiant grimoire pin 51be70")
)
@_options
def pin(**given: Any) -> None:
    """Keep a heuristic, whatever time and numbers say."""
    _act(given, lambda _: Pin(), "is pinned: it does not expire.")


@click.command(short_help="End a pin.", epilog=example("radiant grimoire unpin 51be70"))
@_options
def unpin(**given: Any) -> None:
    """Let a heuristic expire again."""
    _act(given, lambda _: Pin(pinned=False), "is not pinned any more.")


@click.command(
    short_help="Fold a heuristic into another one.",
    epilog=example("radiant grimoire merge 51be70 --into 0c77aa"),
)
@click.option("--into", metavar="ID", required=True, help="The one that stays.")
@_options
def merge(into: str, **given: Any) -> None:
    """Fold a heuristic into one that says the same; its evidence counts for that one."""
    _act(
        given, lambda client: Merge(resolve_id(client, KIND, into)),
        "is merged: its evidence counts for the other one.",
        options={"into": "--into", "other": "--into"},
    )  # fmt: skip


@click.command(short_help="Undo a merge.", epilog=example("radiant grimoire unmerge 51be70"))
@_options
def unmerge(**given: Any) -> None:
    """Take a heuristic out of the one that it was merged into, with its evidence."""
    _act(given, lambda _: Unmerge(), "stands for itself again.")


@click.command(
    "keep-apart",
    short_help="Say that near copies are two lessons.",
    epilog=example("radiant grimoire keep-apart 51be70 --from 0c77aa"),
)
@click.option("--from", "other", metavar="ID", required=True, help="The other one.")
@_options
def keep_apart(other: str, **given: Any) -> None:
    """Say that two near copies are two lessons."""
    _act(
        given, lambda client: KeepApart(resolve_id(client, KIND, other)), "is kept apart.",
        options={"other": "--from"},
    )  # fmt: skip


@click.command(
    short_help="Settle a conflict.",
    epilog=example("radiant grimoire resolve 51be70 --with 0c77aa --keep this"),
)
@click.option("--with", "other", metavar="ID", required=True, help="What it contradicts.")
@click.option("--keep", type=click.Choice(get_args(Keep)), required=True, help="What stays.")
@_options
def resolve(other: str, keep: Keep, **given: Any) -> None:
    """Settle a conflict: the one that is not kept is retired."""
    _act(
        given, lambda client: Resolve(resolve_id(client, KIND, other), keep), _settled(keep),
        options={"other": "--with"},
    )  # fmt: skip


def _settled(keep: Keep) -> str:
    return {
        "this": "stays; the other one is retired.",
        "other": "is retired; the other one stays.",
        "both": "stays, and so does the other one.",
    }[keep]


def look(client: Either, heuristic_id: UUID) -> dict[str, Any]:
    """Return a heuristic with everything about it."""
    if isinstance(client, Remote):
        return client.api.heuristic(heuristic_id).model_dump()
    with client.database.tenant_transaction(client.tenant_id) as cursor:
        return reading.get_everything(cursor, client.tenant_id, heuristic_id)


COMMANDS = (
    promote, retire, revoke, edit, rollback, pin, unpin, merge, unmerge, keep_apart, resolve,
)  # fmt: skip

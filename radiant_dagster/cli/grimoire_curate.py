"""`radiant grimoire`: a curator's acts, over the API where one is named, else on the database."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, get_args
from uuid import UUID

import click

from radiant_dagster.adapters.grimoire import acts, purge, queue, reading
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
    make_console,
    moment,
    plain,
    resolve_id,
    short,
    tenant_option,
    valid_text,
)
from radiant_dagster.cli.grimoire_tables import print_versions, sentence, table
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
    Root,
    RootKind,
    Unmerge,
)
from radiant_dagster.errors import InvalidInput

KIND = "knowledge_heuristics"
KINDS: tuple[RootKind, ...] = get_args(RootKind)


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
) -> None:
    who = login_name(given["actor"])
    with connect_either(given["tenant"]) as client:
        found = resolve_id(client, KIND, given["heuristic_id"])
        done = _carry_out(client, found, act(client), who, given["if_version"])
    if given["as_json"]:
        emit_json({**done, "by": who})
    else:
        click.echo(f"Heuristic {found} {said}")


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

    _act(given, act, "has a new version.")


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
    _act(given, lambda _: Rollback(version, valid_text("--why", why)), said)


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
    _act(given, lambda client: Merge(resolve_id(client, KIND, into)), "is merged.")


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
    _act(given, lambda client: KeepApart(resolve_id(client, KIND, other)), "is kept apart.")


@click.command(
    short_help="Settle a conflict.",
    epilog=example("radiant grimoire resolve 51be70 --with 0c77aa --keep this"),
)
@click.option("--with", "other", metavar="ID", required=True, help="What it contradicts.")
@click.option("--keep", type=click.Choice(get_args(Keep)), required=True, help="What stays.")
@_options
def resolve(other: str, keep: Keep, **given: Any) -> None:
    """Settle a conflict: the one that is not kept is retired."""
    _act(given, lambda client: Resolve(resolve_id(client, KIND, other), keep), "is settled.")


def look(client: Either, heuristic_id: UUID) -> dict[str, Any]:
    """Return a heuristic with everything about it."""
    if isinstance(client, Remote):
        return client.api.heuristic(heuristic_id).model_dump()
    with client.database.tenant_transaction(client.tenant_id) as cursor:
        return reading.get_everything(cursor, client.tenant_id, heuristic_id)


@click.command(
    short_help="The texts that a heuristic had.", epilog=example("radiant grimoire history 51be70")
)
@click.argument("heuristic_id", metavar="ID")
@tenant_option
@json_option
def history(heuristic_id: str, tenant: str | None, as_json: bool) -> None:
    """Show every text that a heuristic had, and who did what to it."""
    with connect_either(tenant) as client:
        row = look(client, resolve_id(client, KIND, heuristic_id))
    if as_json:
        emit_json({"versions": row["versions"], "history": row["history"]})
        return
    console = make_console()
    print_versions(console, row["versions"])
    console.print(plain("Audit", "bold"))
    for item in row["history"]:
        console.print(plain(f"{moment(item['at'])} {item['action']} by {item['actor']}"))


@click.command(
    "queue",
    short_help="What waits for a curator.",
    epilog=example("radiant grimoire queue --domain medical"),
)
@click.option("--domain", help="Of this domain only.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 200))
@tenant_option
@json_option
def queue_(domain: str | None, limit: int, tenant: str | None, as_json: bool) -> None:
    """List what waits for a curator: conflicts, near copies, candidates, and what lapses."""
    with connect_either(tenant) as client:
        if isinstance(client, Remote):
            found = client.api.curation_queue(domain=domain, limit=limit).model_dump()
        else:
            with client.database.tenant_transaction(client.tenant_id) as cursor:
                found = asdict(queue.waiting(cursor, client.tenant_id, domain=domain, limit=limit))
    if as_json:
        emit_json(found)
        return
    _print_pairs("Conflicts", found["conflicts"])
    _print_pairs("Near copies", found["near_copies"])
    _print_rows("Candidates", found["candidates"], "sessions", "users")
    _print_rows("Expiring or doing badly", found["lapsing"], "success_count", "failure_count")
    if not any(found.values()):
        click.echo("Nothing waits for you.")


def _print_pairs(title: str, pairs: list[dict[str, Any]]) -> None:
    if not pairs:
        return
    console = make_console()
    console.print(plain(f"{title} ({len(pairs)})", "bold"))
    grid = table("id", "domain", "alike")
    for pair in pairs:
        for side in ("one", "other"):
            row = pair[side]
            grid.add_row(
                short(row["id"]), pair["domain"], f"{pair['similarity']:.2f}", plain(sentence(row))
            )
    console.print(grid)


def _print_rows(title: str, rows: list[dict[str, Any]], *counts: str) -> None:
    if not rows:
        return
    console = make_console()
    console.print(plain(f"{title} ({len(rows)})", "bold"))
    names = [
        name.replace("success_count", "good").replace("failure_count", "bad") for name in counts
    ]
    grid = table("id", "domain", "P(p>0.5)", *names)
    for row in rows:
        numbers = [str(row[name]) for name in counts]
        probability = f"{row['probability']:.2f}"
        grid.add_row(short(row["id"]), row["domain"], probability, *numbers, plain(sentence(row)))
    console.print(grid)


@click.command(
    "purge",
    short_help="Retire everything derived from something.",
    epilog=example(
        "radiant grimoire purge --session 7f3a91 --dry-run",
        "radiant grimoire purge --user mallory --yes",
    ),
)
@click.option("--session", "session_id", metavar="ID", help="What was learned from it.")
@click.option("--user", metavar="NAME", help="What was learned from this user's sessions.")
@click.option("--heuristic", "heuristic_id", metavar="ID", help="This one and its descendants.")
@click.option("--dry-run", is_flag=True, help="Only list what would be retired.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@as_option
@tenant_option
@json_option
def purge_(
    session_id: str | None,
    user: str | None,
    heuristic_id: str | None,
    dry_run: bool,
    yes: bool,
    actor: str | None,
    tenant: str | None,
    as_json: bool,
) -> None:
    """Retire everything that was derived from a session, a user or a heuristic.

    Also what was learned from follow-ups of the session, and from answers whose agents had cited
    what was learned from it, over any number of steps.
    """
    who = login_name(actor)
    given = zip(KINDS, (session_id, user, heuristic_id), strict=True)
    named: list[tuple[RootKind, str]] = [(kind, text) for kind, text in given if text is not None]
    if len(named) != 1:
        raise InvalidInput("--session", "or another root is needed", "Name exactly one root.")
    if as_json and not (yes or dry_run):
        raise InvalidInput("--json", "asks nothing", "Add --dry-run or --yes.")
    ((kind, text),) = named
    with connect_either(tenant) as client:
        root = Root(kind, _root(client, kind, text))
        rows = _derived(client, root)
        if not as_json:
            _print_derived(rows)
        if rows and not dry_run:
            if not yes:
                click.confirm(f"Retire {len(rows)}?", abort=True)
            rows = _derived(client, root, retire_as=who)
    if as_json:
        emit_json({"dry_run": dry_run, "heuristics": rows})
    elif not dry_run and rows:
        click.echo(f"{len(rows)} retired.")


def _root(client: Either, kind: RootKind, text: str) -> str:
    if kind == "user":
        return valid_text("--user", text)
    return str(resolve_id(client, "session" if kind == "session" else KIND, text))


def _derived(client: Either, root: Root, *, retire_as: str | None = None) -> list[dict[str, Any]]:
    if isinstance(client, Remote):
        found = client.api.purge(root.kind, root.value, dry_run=retire_as is None)
        return [row.model_dump() for row in found.heuristics]
    with client.database.tenant_transaction(client.tenant_id) as cursor:
        if retire_as is None:
            return purge.find_derived(cursor, client.tenant_id, root)
        return purge.retire_derived(cursor, client.tenant_id, root, actor=retire_as)


def _print_derived(rows: list[dict[str, Any]]) -> None:
    if not rows:
        click.echo("Nothing in use was derived from it.")
        return
    grid = table("id", "state", "domain")
    for row in rows:
        grid.add_row(
            short(row["id"]), row["state"], row["domain"], plain(f"When: {row['trigger_pattern']}")
        )
    make_console().print(grid)


COMMANDS = (
    queue_, history, promote, retire, revoke, edit, rollback, pin, unpin, merge, unmerge,
    keep_apart, resolve, purge_,
)  # fmt: skip

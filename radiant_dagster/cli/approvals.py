"""`radiant approvals`: what waits for a person, read scrubbed and decided once."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import click
from rich.table import Table

from radiant_dagster.adapters import approvals as store
from radiant_dagster.adapters import recovery
from radiant_dagster.adapters.continuation import launch_soon
from radiant_dagster.cli.approval_view import render_approval, seconds_left
from radiant_dagster.cli.common import (
    Either,
    as_option,
    connect_either,
    duration,
    emit_json,
    example,
    json_option,
    login_name,
    make_console,
    plain,
    read_text,
    resolve_id,
    short,
    stdin_is_terminal,
    tenant_option,
    valid_text,
)
from radiant_dagster.cli.main import EXIT_FAILED
from radiant_dagster.cli.remote import Remote
from radiant_dagster.cli.render import STYLES, reason_text
from radiant_dagster.domain.approvals import Verdict, Vote, validate_vote
from radiant_dagster.errors import InvalidInput

LAUNCH_SECONDS = 5.0  # to wait, after the decision was reported, for the continuation's launch
NEXT: Mapping[str, str] = {
    "approved": "The draft becomes the answer.",
    "rejected": "The session ends without an answer.",
    "modified": "A text of yours becomes the answer; guidance alone makes a new draft, which is "
    "reviewed again.",
}


@click.group(
    short_help="Read what waits for a person, and decide it.",
    epilog=example(
        "radiant approvals list",
        "radiant approvals show 8c01d2",
        "radiant approvals approve 8c01d2 --as dr-lee",
    ),
)
def approvals() -> None:
    """Read what waits for a person, and decide it before its deadline.

    Reviewers see texts with personal data scrubbed, never the originals. Who asked cannot decide.
    """


@approvals.command(
    "list", short_help="What waits for a decision.", epilog=example("radiant approvals list --all")
)
@click.option("--all", "everything", is_flag=True, help="Decided ones too.")
@tenant_option
@json_option
def list_(everything: bool, tenant: str | None, as_json: bool) -> None:
    """List what waits for a decision, the nearest deadline first."""
    with connect_either(tenant, reviewer=True) as client:
        rows = _rows(client, everything=everything)
    if as_json:
        emit_json({"approvals": rows})
        return
    if not rows:
        click.echo("Nothing waits for a decision.")
        return
    table = Table(box=None, pad_edge=False)
    for name in ("id", "state", "time left", "domain", "asked by", "session"):
        table.add_column(name, header_style="dim", no_wrap=True)
    table.add_column("why", header_style="dim", overflow="fold")
    for row in rows:
        state = row["shown_state"]
        table.add_row(
            short(row["id"]),
            plain(state, STYLES.get(state, "")),
            duration(seconds_left(row)) if state == "pending" else "-",
            row["domain"],
            plain(row["requested_by"]),
            short(row["session_id"]),
            plain("; ".join(reason_text(code) for code in row["reasons"])),
        )
    make_console().print(table)


def _rows(client: Either, *, everything: bool) -> list[dict[str, Any]]:
    if isinstance(client, Remote):
        page = client.api.approvals(state="all" if everything else "pending", limit=100)
        return [row.model_dump() for row in page.approvals]
    with client.database.tenant_transaction(client.tenant_id, role="radiant_review") as cursor:
        return store.list_approvals(cursor, client.tenant_id, pending_only=not everything)


@approvals.command(
    short_help="One request: the draft and the agents' answers.",
    epilog=example("radiant approvals show 8c01d2"),
)
@click.argument("approval_id", metavar="ID")
@tenant_option
@json_option
def show(approval_id: str, tenant: str | None, as_json: bool) -> None:
    """Show what a reviewer may read, scrubbed of personal data."""
    with connect_either(tenant, reviewer=True) as client:
        row = fetch(client, find(client, approval_id))
    if as_json:
        emit_json(row)
    else:
        render_approval(make_console(), row)


def find(client: Either, text: str) -> UUID:
    """Return the id that a person typed."""
    return resolve_id(client, "approval_request", text, role="radiant_review")


def fetch(client: Either, approval_id: UUID) -> dict[str, Any]:
    """Return a request with its scrubbed review document."""
    if isinstance(client, Remote):
        return client.approval(approval_id)
    with client.database.tenant_transaction(client.tenant_id, role="radiant_review") as cursor:
        return store.get_approval(cursor, client.tenant_id, approval_id)


def decide(
    client: Either,
    approval: Mapping[str, Any],
    verdict: Verdict,
    *,
    actor: str,
    roles: frozenset[str],
    guidance: str = "",
    edited_text: str | None = None,
) -> str | None:
    """Record a decision on exactly the text that `approval` holds.

    Args:
        client: The reviewer's connection.
        approval: What `fetch` returned and the reviewer was shown.
        verdict: What was decided.
        actor: Who decides.
        roles: What the actor is.
        guidance: What to change, or why it was rejected.
        edited_text: The reviewer's own answer.

    Returns:
        The verdict that stands, or None while another vote is needed.
    """
    if isinstance(client, Remote):
        return client.decide(dict(approval), verdict, guidance=guidance, edited_text=edited_text)
    vote = Vote(
        actor=actor,
        roles=roles,
        verdict=verdict,
        payload_sha256=bytes(approval["payload_sha256"]),
        guidance=guidance,
        edited_text=edited_text,
    )
    return store.decide(client.database, client.tenant_id, approval["id"], vote)


def _decision_options(command: Any) -> Any:
    for option in (
        json_option,
        tenant_option,
        click.option(
            "--role", "roles", multiple=True, default=("reviewer",), show_default=True,
            help="What you are. May be given several times.",
        ),
        as_option,
        click.argument("approval_id", metavar="ID"),
    ):  # fmt: skip
        command = option(command)
    return command


def _run_decision(
    verdict: Verdict,
    approval_id: str,
    actor: str | None,
    roles: tuple[str, ...],
    tenant: str | None,
    *,
    guidance: str,
    as_json: bool,
    edited_text: str | None = None,
    confirm: bool = False,
    edit: bool = False,
) -> None:
    who = login_name(actor)
    said = valid_text("guidance", guidance)
    if not edit:  # refused before anything is read, so that a reviewer learns of it at once
        validate_vote(Vote(who, frozenset(roles), verdict, b"", said, edited_text))
    with connect_either(tenant, reviewer=True) as client:
        row = fetch(client, find(client, approval_id))
        if confirm and row["shown_state"] == "pending":
            _confirm(row)
        if edit and row["shown_state"] == "pending" and not row["withheld"]:
            edited_text = click.edit(row["review_sanitized"]["draft"], extension=".md")
        standing = decide(
            client, row, verdict, actor=who, roles=frozenset(roles), guidance=said,
            edited_text=edited_text,
        )  # fmt: skip
        launching = None
        if isinstance(client, Remote):
            who = client.api.me().name  # the key's, whatever --as says
        elif standing:
            launching = launch_soon(client.database, client.dagster, client.tenant_id, row["id"])
        _report(row, standing, who, as_json=as_json)
        if launching:  # what is not launched by then the sensor launches
            launching.join(LAUNCH_SECONDS)


def _report(row: Mapping[str, Any], standing: str | None, who: str, *, as_json: bool) -> None:
    if as_json:
        emit_json({"approval_id": row["id"], "session_id": row["session_id"], "verdict": standing})
    elif standing is None:
        click.echo(f"Recorded for {who}. Another reviewer's vote is needed.")
    else:
        click.echo(f"Recorded: {standing} by {who}. {NEXT[standing]}")
        click.echo(f"  radiant sessions watch {short(row['session_id'])}")


def _confirm(row: Mapping[str, Any]) -> None:
    render_approval(make_console(), row)
    if not click.confirm("\nApprove exactly this draft?"):
        click.echo("Nothing was decided.", err=True)
        raise click.exceptions.Exit(EXIT_FAILED)


@approvals.command(
    short_help="Let the draft become the answer.",
    epilog=example("radiant approvals approve 8c01d2 --as dr-lee"),
)
@_decision_options
@click.option("--guidance", default="", help="A remark that is kept with the decision.")
@click.option("--yes", is_flag=True, help="Do not ask; you have read the draft.")
def approve(
    approval_id: str,
    actor: str | None,
    roles: tuple[str, ...],
    tenant: str | None,
    as_json: bool,
    guidance: str,
    yes: bool,
) -> None:
    """Approve: the draft becomes the answer.

    On a terminal the draft is shown first and you are asked.
    """
    confirm = not yes and not as_json and stdin_is_terminal()
    _run_decision(
        "approved", approval_id, actor, roles, tenant,
        guidance=guidance, as_json=as_json, confirm=confirm,
    )  # fmt: skip


@approvals.command(
    short_help="Refuse the draft; there is no answer.",
    epilog=example('radiant approvals reject 8c01d2 --as dr-lee --guidance "The dose is wrong."'),
)
@_decision_options
@click.option("--guidance", default="", help="Why. Required.")
def reject(
    approval_id: str,
    actor: str | None,
    roles: tuple[str, ...],
    tenant: str | None,
    as_json: bool,
    guidance: str,
) -> None:
    """Reject: the session ends without an answer."""
    _run_decision("rejected", approval_id, actor, roles, tenant, guidance=guidance, as_json=as_json)


@approvals.command(
    short_help="Correct the draft, or have it written anew.",
    epilog=example(
        "radiant approvals modify 8c01d2 --as dr-lee --text corrected.txt",
        'radiant approvals modify 8c01d2 --as dr-lee --guidance "Name the temperature limits."',
    ),
)
@_decision_options
@click.option("--text", "source", metavar="FILE|-", help="Your own text of the answer.")
@click.option("--guidance", default="", help="What a new draft should do better.")
def modify(
    approval_id: str,
    actor: str | None,
    roles: tuple[str, ...],
    tenant: str | None,
    as_json: bool,
    source: str | None,
    guidance: str,
) -> None:
    """Modify: your text becomes the answer, or a new draft is written after your guidance.

    Redactions like [PERSON_1] may stay in your text. With guidance alone the new draft comes back
    for review, since nobody has read it. On a terminal, with neither, your editor opens the draft.
    """
    edited = read_text("edited_text", source) if source is not None else None
    if edited is not None and not edited.strip():
        raise InvalidInput("edited_text", "is empty", "Pass the corrected answer.")
    edit = edited is None and not guidance and not as_json and stdin_is_terminal()
    _run_decision(
        "modified", approval_id, actor, roles, tenant,
        guidance=guidance, as_json=as_json, edited_text=edited,
        edit=edit,
    )  # fmt: skip


@approvals.command(
    short_help="Have a decision carried out that could not be.",
    epilog=example("radiant approvals retry 8c01d2"),
)
@click.argument("approval_id", metavar="ID")
@as_option
@tenant_option
@json_option
def retry(approval_id: str, actor: str | None, tenant: str | None, as_json: bool) -> None:
    """Have a decision carried out again, whose runs failed or were lost too often.

    Mend the cause first; `radiant sessions show` links its runs. What was decided stays as it is.
    """
    who = login_name(actor)
    with connect_either(tenant, reviewer=True) as client:
        wanted = find(client, approval_id)
        if isinstance(client, Remote):
            session_id = client.api.retry(wanted).session_id
        else:
            session_id = recovery.revive(client.database, client.tenant_id, wanted, actor=who)
    if as_json:
        emit_json({"approval_id": wanted, "session_id": session_id})
    else:
        click.echo("The approval sensor launches it within seconds.")
        click.echo(f"  radiant sessions watch {short(session_id)}")

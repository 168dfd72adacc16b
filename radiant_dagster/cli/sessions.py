"""`radiant sessions`: what was asked, what became of it, and asking again."""

import click
from rich.table import Table

from radiant_dagster.adapters import intake
from radiant_dagster.adapters import sessions as store
from radiant_dagster.adapters.intake import Question, asked_again
from radiant_dagster.cli.common import (
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
    usd,
)
from radiant_dagster.cli.progress import progress_table
from radiant_dagster.cli.remote import Remote
from radiant_dagster.cli.render import STYLES, render_details
from radiant_dagster.cli.think import load_view, start, watch
from radiant_dagster.wire.base import MAX_PAGE


@click.group(
    short_help="List, show, watch, cancel and rerun sessions.",
    epilog=example("radiant sessions list", "radiant sessions show 3f2a9c"),
)
def sessions() -> None:
    """Look at sessions, stop them, ask again."""


@sessions.command(
    "list", short_help="The newest sessions.", epilog=example("radiant sessions list --limit 5")
)
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000))
@tenant_option
@json_option
def list_(limit: int, tenant: str | None, as_json: bool) -> None:
    """List the newest sessions."""
    with connect_either(tenant) as client:
        if isinstance(client, Remote):
            page = client.api.sessions(limit=min(limit, MAX_PAGE))
            rows = [row.model_dump() for row in page.sessions]
        else:
            with client.database.tenant_transaction(client.tenant_id) as cursor:
                rows = store.list_sessions(cursor, client.tenant_id, limit)
    if as_json:
        emit_json({"sessions": rows})
        return
    if not rows:
        click.echo('No session yet. Ask something: radiant think "..."')
        return
    table = Table(box=None, pad_edge=False)
    for name in ("id", "status", "domain", "asked at", "by", "cost"):
        table.add_column(name, header_style="dim", no_wrap=True)
    table.add_column("question", header_style="dim", no_wrap=True, overflow="ellipsis")
    for row in rows:
        status = row["status"]
        degraded = " (degraded)" if row["swarm_status"] == "degraded" else ""
        table.add_row(
            short(row["id"]),
            plain(status + degraded, STYLES.get(status, "")),
            row["domain"],
            moment(row["created_at"]),
            plain(row["user_id"]),
            usd(row["cost_micro_usd"]),
            plain(" ".join(row["title"].split())),
        )
    make_console().print(table)


@sessions.command(
    short_help="Everything about one session.",
    epilog=example("radiant sessions show 3f2a9c --json"),
)
@click.argument("session_id", metavar="ID")
@tenant_option
@json_option
def show(session_id: str, tenant: str | None, as_json: bool) -> None:
    """Show a session: question, answers, heuristics, safety, decisions, audit, cost."""
    with connect_either(tenant) as client:
        found = resolve_id(client, "session", session_id)
        if isinstance(client, Remote) and not (now := client.look(found)).ended:
            # Its texts come with its end; until then there is how far it is.
            if as_json:
                emit_json({"progress": now})
            else:
                make_console().print(progress_table(now))
            return
        view = load_view(client, found)
        if as_json:
            emit_json(view)
        else:
            render_details(make_console(), view, client.dagster)


@sessions.command(
    "watch",
    short_help="Follow a session to its end.",
    epilog=example("radiant sessions watch 3f2a9c"),
)
@click.argument("session_id", metavar="ID")
@click.option("--no-wait", is_flag=True, help="End when a person has to decide.")
@tenant_option
@json_option
def watch_(session_id: str, no_wait: bool, tenant: str | None, as_json: bool) -> None:
    """Follow a session live until it ends, then print its answer."""
    with connect_either(tenant) as client:
        found = resolve_id(client, "session", session_id)
        watch(client, found, wait_for_person=not no_wait, as_json=as_json)


@sessions.command(
    short_help="Stop a session; no answer is handed out.",
    epilog=example("radiant sessions cancel 3f2a9c"),
)
@click.argument("session_id", metavar="ID")
@as_option
@tenant_option
@json_option
def cancel(session_id: str, actor: str | None, tenant: str | None, as_json: bool) -> None:
    """Cancel a session, its open review and its run."""
    who = login_name(actor)
    with connect_either(tenant) as client:
        found = resolve_id(client, "session", session_id)
        if isinstance(client, Remote):
            done = intake.Cancellation(client.api.cancel(found).runs_stopped)
        else:
            done = intake.cancel(client, found, actor=who)
    if done.trouble is not None:
        click.echo(f"Warning: its run stops at its next step only. {done.trouble}", err=True)
    if as_json:
        emit_json({"session_id": found, "status": "cancelled", "runs_stopped": done.runs_stopped})
    else:
        click.echo(f"Session {found} is cancelled.")


@sessions.command(
    short_help="Ask the same question again.", epilog=example("radiant sessions rerun 3f2a9c")
)
@click.argument("session_id", metavar="ID")
@click.option("--user", metavar="NAME", help="Who asks now. Default: your login name.")
@click.option("--no-wait", is_flag=True, help="End when a person has to decide.")
@click.option("--detach", is_flag=True, help="End as soon as the run is launched.")
@tenant_option
@json_option
def rerun(
    session_id: str,
    user: str | None,
    no_wait: bool,
    detach: bool,
    tenant: str | None,
    as_json: bool,
) -> None:
    """Ask a session's question again, with the same agents and documents, as a new session.

    All answers are bought anew. Where only the run broke, re-execute it from failure in Dagit
    instead: answers that were bought are kept.
    """
    # Who asks again may not approve, whoever asked first; so it is not the first asker's name.
    who = login_name(user)
    with connect_either(tenant) as client:
        found = resolve_id(client, "session", session_id)
        if isinstance(client, Remote):
            question = Question(prompt="", user_id=who, rerun_of=found)  # the server has the rest
        else:
            question = asked_again(client, found, user_id=who)
        start(client, question, detach=detach, wait_for_person=not no_wait, as_json=as_json)

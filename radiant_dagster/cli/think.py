"""`radiant think`: check a question, store it, launch its run and follow it to its answer.

`submit_and_launch`, `follow` and `render.render_result` are what other commands and the demo are
made of; none of them prints on its own.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import click
from rich.console import Console
from rich.live import Live
from rich.table import Table

from radiant_dagster.adapters import health, submission
from radiant_dagster.adapters.intake import (
    Question,
    check_question,
    require_dagster,
    store_and_launch,
)
from radiant_dagster.adapters.llm_transports import build_llm
from radiant_dagster.adapters.panels import load_panel_file
from radiant_dagster.adapters.session_view import Progress, progress, session_view
from radiant_dagster.cli.common import (
    Client,
    Either,
    connect_either,
    emit_json,
    json_option,
    login_name,
    make_console,
    plain,
    read_text,
    resolve_id,
    short,
    tenant_option,
    usd,
    valid_text,
)
from radiant_dagster.cli.main import EXIT_FAILED, EXIT_INTERRUPTED
from radiant_dagster.cli.progress import LinePrinter, progress_table
from radiant_dagster.cli.remote import Remote
from radiant_dagster.cli.render import render_result
from radiant_dagster.domain.governor import SessionEstimate
from radiant_dagster.domain.sessions import SessionRequest
from radiant_dagster.domain.swarm import AgentConfig
from radiant_dagster.errors import DagsterUnavailable, InvalidInput

POLL_SECONDS = 0.25
REVIEW_POLL_SECONDS = 1.0  # the countdown's step; nothing happens faster than a person
RUN_CHECK_SECONDS = 10.0
ENDED_RUNS = frozenset({"SUCCESS", "FAILURE", "CANCELED"})


def require_services(client: Client, request: SessionRequest) -> None:
    """Refuse where the session's run could not start or could not buy its answers.

    Raises:
        ConfigurationError, LlmUnavailable, InvalidInput: The models cannot be used.
        BrokerUnavailable: Runs would not reach a worker.
        DagsterUnavailable: Nothing can be launched.
    """
    submission.require_models(build_llm(client.settings), request, client.settings)
    if client.settings.broker_url is not None:
        health.ping_broker(client.settings.broker_url.get_secret_value())
    require_dagster(client)


def submit_and_launch(client: Either, question: Question) -> UUID:
    """Check everything, then store the session and launch its run.

    Returns:
        The session's id.

    Raises:
        RadiantError: See `check_question` and `require_services`; nothing is stored then. Where
            the launch itself fails the session is stored as failed (`launch_failed`).
    """
    if isinstance(client, Remote):
        return client.submit(question)
    request, estimate = check_question(client, question)
    require_services(client, request)
    return store_and_launch(client, question, request, estimate).session_id


def follow(
    client: Either,
    session_id: UUID,
    on_change: Callable[[Progress], None],
    *,
    wait_for_person: bool = True,
    check_seconds: float = RUN_CHECK_SECONDS,
) -> Progress:
    """Look at a session until it has ended.

    Args:
        client: Whose session it is.
        session_id: The session.
        on_change: Called at every look, several times a second; a review's countdown moves.
        wait_for_person: False returns as soon as a person has to decide.
        check_seconds: How often Dagster is asked whether the run still lives.

    Returns:
        The last look.

    Raises:
        DagsterUnavailable: The run has ended but the session has not: nothing would ever happen.
    """
    next_check = time.monotonic() + check_seconds
    while True:
        now = _look(client, session_id)
        on_change(now)
        if now.ended or (now.waits_for_person and not wait_for_person):
            return now
        if time.monotonic() >= next_check:
            next_check = time.monotonic() + check_seconds
            if not isinstance(client, Remote):  # the server's own sensors look after its runs
                _require_life(client, session_id, now, check_seconds)
        time.sleep(REVIEW_POLL_SECONDS if now.waits_for_person else POLL_SECONDS)


def _look(client: Either, session_id: UUID) -> Progress:
    if isinstance(client, Remote):
        return client.look(session_id)
    with client.database.tenant_transaction(client.tenant_id) as cursor:
        return progress(cursor, client.tenant_id, session_id)


def _require_life(client: Client, session_id: UUID, before: Progress, check_seconds: float) -> None:
    """Raise where the run died and nobody carried that over to the session."""
    run_id = before.conclude_run_id or before.dagster_run_id
    if before.status not in ("created", "running", "synthesised", "concluding") or not run_id:
        return
    state = client.dagster.run_state(run_id)
    if state is None or state.status not in ENDED_RUNS or state.will_retry:
        return
    # The run may have ended between the two looks; sensors need a moment more.
    time.sleep(check_seconds)
    if _look(client, session_id).status == before.status:
        raise DagsterUnavailable(
            client.settings.dagster_url,
            f"run {run_id} ended as {state.status}, but no sensor recorded it with session "
            f"{session_id}; Dagster's daemon seems to be down",
        )


def load_view(client: Either, session_id: UUID) -> dict[str, Any]:
    """Return everything about a session; through the API, of one that has ended."""
    if isinstance(client, Remote):
        return client.view(session_id)
    with client.database.tenant_transaction(client.tenant_id) as cursor:
        return session_view(cursor, client.tenant_id, session_id)


def watch(client: Either, session_id: UUID, *, wait_for_person: bool, as_json: bool) -> None:
    """Show a session until it ends, then its result; sets the exit code."""
    console = make_console()
    try:
        now = _show_live(client, session_id, console, wait_for_person, as_json)
    except KeyboardInterrupt:
        click.echo(
            f"\nThe session goes on. Watch it with `radiant sessions watch {session_id}`, or stop "
            f"it with `radiant sessions cancel {session_id}`.",
            err=True,
        )
        raise click.exceptions.Exit(EXIT_INTERRUPTED) from None
    if isinstance(client, Remote) and not now.ended:
        view: dict[str, Any] = {"progress": now}
    else:
        view = load_view(client, session_id)
    if as_json:
        emit_json(view)
    elif now.ended:
        render_result(console, view, client.dagster)
    else:
        console.print(plain(f"Watch on with: radiant sessions watch {session_id}"))
    if now.ended and now.status != "completed":
        raise click.exceptions.Exit(EXIT_FAILED)


def _draws(console: Console, *, as_json: bool) -> bool:
    return not as_json and console.is_terminal


def _show_live(
    client: Either, session_id: UUID, console: Console, wait_for_person: bool, as_json: bool
) -> Progress:
    if _draws(console, as_json=as_json):
        with Live(console=console, refresh_per_second=8) as live:
            return follow(
                client,
                session_id,
                lambda now: live.update(progress_table(now)),
                wait_for_person=wait_for_person,
            )
    lines = LinePrinter(lambda line: click.echo(line, err=as_json))
    return follow(client, session_id, lines, wait_for_person=wait_for_person)


def panel_of(text: str) -> tuple[str, tuple[AgentConfig, ...] | None]:
    """Tell a panel's name from a panel file, and read the file."""
    path = Path(text)
    if path.suffix.lower() in (".yaml", ".yml", ".json") or "/" in text:
        return path.name, load_panel_file(path)
    return text, None


def read_documents(paths: tuple[str, ...]) -> dict[str, str]:
    """Read the files of --context, by file name."""
    documents: dict[str, str] = {}
    for path in paths:
        name = Path(path).name if Path(path).name not in documents else path
        if name in documents:
            raise InvalidInput("context", f"names {path} twice", "Name each file once.")
        documents[name] = read_text("context", path)
    return documents


def show_estimate(estimate: SessionEstimate, request: SessionRequest, *, as_json: bool) -> None:
    """Print what a session can cost at most."""
    if as_json:
        emit_json({"estimate": estimate, "unit": "micro_usd", "stored": False})
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("step", header_style="dim")
    table.add_column("model", header_style="dim")
    table.add_column("at most", header_style="dim", justify="right")
    for agent in request.agents:
        table.add_row(
            plain(agent.agent_id), plain(agent.model), usd(estimate.per_agent[agent.agent_id])
        )
    table.add_row("synthesis", "", usd(estimate.synthesis))
    table.add_row("librarian", "", usd(estimate.librarian))
    if estimate.embeddings:
        table.add_row("embeddings", "", usd(estimate.embeddings))
    table.add_row("together", "", usd(estimate.total_micro_usd), style="bold")
    console = make_console()
    console.print(table)
    console.print("An upper bound: answers are mostly shorter. Nothing was stored or launched.")


HELP = """Ask the Think Tank a question.

QUESTION is text, or - to read it from standard input. Several agents answer it in parallel, one
answer is written from theirs, and in risky domains, or with --require-approval, a person has to
approve it before you get it.

\b
Examples:
  radiant think "How should a small clinic prepare its vaccine storage for a power cut?"
  radiant think --domain legal --context contract.txt "What are the risks of clause 7?"
  radiant think --follow 3f2a9c "And what would that cost?"
  radiant think --estimate --panel quick - < question.txt
  radiant think --panel mine.yaml "Should we move to four-day weeks?"

\b
A panel file lists the agents; only agent_id, role and model are needed:
  agents:
    - agent_id: optimist
      role: optimist
      model: gpt-4o-mini
      temperature: 0.8
      max_tokens: 800
      instructions: Say what could go well, and why.
    - agent_id: skeptic
      role: skeptic
      model: gpt-4o
      output_schema:            # the answer has to be JSON that fits; it is checked
        type: object
        properties: {risk: {type: string}, severity: {enum: [low, high]}}
        required: [risk, severity]
"""


@click.command(
    help=HELP,
    short_help="Ask the Think Tank a question and watch it work.",
    epilog="Exit code 0 means that there is an answer, or with --no-wait a review that is open.",
)
@click.argument("question")
@click.option("--domain", default="general", show_default=True, help="Whose rules apply.")
@click.option(
    "--panel", default="default", show_default=True, metavar="NAME|FILE",
    help="The agents: a stored panel's name, or a YAML file.",
)  # fmt: skip
@click.option("--require-approval", is_flag=True, help="Have a person approve the answer.")
@click.option(
    "--context", "documents", multiple=True, metavar="FILE",
    help="A text file the agents may use. May be given several times.",
)  # fmt: skip
@click.option(
    "--follow", metavar="SESSION", help="Go on from this session: the agents get its answer."
)
@tenant_option
@click.option("--user", metavar="NAME", help="Who asks. Default: your login name.")
@click.option("--estimate", is_flag=True, help="Print what it can cost at most, and stop.")
@click.option("--no-wait", is_flag=True, help="End when a person has to decide.")
@click.option("--detach", is_flag=True, help="End as soon as the run is launched.")
@click.option(
    "--live", is_flag=True,
    help="Stream the agents' answers, for a terminal that watches later; one that watches at once "
    "gets them anyway.",
)  # fmt: skip
@json_option
def think(  # noqa: D103 - click shows HELP
    question: str,
    domain: str,
    panel: str,
    require_approval: bool,
    documents: tuple[str, ...],
    follow: str | None,
    tenant: str | None,
    user: str | None,
    estimate: bool,
    no_wait: bool,
    detach: bool,
    live: bool,
    as_json: bool,
) -> None:
    prompt = read_text("prompt", "-") if question == "-" else valid_text("prompt", question)
    name, agents = panel_of(panel)
    asked = Question(
        prompt=prompt,
        user_id=login_name(user),
        domain=domain,
        panel=name,
        agents=agents,
        require_approval=require_approval,
        context=read_documents(documents),
        live=live,
    )
    with connect_either(tenant) as client:
        if follow is not None:
            asked = replace(asked, parent_session_id=resolve_id(client, "session", follow))
        if estimate:
            if isinstance(client, Remote):
                raise InvalidInput(
                    "--estimate",
                    "reads the panel's models, which stay on the server",
                    "Run it there, or ask POST /api/v1/sessions/estimate.",
                )
            request, bound = check_question(client, asked)
            show_estimate(bound, request, as_json=as_json)
            return
        start(client, asked, detach=detach, wait_for_person=not no_wait, as_json=as_json)


def start(
    client: Either, question: Question, *, detach: bool, wait_for_person: bool, as_json: bool
) -> None:
    """Submit a question and show what becomes of it."""
    if not detach and _draws(make_console(), as_json=as_json):
        question = replace(question, live=True)
    session_id = submit_and_launch(client, question)
    run_id = _look(client, session_id).dagster_run_id
    link = client.dagster.run_link(run_id) if run_id else ""
    if detach:
        if as_json:
            emit_json({"session_id": session_id, "run_id": run_id, "run_link": link})
        else:
            click.echo(f"Session {session_id} is launched. Watch it with:")
            click.echo(f"  radiant sessions watch {short(session_id)}")
        return
    if not as_json:
        click.echo(f"Session {session_id}\n{link}")
    watch(client, session_id, wait_for_person=wait_for_person, as_json=as_json)

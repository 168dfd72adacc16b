"""`make demo`: three sessions through a real stack, for somebody who has never seen the project.

It uses nothing that is not on the machine: embedded servers, the offline demo model, a data folder
and a tenant of its own. Everything else is the product as it is: launched Dagster runs, the
approval sensor, the Librarian.
"""

import os
import re
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast
from uuid import UUID, uuid4

import click
from rich.console import Console
from rich.rule import Rule

from radiant_dagster.adapters import approvals, feedback, tenants
from radiant_dagster.adapters.continuation import launch_soon
from radiant_dagster.adapters.grimoire import curation, reading
from radiant_dagster.adapters.intake import Question
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.adapters.settings import Settings, default_home
from radiant_dagster.cli.common import Client, client_of, duration, make_console, plain, usd
from radiant_dagster.cli.progress import LinePrinter
from radiant_dagster.cli.render import boxed, render_result
from radiant_dagster.cli.think import follow, load_view, submit_and_launch
from radiant_dagster.domain.approvals import Vote
from radiant_dagster.domain.wording import counted
from radiant_dagster.errors import RadiantError
from radiant_dagster.local.stack import Stack

GENERAL = "What should a small team do before it moves its customer database to a new server?"
MEDICAL = (
    "Patient John Smith, 58, MRN 4827193, takes warfarin and has started amiodarone. What has to "
    "be checked in the next two weeks?"
)
CLOSE = "What should a web shop do before it moves its order database to a new server?"
FOR_REVIEWERS = re.compile("radiant approvals|^NAME is")  # the demo decides by itself
REVIEWER = "demo-reviewer"
CURATOR = "demo-curator"
WORKERS = 2
# Other people's servers and keys have no place in a demo.
FOREIGN = ("RADIANT_", "LITELLM_", "CATO_", "MISSION_CONTROL_", "DB_", "DAGSTER_")


def demo_environment(env: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a demo: its own data folder, no outside service."""
    home = env.get("RADIANT_HOME") or f"{default_home()}-demo"
    kept = {name: value for name, value in env.items() if not name.startswith(FOREIGN)}
    return kept | {
        "RADIANT_HOME": home,
        "RADIANT_LLM_TRANSPORT": "offline",
        "RADIANT_WORKERS": str(WORKERS),
    }


def main() -> None:
    """Run the demo; exit code 0 where every session ended as it should."""
    begun = time.monotonic()
    console = make_console()
    # allowed: environment - handed on to the stack, less what is foreign
    env = demo_environment(os.environ)
    try:
        with Stack(Settings.load(env, stack=False), env=env) as stack:
            console.print(Rule("Starting the stack", align="left"))
            info = stack.start(lambda line: console.print(plain(f"  {line}", "dim")))
            settings = Settings.load({**env, **info.environment})
            slug = f"demo-{uuid4().hex[:8]}"
            spent, ended = _with_client(console, settings, slug)
    except RadiantError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        click.echo("\nThe demo was interrupted; everything is stopped.", err=True)
        sys.exit(130)
    console.print(Rule("The demo is over", align="left"))
    console.print(
        plain(
            f"{counted(len(ended), 'session')} ended as {', '.join(ended)}. It took "
            f"{duration(time.monotonic() - begun)} and would have cost {usd(spent)} with the "
            "models it names. Every answer above came from the OFFLINE DEMO MODEL: the machinery "
            "is real, the advice is not. All processes are stopped; the data is kept."
        )
    )
    home = env["RADIANT_HOME"]
    radiant = Path(sys.executable).with_name("radiant")
    console.print(plain(f"Ask your own:  {radiant} up, and in another terminal"))
    console.print(plain(f'               {radiant} think "..."'))
    # What was shown above is found by these two alone.
    console.print(plain("Look around in what the demo left, in Dagit and Mission Control, with"))
    console.print(plain(f"               export RADIANT_HOME={home} RADIANT_TENANT={slug}"))
    console.print(plain(f"               {radiant} up, and there {radiant} grimoire list"))


def _with_client(console: Console, settings: Settings, slug: str) -> tuple[int, list[str]]:
    assert settings.database_url is not None  # noqa: S101 - the stack has just set it
    database = Database(settings.database_url.get_secret_value(), application_name="radiant demo")
    tenant_id = uuid4()
    # A tenant of its own each time: what an earlier demo taught stays out of this one.
    tenants.create_tenant(database, tenant_id, slug, "Demo")
    try:
        return _three_sessions(console, client_of(settings, database, tenant_id))
    finally:
        database.close()


def _three_sessions(console: Console, client: Client) -> tuple[int, list[str]]:
    views: list[Mapping[str, Any]] = []
    _title(console, "1 of 3: a general question, nobody has to approve", GENERAL)
    first = _ask(console, client, Question(prompt=GENERAL, user_id="demo-user"))
    views.append(first)
    render_result(console, first, client.dagster)

    _title(console, "2 of 3: a medical question, a person has to approve", MEDICAL)
    views.append(_reviewed_session(console, client))

    _title(console, "3 of 3: close to the first, so that what was learned helps", CLOSE)
    _promote(console, client, first)
    third = _ask(console, client, Question(prompt=CLOSE, user_id="demo-user"))
    views.append(third)
    _show_heuristic_at_work(console, third)
    render_result(console, third, client.dagster)

    if not third["session"]["heuristics"]:
        raise click.ClickException("The learned heuristic was not offered to the third session.")
    _judge(console, client, third["session"]["id"], first["learned"]["id"])
    unexpected = [
        v["session"]["status"] for v in (first, third) if v["session"]["status"] != "completed"
    ]
    if unexpected:
        raise click.ClickException(f"A session that needs nobody ended as {unexpected[0]}.")
    spent = sum(view["session"]["cost_micro_usd"] for view in views)
    return spent, [view["session"]["status"] for view in views]


def _title(console: Console, title: str, prompt: str) -> None:
    console.print()
    console.print(Rule(f"Session {title}", align="left", style="bold"))
    console.print(boxed("Question", prompt))


def _ask(console: Console, client: Client, question: Question) -> Mapping[str, Any]:
    session_id = submit_and_launch(client, question)
    follow(client, session_id, LinePrinter(lambda line: console.print(plain(line))))
    return load_view(client, session_id)


def _reviewed_session(console: Console, client: Client) -> Mapping[str, Any]:
    question = Question(prompt=MEDICAL, user_id="demo-user", domain="medical")
    session_id = submit_and_launch(client, question)
    lines = LinePrinter(
        lambda line: None if FOR_REVIEWERS.search(line) else console.print(plain(line))
    )
    waiting = follow(client, session_id, lines, wait_for_person=False)
    while waiting.waits_for_person:
        _decide(console, client, session_id)
        console.print(
            plain("The decision is stored, and its run asked for; a sensor stands by ...", "dim")
        )
        waiting = follow(client, session_id, lines, wait_for_person=False)
    view = load_view(client, session_id)
    render_result(console, view, client.dagster)
    return view


def _decide(console: Console, client: Client, session_id: UUID) -> None:
    """Show the scrubbed draft and record a decision, a person's where one is there to ask."""
    with client.database.tenant_transaction(client.tenant_id, role="radiant_review") as cursor:
        rows = approvals.list_approvals(cursor, client.tenant_id, pending_only=True)
        request_id = next(row["id"] for row in rows if row["session_id"] == session_id)
        request = approvals.get_approval(cursor, client.tenant_id, request_id)
    review = request["review_sanitized"]
    console.print(boxed("What the reviewer sees: the question, scrubbed", review["prompt"]))
    console.print(boxed("What the reviewer sees: the draft, scrubbed", review["draft"]))
    if sys.stdin.isatty() and sys.stdout.isatty():
        verdict, guidance, edited, actor = _ask_person()
    else:
        verdict, guidance, edited, actor = "approved", "", None, REVIEWER
        console.print(plain(f"Nobody is at a terminal, so {REVIEWER}, a made-up person, approves."))
    vote = Vote(
        actor=actor,
        roles=frozenset({"reviewer"}),
        verdict=cast("Literal['approved', 'rejected', 'modified']", verdict),
        payload_sha256=bytes(request["payload_sha256"]),
        guidance=guidance,
        edited_text=edited,
    )
    try:
        approvals.decide(client.database, client.tenant_id, request_id, vote)
    except RadiantError as error:  # too late, for instance: the session goes on all the same
        console.print(plain(str(error), "red"))
    else:
        launch_soon(client.database, client.dagster, client.tenant_id, request_id)


def _ask_person() -> tuple[str, str, str | None, str]:
    verbs = {"approve": "approved", "reject": "rejected", "modify": "modified"}
    choice = click.prompt("Your decision", type=click.Choice(list(verbs)), default="approve")
    guidance, edited = "", None
    if choice == "reject":
        guidance = click.prompt("Why")
    elif choice == "modify":
        edited = click.prompt("The answer as it should read (one line)")
    return verbs[choice], guidance, edited, "you (demo reviewer)"


def _promote(console: Console, client: Client, first: Mapping[str, Any]) -> None:
    heuristic = first["learned"]
    if heuristic is None:
        raise click.ClickException("The first session taught nothing; that should not happen.")
    with client.database.tenant_transaction(client.tenant_id) as cursor:
        curation.promote(cursor, client.tenant_id, heuristic["id"], actor=CURATOR)
    console.print(
        plain(
            f"What session 1 taught was quarantined. {CURATOR}, a made-up person, promotes it "
            "now, as a curator would after reading it; until then no prompt gets it."
        )
    )


def _show_heuristic_at_work(console: Console, view: Mapping[str, Any]) -> None:
    agents = view["agents"]
    for item in view["session"]["heuristics"]:
        cited = [a["agent_id"] for a in agents if item["number"] in a["cited"]]
        console.print(
            boxed(
                f"In every agent's prompt, as data: H{item['number']}, similarity "
                f"{item['similarity']:.2f}, cited by {len(cited)} of {len(agents)} agents",
                f"When: {item['trigger_pattern']}\n"
                f"{item['polarity'].capitalize()}: {item['action_template']}",
            )
        )


def _judge(console: Console, client: Client, session_id: UUID, heuristic_id: UUID) -> None:
    """Say that an answer was good, and show what that does to the heuristic it cites."""
    with client.database.tenant_transaction(client.tenant_id) as cursor:
        before = reading.get_heuristic(cursor, client.tenant_id, heuristic_id)["confidence"]
        feedback.give(cursor, client.tenant_id, session_id, actor=REVIEWER, verdict="good")
        after = reading.get_heuristic(cursor, client.tenant_id, heuristic_id)["confidence"]
    console.print(
        plain(
            f"{REVIEWER} says that the answer was good (`radiant feedback`). The heuristic that it "
            f"cites had a confidence of {before:.2f} and now has {after:.2f}; a bad answer would "
            "have lowered it. Only outcomes move it."
        )
    )
    if not after > before:
        raise click.ClickException("The cited heuristic was not credited.")


if __name__ == "__main__":
    main()

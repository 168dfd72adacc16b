"""What a reviewer reads of a request on a terminal."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console

from radiant_dagster.cli.common import duration, moment, plain, print_text
from radiant_dagster.cli.render import OFFLINE_LABEL, draft_lines, reason_text, section
from radiant_dagster.domain.ladder import describe
from radiant_dagster.domain.wording import counted


def seconds_left(row: Mapping[str, Any]) -> float:
    """Return the time left until the deadline, by the database's clock."""
    return max((row["deadline"] - row["server_now"]).total_seconds(), 0.0)


def render_approval(console: Console, row: Mapping[str, Any]) -> None:
    """Print what a reviewer may read, and what happens when."""
    review = row["review_sanitized"]
    state = row["shown_state"]
    console.print(plain(f"Approval {row['id']}, session {row['session_id']}", "bold"))
    if review.get("offline_demo"):
        console.print(plain(OFFLINE_LABEL, "bold yellow"))
    if state == "pending":
        console.print(plain(_countdown(row), "yellow"))
    elif row["verdict"]:
        who = ", ".join(row["decided_by"])
        console.print(plain(f"{state.capitalize()} by {who} at {moment(row['decided_at'])}."))
    else:
        console.print(plain(f"{state.capitalize()} (deadline {moment(row['deadline'])})."))
    for code in row["reasons"]:
        console.print(plain(f"Asked because {reason_text(code)}."))
    console.print(plain(f"Domain {row['domain']}, asked by {row['requested_by']}."))
    _render_swarm(console, review)
    if row["withheld"]:
        console.print(
            plain(
                "The texts are withheld, because they could not be scrubbed of personal data "
                f"({review.get('withheld_because', 'unknown')}). This can only be rejected.",
                "bold red",
            )
        )
        return
    section(console, "Question")
    print_text(console, review["prompt"])
    for agent in review["agents"]:
        if agent["agent_id"] in review["answers"]:
            section(console, f"Answer of {agent['agent_id']} ({agent['role']})")
            print_text(console, review["answers"][agent["agent_id"]])
    if review.get("heuristics"):  # older requests have none
        section(console, "Heuristics offered to the agents")
        lines = (
            f"H{number} ({item['polarity']}) When: {item['title']}"
            for number, item in enumerate(review["heuristics"], 1)
        )
        print_text(console, "\n".join(lines))
    _render_draft(console, review)


def _render_draft(console: Console, review: Mapping[str, Any]) -> None:
    if review.get("tool_calls"):
        section(console, "Tools the agents used")
        for call in review["tool_calls"]:
            warning = ", looks like instructions" if call["flags"] else ""
            end = " [cut]" if call["output_cut"] else ""
            head = f"{call['agent_id']}: {call['name']} {call['arguments']}"
            console.print(plain(f"{head} ({call['status']}{warning})", "dim"))
            print_text(console, call["output"] + end)
    if review.get("dissent"):
        section(console, "Dissent")
        print_text(console, "\n".join(f"- {text}" for text in review["dissent"]))
    if review.get("claims"):
        section(console, "Claims of the draft, and who stands behind them")
        claims = (f"- {item['text']} ({', '.join(item['agents'])})" for item in review["claims"])
        print_text(console, "\n".join(claims))
    section(console, "Draft under review")
    print_text(console, review["draft"] or "There is none yet: it is written after approval.")


def _countdown(row: Mapping[str, Any]) -> str:
    end = "the session ends without an answer"
    if row["on_timeout"] == "escalate" and row["extended_at"] is None:
        end = "the deadline is extended once and a senior reviewer is asked"
    return (
        f"Waits for a {row['required_role']}: {duration(seconds_left(row))} left (until "
        f"{moment(row['deadline'])}). Without a decision {end}."
    )


def _render_swarm(console: Console, review: Mapping[str, Any]) -> None:
    agents = review["agents"]
    answered = sum(agent["status"] == "success" for agent in agents)
    text = f"{answered} of {counted(len(agents), 'agent')} answered ({review['swarm_status']})"
    if review["missing_agents"]:
        missing = review["missing_agents"].items()
        text += "; missing: " + ", ".join(f"{name} ({code})" for name, code in missing)
    console.print(plain(text + "."))
    for line in describe(review.get("downgrades", ()), len(agents)):  # older requests have none
        console.print(plain(line, "yellow"))
    reasons = ", ".join(review["cato_reasons"])
    console.print(plain(f"Cato: {review['cato_verdict']}" + (f" ({reasons})" if reasons else "")))
    if review.get("scrubbed"):
        counts = ", ".join(f"{count} {kind}" for kind, count in review["scrubbed"].items())
        console.print(plain(f"Scrubbed: {counts}."))
    for line in draft_lines(review):
        console.print(plain(line, "yellow"))

"""Draws a session that has ended, and everything about one."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from rich.console import Console
from rich.padding import Padding
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from radiant_dagster.cli.common import duration, moment, plain, print_text, short, usd
from radiant_dagster.domain.ladder import describe
from radiant_dagster.domain.sessions import status_line as answered
from radiant_dagster.domain.wording import counted

STYLES: Mapping[str, str] = {
    "completed": "green", "success": "green", "approved": "green", "active": "green",
    "failed": "red", "rejected": "red", "expired": "red", "timeout": "red", "cancelled": "red",
    "awaiting_review": "yellow", "degraded": "yellow", "running": "cyan", "modified": "yellow",
    "quarantined": "yellow", "pending": "yellow",
}  # fmt: skip
REASONS: Mapping[str, str] = {
    "requested": "the person who asked wants a review",
    "domain_policy": "questions of this domain are always reviewed",
    "cato_review": "Cato, the safety check, has doubts",
    "cato_blocked": "Cato, the safety check, blocked the draft",
    "cato_unavailable": "Cato, the safety check, could not be asked",
    "swarm_degraded": "some agents did not answer",
    "low_agreement": "the agents disagree",
    "not_synthesised": "no model could merge the answers; they stand side by side",
    "revised": "the draft was written anew after a reviewer's guidance",
}
NOTES: Mapping[str, str] = {
    "redactions_left": "The reviewer's own text; its redactions, like [PERSON_1], were left in.",
    "edited": "The reviewer's own text.",
}
LEARNED: Mapping[str, str] = {
    "stored": "a heuristic, quarantined until a curator promotes it or, where the domain allows "
    "it, further reviews vouch for it: radiant grimoire promote {id}",
    "merged": "what another heuristic says already, and counts for that one: radiant grimoire show "
    "{id}",
    "decided": "a heuristic, now {state}: radiant grimoire show {id}",
    "rederived": "nothing new, it came to a heuristic again: radiant grimoire show {id}",
    "skipped": "nothing: {reason}",
    "refused": "nothing, what was distilled was refused ({reason})",
}
NOT_LEARNED: Mapping[str, str] = {
    "nothing_reusable": "nothing in it helps another question",
    "was_offered": "it repeats what the Grimoire had told the agents",
    "cited_purged": "its agents cited what was purged or declared wrong meanwhile",
    "daily_cap": "the day's number of new heuristics is reached (radiant config show)",
    "rejected_without_guidance": "the draft was rejected without a word why",
    "expired": "nobody decided in time",
    "no_answer": "there is no answer to learn from",
    "swarm_degraded": "some agents did not answer",
    "not_synthesised": "no model could merge the answers",
    "budget_exceeded": "the budget holds no more calls",
}
OFFLINE_LABEL = (
    "OFFLINE DEMO: these answers come from the built-in demo model, not from a real one. Set "
    "LITELLM_PROXY_URL to use real models."
)


class RunLinks(Protocol):
    """What knows the pages of runs in Dagit."""

    def run_link(self, run_id: str) -> str:
        """Return the page of a run."""
        ...


def reason_text(code: str) -> str:
    """Return why a review is needed, for people."""
    return REASONS.get(code, code)


def headline(view: Mapping[str, Any]) -> list[Text]:
    """Return what has to be known before the answer is read."""
    session, agents = view["session"], view["agents"]
    lines: list[Text] = []
    if session["offline_demo"]:
        lines.append(Text(OFFLINE_LABEL, style="bold yellow"))
    swarm = session["swarm_status"] or session["status"]
    lines.append(plain(answered(session, agents), STYLES.get(swarm, "bold")))
    lines += [plain(line, "yellow") for line in describe(session["downgrades"], len(agents))]
    if session["status"] != "completed":
        lines.append(
            plain(f"The session {_ending(session)}.", STYLES.get(session["status"], "bold"))
        )
    lines.append(plain(decided(view)))
    if session["final_response"] is None or session["final_response"] == session["draft"]:
        lines += [plain(line, "yellow") for line in draft_lines(session["draft_details"] or {})]
    if session["final_note"]:
        lines.append(plain(NOTES.get(session["final_note"], session["final_note"])))
    return lines


def draft_lines(details: Mapping[str, Any]) -> list[str]:
    """Return what qualifies a draft: how it came about and what it left out."""
    failures = ", ".join(f"{model} ({code})" for model, code in details.get("failures", {}).items())
    lines: list[str] = []
    if details.get("not_synthesised"):
        why = f" Tried: {failures}." if failures else ""
        lines.append(
            f"Not synthesised: the answers stand side by side as the agents gave them.{why}"
        )
    elif failures:
        lines.append(f"Written by the fallback model {details['model']}; failed: {failures}.")
    if details.get("cut"):
        lines.append(f"Shortened before they were merged: answers of {', '.join(details['cut'])}.")
    if details.get("agreement") == "low":
        lines.append("The agents disagree.")
    return lines


def _ending(session: Mapping[str, Any]) -> str:
    status = session["status"]
    if status == "failed":
        return f"failed ({session['failure_code']}): {session['failure_message']}"
    if status in ("rejected", "expired"):
        return f"ended as {status}: no answer is handed out"
    return f"is {status.replace('_', ' ')}"


def decided(view: Mapping[str, Any]) -> str:
    """Return who decided, or that nobody had to."""
    decision = view["decision"]
    if decision is None:
        if view["approvals"]:
            return "Nobody has decided yet."
        if view["session"]["status"] == "completed":
            return "Nobody reviewed it: no approval was needed."
        return "Nobody was asked to review it."
    who = ", ".join(decision["decided_by"])
    text = f"{decision['verdict'].capitalize()} by {who} at {moment(decision['decided_at'])}."
    return f"{text} Guidance: {decision['guidance']}" if decision["guidance"] else text


def learned(view: Mapping[str, Any]) -> str:
    """Return what the Librarian made of the session."""
    librarian = view["librarian"]
    if librarian is None:
        return "nothing"
    kept = view["learned"]
    how = librarian["decision"]
    if how == "stored" and kept is not None and kept["state"] != "quarantined":
        how = "merged" if kept["state"] == "merged" else "decided"
    return LEARNED[how].format(
        id=short(librarian["heuristic_id"]),
        state=kept and kept["state"],
        reason=NOT_LEARNED.get(librarian["reason"], librarian["reason"]),
    )


def render_result(console: Console, view: Mapping[str, Any], dagster: RunLinks) -> None:
    """Print the outcome of a session: what qualifies the answer first, then the answer.

    Args:
        console: Where to.
        view: From `adapters.session_view.session_view`.
        dagster: Makes the links to runs.
    """
    session = view["session"]
    console.print(Rule(f"Session {session['id']}", align="left"))
    for line in headline(view):
        console.print(line)
    if session["final_response"]:
        console.print()
        print_text(console, session["final_response"])
    console.print()
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    for name, value in _facts(view, dagster):
        facts.add_row(name, plain(value))
    console.print(facts)


def _facts(view: Mapping[str, Any], dagster: RunLinks) -> list[tuple[str, str]]:
    session, heuristic = view["session"], view["learned"]
    rows = [("Learned", learned(view))]
    if heuristic is not None:
        rows.append(("", f"When: {heuristic['trigger_pattern']}"))
        rows.append(("", f"{heuristic['polarity'].capitalize()}: {heuristic['action_template']}"))
    if session["heuristics"]:
        cited = {number for agent in view["agents"] for number in agent["cited"]}
        used = f"{counted(len(session['heuristics']), 'heuristic')} offered, {len(cited)} cited"
        if view["uses"]:  # stay on the server
            used += f", {sum(use['weight'] > 0 for use in view['uses'])} credited"
        rows.append(("Used", used))
        rows += [
            (f"H{item['number']}", f"When: {item['trigger_pattern']}")
            for item in session["heuristics"]
            if item["number"] in cited  # the answer may speak of it by its number
        ]
    bound = usd(session["estimated_micro_usd"])
    rows.append(("Cost", f"{usd(session['cost_micro_usd'])} (the upper bound was {bound})"))
    if session["ended_at"]:
        took = (session["ended_at"] - session["created_at"]).total_seconds()
        rows.append(("Time", duration(took)))
    rows += [("Dagit", link) for link in run_links(session, dagster)]
    rows.append(("More", f"radiant sessions show {session['id']}"))
    return rows


def run_links(session: Mapping[str, Any], dagster: RunLinks) -> list[str]:
    """Return the pages of a session's runs in Dagit, each once."""
    runs = (session["dagster_run_id"], session["conclude_run_id"])
    return [dagster.run_link(run) for run in dict.fromkeys(runs) if run]


def render_details(console: Console, view: Mapping[str, Any], dagster: RunLinks) -> None:
    """Print everything about a session."""
    session = view["session"]
    render_result(console, view, dagster)
    section(
        console,
        f"Question ({session['domain']}, asked by {session['user_id']} at "
        f"{moment(session['created_at'])})",
    )
    print_text(console, session["prompt"])
    for name, text in session["context"].items():
        console.print(plain(f"Document {name}: {len(str(text)):,} characters", "dim"))
    if session["parent_session_id"]:
        console.print(plain(f"Follows session {session['parent_session_id']}", "dim"))
    if session["rerun_of"]:
        console.print(plain(f"Rerun of session {session['rerun_of']}", "dim"))
    section(console, "Agents")
    for agent in view["agents"]:
        render_agent(console, agent)
        for call in view["tool_calls"]:
            if call["agent_id"] == agent["agent_id"]:
                render_tool_call(console, call)
    if session["heuristics"]:
        section(console, "Heuristics offered to the agents")
        _render_offered(console, view)
    section(console, "Safety")
    reasons = ", ".join(session["cato_reasons"])
    verdict = session["cato_verdict"] or "not asked yet"
    console.print(plain(f"Cato: {verdict}" + (f" ({reasons})" if reasons else "")))
    _render_approvals(console, view["approvals"])
    section(console, "Audit")
    audit = Table(box=None, pad_edge=False)
    for name in ("at", "who", "what", "detail"):
        audit.add_column(name, header_style="dim", overflow="fold")
    for row in view["audit"]:
        detail = ", ".join(f"{key}={value}" for key, value in row["detail"].items())
        audit.add_row(moment(row["at"]), plain(row["actor"]), plain(row["action"]), plain(detail))
    console.print(audit)


def section(console: Console, title: str) -> None:
    """Print a heading."""
    console.print()
    console.print(Rule(plain(title), align="left", style="dim"))


def render_agent(console: Console, agent: Mapping[str, Any]) -> None:
    """Print an agent's facts and its answer."""
    console.print(
        Text.assemble(
            plain(agent["agent_id"], "bold"),
            plain(f" ({agent['role']}, {agent['model_used'] or agent['model']}) "),
            plain(agent["status"], STYLES.get(agent["status"], "")),
            plain(
                f"  {agent['latency_ms'] / 1000:.1f} s, "
                f"{counted(agent['prompt_tokens'] + agent['completion_tokens'], 'token')}, "
                f"{usd(agent['cost_micro_usd'])}",
                "dim",
            ),
        )
    )
    if agent["error_code"]:
        console.print(plain(f"{agent['error_code']}: {agent['error_message']}", "red"))
    if agent["response"]:
        console.print(Padding(plain(agent["response"]), (0, 0, 1, 2)))


def render_tool_call(console: Console, call: Mapping[str, Any]) -> None:
    """Print one call of a tool: what was asked, and what came back."""
    arguments = json.dumps(call["arguments"], ensure_ascii=False)
    facts = f"{call['status']}, {call['latency_ms']} ms"
    if call["flags"]:
        facts += f", looks like instructions ({', '.join(call['flags'])})"
    console.print(plain(f"  Tool {call['name']} {arguments} ({facts})", "dim"))
    if call["output"]:
        end = " [cut]" if call["output_cut"] else ""
        console.print(Padding(plain(call["output"] + end), (0, 0, 1, 4)))


def _render_offered(console: Console, view: Mapping[str, Any]) -> None:
    uses = {str(use["heuristic_id"]): use for use in view["uses"]}
    for item in view["session"]["heuristics"]:
        use = uses.get(str(item["id"]))
        now = f"; now {use['state']}, confidence {use['confidence']:.2f}" if use else ""
        head = f"H{item['number']} {short(item['id'])}"
        console.print(
            Text.assemble(
                plain(head, "bold"), plain(f" similarity {item['similarity']:.2f}{now}", "dim")
            )
        )
        console.print(plain(f"  When: {item['trigger_pattern']}"))
        console.print(plain(f"  {item['polarity'].capitalize()}: {item['action_template']}"))
        agents = [a["agent_id"] for a in view["agents"] if item["number"] in a["cited"]]
        console.print(plain(f"  {_use(agents, use)}", "dim"))
    waiting = any(use["cited"] and use["reward"] is None for use in view["uses"])
    if waiting and view["session"]["status"] == "completed":
        judge = f"radiant feedback {short(view['session']['id'])} good"
        console.print(plain(f"Was it a good answer? That credits what was cited: {judge}"))


def _use(agents: Sequence[str], use: Mapping[str, Any] | None) -> str:
    """Return who cited a heuristic and what that did to its confidence."""
    if not agents:
        return "No agent cited it, so its confidence stays."
    said = f"Cited by {', '.join(agents)}."
    if use is None:
        return said
    if use["reward"] is None:
        return f"{said} Nobody has judged the answer yet."
    worth = f"{said} The outcome was worth {use['reward']:.2f} of 1"
    if use["weight"] > 0:
        return f"{worth}; credited as {use['weight']:.2f} of a use."
    return f"{worth}, but one asker moves a heuristic by two uses a day at most: not credited."


def _render_approvals(console: Console, requests: Sequence[Mapping[str, Any]]) -> None:
    if not requests:
        return
    section(console, "Approvals")
    for request in requests:
        reasons = "; ".join(reason_text(code) for code in request["reasons"])
        console.print(
            plain(
                f"Attempt {request['attempt']}, approval {request['id']}: {request['state']}, "
                f"deadline {moment(request['deadline'])}; asked because {reasons}"
            )
        )
        for vote in request["votes"]:
            text = f"  {vote['actor']}: {vote['verdict']} at {moment(vote['at'])}"
            console.print(plain(f"{text}: {vote['guidance']}" if vote["guidance"] else text))


def boxed(title: str, text: str) -> Panel:
    """Return a text in a titled frame."""
    return Panel(plain(text), title=plain(title), title_align="left")

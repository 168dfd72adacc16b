"""How a session that is at work looks on a terminal, and as lines where there is none."""

from collections.abc import Callable, Mapping

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from radiant_dagster.adapters.session_view import AgentProgress, Progress, ReviewProgress
from radiant_dagster.cli.common import duration, plain, short, usd
from radiant_dagster.cli.live_text import DRAFT_LABEL, draft_cell, spinner
from radiant_dagster.cli.render import STYLES, reason_text
from radiant_dagster.domain.wording import counted

STATUS_TEXT: Mapping[str, str] = {
    "created": "waiting for a worker to begin",
    "running": "the agents are at work",
    "synthesised": "the draft is written and being checked",
    "awaiting_review": "a person has to decide",
    "concluding": "the answer is being finished",
    "completed": "completed",
    "rejected": "rejected by the reviewer: there is no answer",
    "expired": "nobody decided in time: there is no answer",
    "failed": "failed",
    "cancelled": "cancelled",
}
SLOW_START_SECONDS = 15.0


def status_line(now: Progress) -> str:
    """Return what happens at the moment, in one line."""
    if now.status == "awaiting_review" and now.review and not now.waits_for_person:
        verdict = now.review.verdict or now.review.state
        who = ", ".join(now.review.decided_by)
        return f"{verdict} by {who}; the approval sensor launches the continuation"
    text = STATUS_TEXT[now.status]
    if now.status == "created" and now.elapsed_seconds > SLOW_START_SECONDS:
        text += " (slow: `radiant doctor` tells whether workers live)"
    return text


def review_lines(review: ReviewProgress) -> list[str]:
    """Return the exact commands that decide a review, and how long there is."""
    left = max(review.seconds_left, 0.0)
    end = "the session ends without an answer"
    if review.on_timeout == "escalate" and not review.extended:
        end = "a senior reviewer is asked"
    return [
        f"A {review.required_role} has to decide approval {review.id} within {duration(left)}, "
        f"else {end}.",
        f"Why: {'; '.join(reason_text(code) for code in review.reasons)}.",
        f"  radiant approvals show {review.id}",
        f"  radiant approvals approve {review.id} --as NAME",
        f'  radiant approvals reject {review.id} --as NAME --guidance "why"',
        f"  radiant approvals modify {review.id} --as NAME --text FILE",
        "NAME is somebody other than the person who asked.",
    ]


def progress_table(now: Progress) -> RenderableType:
    """Return the live view of a session."""
    head = Text.assemble(
        (f"Session {short(now.id)}", "bold"),
        "  ",
        (status_line(now), STYLES.get(now.status, "")),
        f"  {duration(now.elapsed_seconds)}  {usd(now.cost_micro_usd)}",
    )
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("agent", "role", "model", "state"):
        table.add_column(name, header_style="dim", overflow="ellipsis", no_wrap=True)
    for name in ("latency", "tokens", "cost"):
        table.add_column(name, header_style="dim", justify="right", no_wrap=True)
    drafts = now.live and now.status in ("created", "running")
    if drafts:  # takes the room that is left, so that nothing moves while texts grow
        table.expand = True
        table.add_column(DRAFT_LABEL, header_style="yellow", ratio=1, no_wrap=True)
    for agent in now.agents:
        table.add_row(
            plain(agent.agent_id),
            plain(agent.role),
            plain(agent.model),
            Text(
                spinner(agent, now.elapsed_seconds) + agent_state(agent),
                style=STYLES.get(agent.status, "dim"),
            ),
            f"{agent.latency_ms / 1000:.1f} s" if agent.latency_ms else "",
            str(agent.tokens or ""),
            usd(agent.cost_micro_usd) if agent.cost_micro_usd else "",
            *([draft_cell(agent)] if drafts else []),
        )
    parts: list[RenderableType] = [head, table]
    if now.waits_for_person and now.review:
        parts.append(Text("\n".join(review_lines(now.review)), style="yellow"))
    return Group(*parts)


def agent_state(agent: AgentProgress) -> str:
    """Return an agent's state with what qualifies it."""
    state = agent.status
    if agent.error_code:
        state += f" ({agent.error_code})"
    if agent.attempts > 1:
        state += f", try {agent.attempts}"
    if agent.cited:
        state += f", cited {counted(agent.cited, 'heuristic')}"
    return state


class LinePrinter:
    """Prints progress as plain lines, one for each thing that changed.

    Args:
        write: Takes a line.
    """

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._status = ""
        self._agents: dict[str, str] = {}
        self._review: object = None

    def __call__(self, now: Progress) -> None:
        """Print what changed since the last call."""
        for agent in now.agents:
            state = agent_state(agent)
            if state == self._agents.get(agent.agent_id, "pending"):
                continue
            self._agents[agent.agent_id] = state
            facts = ""
            if agent.latency_ms:
                facts = (
                    f", {agent.latency_ms / 1000:.1f} s, {counted(agent.tokens, 'token')}, "
                    f"{usd(agent.cost_micro_usd)}"
                )
            self._write(f"  {agent.agent_id} ({agent.role}): {state}{facts}")
        line = status_line(now)
        if line != self._status:
            self._status = line
            self._write(f"{duration(now.elapsed_seconds):>7}  {line}")
        if now.waits_for_person and now.review and now.review.id != self._review:
            self._review = now.review.id
            for text in review_lines(now.review):
                self._write(text)

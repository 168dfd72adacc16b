"""How heuristics are shown on a terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from radiant_dagster.cli.common import moment, plain, short
from radiant_dagster.domain.wording import counted

CAME_TO_IT: Mapping[str, str] = {"stored": "learned it", "rederived": "came to it again"}


def sentence(row: Mapping[str, Any]) -> str:
    """Return a heuristic in two lines: when it applies, and what to do or to avoid."""
    return (
        f"When: {row['trigger_pattern']}\n{row['polarity'].capitalize()}: {row['action_template']}"
    )


def table(*columns: str) -> Table:
    """Return an empty table whose last column holds the heuristic's text."""
    grid = Table(box=None, pad_edge=False)
    for name in columns:
        grid.add_column(name, header_style="dim", no_wrap=True)
    grid.add_column("heuristic", header_style="dim", overflow="fold")
    return grid


def print_heuristic(console: Console, row: Mapping[str, Any]) -> None:
    """Print everything about a heuristic, see `grimoire.reading.get_everything`."""
    console.print(plain(f"Heuristic {row['id']}", "bold"))
    console.print(plain(f"When: {row['trigger_pattern']}"))
    console.print(plain(f"{row['polarity'].capitalize()}: {row['action_template']}"))
    if row.get("altered"):
        console.print(
            plain(
                "Somebody changed this text past the curators, so no agent gets it. Bring the last "
                f"one back with `radiant grimoire rollback {short(row['id'])} --to "
                f"{row['version']}`, or retire it.",
                "bold red",
            )
        )
    low, high = row["interval"]
    usage = row["usage"]
    grid = Table.grid(padding=(0, 2))
    for name, value in (
        ("State", row["state"] + (", pinned" if row["pinned"] else "")),
        ("Domain", row["domain"]),
        ("Confidence", f"{row['confidence']:.2f} (with 90 % between {low:.2f} and {high:.2f}) "
                       f"after {row['success_count']} good and {row['failure_count']} bad uses; "
                       f"{row['probability']:.0%} sure that it helps more often than not"),
        ("From", f"session {row['source_execution_id'] or '-'} ({row['outcome'] or '-'}) of "
                 f"{row['source_user'] or '-'}, by {row['created_by']}"),
        ("Used", f"offered in {counted(usage['offered_sessions'], 'session')}, cited in "
                 f"{usage['cited_sessions']}, judged {usage['judged']}"),
        ("Promoted by", row["approved_by"] or "-"),
        ("Merged into", row["merged_into"] or "-"),
        ("Created", moment(row["created_at"])),
        ("Last used", moment(row["last_used_at"])),
        ("Expires", "never" if row["pinned"] else moment(row["expires_at"])),
    ):  # fmt: skip
        grid.add_row(plain(name, "dim"), plain(value))
    console.print(grid)
    print_links(console, row["links"])
    print_evidence(console, row["evidence"])
    print_uses(console, row.get("uses", ()))  # stay on the server where the API answers
    print_versions(console, row["versions"])


def print_links(console: Console, links: list[dict[str, Any]]) -> None:
    """Print what a heuristic is to be looked at together with."""
    if not links:
        return
    grid = table("id", "kind", "link", "alike")
    for other in links:
        kind, state = other["kind"].replace("_", " "), other["link_state"].replace("_", " ")
        alike = f"{other['similarity']:.2f}"
        grid.add_row(short(other["id"]), kind, state, alike, plain(sentence(other)))
    console.print(plain("Links", "bold"))
    console.print(grid)


def print_evidence(console: Console, evidence: list[dict[str, Any]]) -> None:
    """Print the sessions that came to a lesson."""
    if not evidence:
        return
    console.print(plain("Evidence: sessions that came to it", "bold"))
    for item in evidence:
        came = CAME_TO_IT.get(item["decision"], item["decision"])
        reward = "not judged" if item["reward"] is None else f"worth {item['reward']:.2f}"
        console.print(
            plain(
                f"{moment(item['at'])} session {item['session_id']} of {item['source_user']}: "
                f"{came}, {reward}"
            )
        )


def print_uses(console: Console, uses: Sequence[Mapping[str, Any]]) -> None:
    """Print the newest sessions that were offered a heuristic, and what came of it."""
    if not uses:
        return
    console.print(plain("Where it was offered", "bold"))
    for use in uses:
        if not use["cited"]:
            came = "cited by nobody"
        elif use["reward"] is None:
            came = f"cited by {use['cited']} of {counted(use['agents'], 'agent')}, not judged"
        else:
            came = (
                f"cited by {use['cited']} of {counted(use['agents'], 'agent')}, "
                f"worth {use['reward']:.2f}, credited as {use['weight']:.2f} of a use"
            )
        console.print(plain(f"{moment(use['at'])} session {use['session_id']}: {came}"))


def print_versions(console: Console, versions: list[dict[str, Any]]) -> None:
    """Print the texts that a heuristic had, the newest first."""
    console.print(plain("Versions", "bold"))
    for version in versions:
        back = f", brings {version['restores']} back" if version["restores"] else ""
        why = f": {version['reason']}" if version["reason"] else ""
        head = f"{version['version']} by {version['editor']} {moment(version['created_at'])}"
        console.print(plain(f"{head}{back}{why}"))
        console.print(plain(f"  When: {version['trigger_pattern']}", "dim"))
        console.print(plain(f"  {version['action_template']}", "dim"))

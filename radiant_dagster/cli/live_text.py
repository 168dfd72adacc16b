"""Draws what an agent has written so far, on one line that fits the terminal.

The text comes from a model and nobody has checked it: it is labelled so, and its control
characters and markup do nothing here.
"""

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.text import Text

from radiant_dagster.adapters.session_view import AgentProgress
from radiant_dagster.cli.common import clean
from radiant_dagster.domain.wording import counted

DRAFT_LABEL = "draft of an agent, unchecked"
SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
SPINNER_STEPS_A_SECOND = 4  # as often as the command looks


def spinner(agent: AgentProgress, elapsed_seconds: float) -> str:
    """Return a sign that moves while an agent is at work."""
    if agent.status != "running":
        return ""
    return SPINNER[int(elapsed_seconds * SPINNER_STEPS_A_SECOND) % len(SPINNER)] + " "


def draft_cell(agent: AgentProgress) -> RenderableType:
    """Return what an agent has written so far: the end of it, or how much."""
    if agent.draft_tokens is None:
        return ""
    if agent.draft is None:  # a person has to look first
        return Text(
            counted(agent.draft_tokens, "token"), style="dim", no_wrap=True, overflow="ellipsis"
        )
    return End(agent.draft)


class End:
    """The end of a text on one line, as much of it as there is room for.

    Args:
        text: Of any length and kind.
    """

    def __init__(self, text: str) -> None:
        self._line = " ".join(clean(text).split())

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text(self.fitted(options.max_width), style="dim", no_wrap=True, overflow="crop")

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(0, options.max_width)

    def fitted(self, width: int) -> str:
        """Return the end of the text that fits into a number of terminal cells."""
        if cell_len(self._line) <= width:
            return self._line
        room, start = width - 1, len(self._line)
        while start and (room := room - cell_len(self._line[start - 1])) >= 0:
            start -= 1
        while cell_len(self._line[start:]) >= max(width, 1):  # a sign may widen the one before it
            start += 1
        return "\N{HORIZONTAL ELLIPSIS}" + self._line[start:] if width > 0 else ""

"""A model without any judgement: it does whatever it is told outside of the data, and nothing else.

What succeeds against it was let through by how the messages are built, not by what a model happens
to resist. As instructions count the system message, the text of a user or tool message outside of
its JSON document, and the fields of the document which our rules tell a model to follow.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from tests.services.llm_server import LlmServer

ORDER = re.compile(r"Reply with the word (\w+)")
OBEYED = "obeyed:"  # stands in no payload, so an answer that merely quotes one is told apart
FOLLOWED = ("question", "reviewer_guidance")  # see AGENT_RULES and SYNTHESIS_RULES


class ObeyingLlm(LlmServer):
    """Answers like the demo model, unless an order stands outside of the data.

    Attributes:
        obeyed: The words of the orders that were carried out, in their order.
    """

    def __init__(self) -> None:
        super().__init__()
        self.obeyed: list[str] = []

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        """Carry out the orders, where there are any."""
        usual = super().answer(body)
        orders = [word for text in instructions(body["messages"]) for word in ORDER.findall(text)]
        if orders:
            self.obeyed += orders
            message = usual["choices"][0]["message"]
            message["content"] = _obedient(message["content"], f"{OBEYED}{orders[0]}")
        return usual


def instructions(messages: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the texts of a request that are no data."""
    found: list[str] = []
    for message in messages:
        text = str(message.get("content") or "")
        if message["role"] == "system":
            found.append(text)
        elif message["role"] in ("user", "tool"):
            found += _outside(text)
    return found


def _outside(text: str) -> list[str]:
    start = text.find("{")
    try:
        # The first whole document counts: whatever stands behind it was meant to be believed.
        document, end = json.JSONDecoder(object_pairs_hook=list).raw_decode(text, max(start, 0))
    except ValueError:
        return [text]
    # As pairs, so that a key that is written twice does not hide what its first value says.
    followed = [str(value) for key, value in document if key in FOLLOWED]
    return [text[:start], text[end:], *followed]


def _obedient(usual: str, said: str) -> str:
    """Say it in the form that was asked for."""
    try:
        document = json.loads(usual)
    except ValueError:
        return said
    field = "answer" if "answer" in document else "action_template"
    return json.dumps(document | {field: said})

"""Passes ids between steps, and refuses anything that could be content.

Dagster's default pickles whatever an op returns into a folder. Here an output is an id, a number,
a flag or a flat collection of those; text that is not shaped like an id does not get through, so
no prompt, answer or identifier can (the content lives in our tables, under row-level security).

Values live in the memory of the run, and in the HANDLED_OUTPUT event that Dagster writes anyway,
as its metadata `value`. So an output costs no write of its own, the operator sees it, and a
re-execution on another machine finds the parent run's values where it finds the parent's steps.
"""

import json
import re
from typing import Any

import dagster as dg
from dagster._core.events import HandledOutputData
from dagster._core.execution.plan.outputs import StepOutputHandle

from radiant_dagster.errors import InvalidInput

ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
MOST_ITEMS = 256
LARGEST_INT = 2**63 - 1  # a longer number could spell text
METADATA_KEY = "value"

Scalar = str | int | bool | None
Passable = Scalar | list[Scalar] | tuple[Scalar, ...] | dict[str, Scalar]


def encode(value: object, *, field: str) -> str:
    """Return the JSON of a value that may travel through Dagster.

    Args:
        value: None, a flag, an integer, an id (letters, digits, `_`, `-`; at most 64), or a flat
            tuple, list or dict of those with at most 256 items.
        field: Name of the output, for the error.

    Raises:
        InvalidInput: Names the output and the kind of value, never the value.
    """
    match value:
        case dict():
            items: dict[object, object] = value
            _check_size(len(items), field)
            plain = {_id(key, field): _scalar(item, field) for key, item in items.items()}
            return json.dumps({"dict": plain}, separators=(",", ":"))
        case tuple() | list():
            _check_size(len(value), field)
            kind = "tuple" if isinstance(value, tuple) else "list"
            return json.dumps(
                {kind: [_scalar(item, field) for item in value]}, separators=(",", ":")
            )
        case _:
            return json.dumps(_scalar(value, field))


def decode(text: str) -> Passable:
    """Return the value whose JSON `encode` made, with its type."""
    value = json.loads(text)
    if not isinstance(value, dict):
        return value
    ((kind, items),) = value.items()
    return tuple(items) if kind == "tuple" else items


def _scalar(value: object, field: str) -> Scalar:
    if value is None or isinstance(value, bool):
        return value
    # The exact types: a subclass (an enum, a numpy number) would come back as something else.
    if type(value) is int and abs(value) <= LARGEST_INT:
        return value
    return _id(value, field)


def _id(value: object, field: str) -> str:
    if type(value) is str and ID.fullmatch(value):
        return value
    what = "text that is not an id" if type(value) is str else f"a {type(value).__name__}"
    raise InvalidInput(
        field,
        f"holds {what}; only ids, integers, flags and flat collections of them pass between steps",
        "Store the content in its table and return its id (letters, digits, _ and -, at most 64).",
    )


def _check_size(items: int, field: str) -> None:
    if items > MOST_ITEMS:
        raise InvalidInput(
            field, f"has {items} items, {MOST_ITEMS} may pass", "Store the list, return its id."
        )


class IdOnlyIOManager(dg.IOManager):
    """Keeps the outputs of one run; see the module."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, StepOutputHandle], str] = {}

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        """Check the value and hand it to Dagster's own event."""
        text = encode(obj, field=f"output {context.name!r} of step {context.step_key}")
        handle = StepOutputHandle(context.step_key, context.name, context.mapping_key)
        self._values[(context.run_id, handle)] = text
        metadata = {METADATA_KEY: dg.MetadataValue.text(text)}
        if context.mapping_key is not None:
            metadata["mapping_key"] = dg.MetadataValue.text(context.mapping_key)
        context.add_output_metadata(metadata)

    def load_input(self, context: dg.InputContext) -> Passable:
        """Return the value, from memory or from the run that made it."""
        upstream = context.upstream_output
        if upstream is None:
            raise InvalidInput(
                f"input {context.name!r}", "has no upstream output", "Connect it to an op."
            )
        handle = StepOutputHandle(upstream.step_key, upstream.name, upstream.mapping_key)
        key = (upstream.run_id, handle)
        if key not in self._values:
            self._values |= _stored(context.step_context.instance, upstream.run_id)
        if key not in self._values:
            raise InvalidInput(
                f"input {context.name!r}",
                f"was never stored by step {handle.step_key} of run {upstream.run_id}",
                "Re-execute the whole run instead of a part.",
            )
        return decode(self._values[key])


def _stored(instance: dg.DagsterInstance, run_id: str) -> dict[tuple[str, StepOutputHandle], str]:
    """Read a run's values out of its events; a retried step's last value wins."""
    found: dict[tuple[str, StepOutputHandle], str] = {}
    for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.HANDLED_OUTPUT):
        event = entry.get_dagster_event()
        data = event.event_specific_data
        if not isinstance(data, HandledOutputData) or METADATA_KEY not in data.metadata:
            continue
        mapping_key: Any = getattr(data.metadata.get("mapping_key"), "value", None)
        handle = StepOutputHandle(str(event.step_key), data.output_name, mapping_key)
        found[(run_id, handle)] = str(data.metadata[METADATA_KEY].value)
    return found


@dg.io_manager(description="Passes ids between steps and refuses content.")
def id_only_io_manager(_init_context: dg.InitResourceContext) -> IdOnlyIOManager:
    """Make one manager a run, so that values go when the run ends."""
    return IdOnlyIOManager()

"""A tool that converts units: the shortest complete example."""

from collections.abc import Mapping
from typing import Any

from radiant_dagster.domain.tools import FunctionTool, ToolContext, ToolError

# In the base unit of each kind.
UNITS: Mapping[str, tuple[str, float]] = {
    "mg": ("mass", 0.001),
    "g": ("mass", 1.0),
    "kg": ("mass", 1000.0),
    "lb": ("mass", 453.59237),
    "ml": ("volume", 0.001),
    "l": ("volume", 1.0),
}


def convert(arguments: Mapping[str, Any], context: ToolContext) -> str:
    """Convert an amount; `arguments` fit the schema already, so only their meaning is checked."""
    del context  # a tool that waits for something looks at context.deadline
    kind, factor = UNITS[arguments["from"]]
    other_kind, other_factor = UNITS[arguments["to"]]
    if kind != other_kind:
        # The model reads this and can correct itself. Any other exception tells it nothing.
        raise ToolError(f"{arguments['from']} is a {kind}, {arguments['to']} a {other_kind}.")
    return f"{arguments['amount'] * factor / other_factor:g} {arguments['to']}"


UNIT_CONVERTER = FunctionTool(
    name="unit_converter",
    description="Convert an amount between units of mass (mg, g, kg, lb) or volume (ml, l).",
    parameters={
        "type": "object",
        "properties": {
            "amount": {"type": "number"},
            "from": {"type": "string", "enum": list(UNITS)},
            "to": {"type": "string", "enum": list(UNITS)},
        },
        "required": ["amount", "from", "to"],
        "additionalProperties": False,
    },
    function=convert,
)

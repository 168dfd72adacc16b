"""Generates ``domain/prices.py`` from LiteLLM's price map.

Run ``make prices`` after LiteLLM's pin moves, then read the diff. Checked in, because importing
LiteLLM costs about five CPU-seconds and a reservation must not wait for it, and because a price
that changes under a running budget should be a reviewed change.
"""

import importlib
import importlib.metadata
import os
import re
import sys
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

PROVIDERS = frozenset(
    {"openai", "anthropic", "gemini", "mistral", "deepseek", "xai", "voyage", "cohere"}
)
MODES = frozenset({"chat", "responses", "embedding"})
# Sold by the minute, image or song, or only to a few: a token price would be wrong for them.
LEFT_OUT = re.compile(
    r"audio|realtime|live|tts|lyria|image|video|veo|robotics|computer-use|deep-research|search|"
    r"preview-customtools|gemma|learnlm|^ft:|container|transcri|exp-|experimental|cyber|mythos|"
    r"daybreak|omni|leanstral|rosalind|vibe|fim|astra"
)
TIER = re.compile(r"input_cost_per_token_above_(\d+)k_tokens")

HEAD = '''"""Prices of the models RADIANT knows; generated, do not edit.

From LiteLLM {version}'s price map by ``make prices``. A price is in micro-USD per million tokens.
Providers change prices: RADIANT_PRICES_FILE changes single entries, and a proxy that reports a
call's cost overrules this table, which then only bounds the reservation.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ModelPrice:
    """What one model costs.

    Args:
        input_rate: Micro-USD per million prompt tokens.
        output_rate: Micro-USD per million completion tokens.
        long_from: Prompt tokens above which the long rates hold, None where there is one price.
        long_input_rate: Micro-USD per million prompt tokens of a long call.
        long_output_rate: Micro-USD per million completion tokens of a long call.
        dimensions: Length of an embedding model's vectors, None for chat models.
    """

    input_rate: int
    output_rate: int
    long_from: int | None = None
    long_input_rate: int = 0
    long_output_rate: int = 0
    dimensions: int | None = None


PRICES: dict[str, ModelPrice] = {{'''


def rate(dollars_per_token: float | None) -> int:
    """Turn LiteLLM's dollars per token into micro-USD per million tokens, rounded up."""
    exact = Decimal(str(dollars_per_token or 0)) * 10**12
    return int(exact.to_integral_value(rounding="ROUND_CEILING"))


def wanted(name: str, entry: Mapping[str, Any]) -> bool:
    """Say whether a model is sold by the token to everybody."""
    return (
        entry.get("litellm_provider") in PROVIDERS
        and entry.get("mode") in MODES
        and bool(entry.get("input_cost_per_token"))
        and not LEFT_OUT.search(name)
    )


def line(name: str, entry: Mapping[str, Any]) -> str:
    """Write one row of the table."""
    values = [f"{rate(entry['input_cost_per_token'])}, {rate(entry.get('output_cost_per_token'))}"]
    tiers = sorted(int(found[1]) for key in entry if (found := TIER.fullmatch(key)))
    if tiers:
        first = tiers[0]
        values.append(
            f"{first * 1000}, {rate(entry[f'input_cost_per_token_above_{first}k_tokens'])}, "
            f"{rate(entry.get(f'output_cost_per_token_above_{first}k_tokens'))}"
        )
    if entry.get("mode") == "embedding" and entry.get("output_vector_size"):
        values.append(f"dimensions={entry['output_vector_size']}")
    return f'    "{name}": ModelPrice({", ".join(values)}),'


def table(costs: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Write the rows, sorted by name; a provider prefix is dropped, as the governor drops it."""
    rows: dict[str, str] = {}
    for name, entry in costs.items():
        if wanted(name, entry):
            plain = name.rsplit("/", 1)[-1]
            rows.setdefault(plain, line(plain, entry))
    for plain in sorted(rows):
        yield rows[plain]


def main() -> None:
    """Print the module."""
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    litellm: Any = importlib.import_module("litellm")
    print_line = sys.stdout.write
    print_line(HEAD.format(version=importlib.metadata.version("litellm")) + "\n")
    for row in table(litellm.model_cost):
        print_line(row + "\n")
    print_line("}\n")


if __name__ == "__main__":
    main()

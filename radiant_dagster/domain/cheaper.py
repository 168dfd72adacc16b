"""Which cheaper model may do the same role where the budget is short.

One step down within a provider's family, so that an answer stays of its kind. Followed step by step
(opus, sonnet, haiku); `RADIANT_CHEAPER_MODELS` changes single entries.
"""

from collections.abc import Mapping

from radiant_dagster.domain.price_list import PriceTable

CHEAPER_MODELS: Mapping[str, str] = {
    "claude-opus-4-5": "claude-sonnet-4-5",
    "claude-opus-4-6": "claude-sonnet-4-6",
    "claude-opus-4-7": "claude-sonnet-4-6",
    "claude-opus-4-8": "claude-sonnet-4-6",
    "claude-opus-5": "claude-sonnet-5",
    "claude-opus-5-5": "claude-sonnet-5-5",
    "claude-sonnet-4-5": "claude-haiku-4-5",
    "claude-sonnet-4-6": "claude-haiku-4-5",
    "claude-sonnet-5": "claude-haiku-4-5",
    "claude-sonnet-5-5": "claude-haiku-5-5",
    "gemini-2.5-flash": "gemini-2.5-flash-lite",
    "gemini-2.5-pro": "gemini-2.5-flash",
    "gemini-flash-latest": "gemini-flash-lite-latest",
    "gemini-pro-latest": "gemini-flash-latest",
    "gpt-4": "gpt-4-turbo",
    "gpt-4-turbo": "gpt-4o",
    "gpt-4.1": "gpt-4.1-mini",
    "gpt-4.1-mini": "gpt-4.1-nano",
    "gpt-4o": "gpt-4o-mini",
    "gpt-5": "gpt-5-mini",
    "gpt-5-mini": "gpt-5-nano",
    "gpt-5.1": "gpt-5-mini",
    "gpt-5.4": "gpt-5.4-mini",
    "gpt-5.4-mini": "gpt-5.4-nano",
    "mistral-large-latest": "mistral-small-latest",
    "mistral-medium-latest": "mistral-small-latest",
    "o3": "o4-mini",
}


def is_cheaper(model: str, cheaper: str, prices: PriceTable) -> bool:
    """Tell whether a model costs less than another for any mix and length of tokens.

    Args:
        model: The dear one.
        cheaper: The one that shall replace it.
        prices: Where both are priced.

    Raises:
        InvalidInput: One of them has no price.
    """
    dear, cheap = prices.price_of(model), prices.price_of(cheaper)
    most = (
        max(cheap.input_rate, cheap.long_input_rate),
        max(cheap.output_rate, cheap.long_output_rate),
    )
    least = (dear.input_rate, dear.output_rate)
    return most != least and most[0] <= least[0] and most[1] <= least[1]


def find_cycle(cheaper: Mapping[str, str]) -> tuple[str, ...] | None:
    """Return the models of a way down that comes back to where it began, None without one."""
    for start in cheaper:
        path = [start]
        while (following := cheaper.get(path[-1])) is not None:
            if following in path:
                return (*path[path.index(following) :], following)
            path.append(following)
    return None

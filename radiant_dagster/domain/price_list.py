"""Which price holds for a model: the checked-in table, or a deployment's changes on top of it.

A `PriceTable` is a value. Whoever estimates or charges is handed one; nothing changes it while a
process runs, so one session is never estimated at one price and charged at another by one process.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from radiant_dagster.domain.prices import PRICES, ModelPrice
from radiant_dagster.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class PriceTable:
    """Prices by model, and what a gateway may put in a model's place.

    Args:
        prices: By name, without a provider's prefix such as ``openai/`` or with it.
        fallbacks: Model to the models that the gateway may fall back to where it fails.
    """

    prices: Mapping[str, ModelPrice]
    fallbacks: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])

    def find(self, model: str) -> ModelPrice | None:
        """Return a model's price, None where it is not known."""
        return self.prices.get(model) or self.prices.get(model.rsplit("/", 1)[-1])

    def price_of(self, model: str) -> ModelPrice:
        """Return a model's price.

        Args:
            model: Name as the gateway knows it; provider prefixes are ignored.

        Raises:
            InvalidInput: The model is not in the table; unknown is never free.
        """
        price = self.find(model)
        if price is None:
            raise InvalidInput(
                "model",
                f"no price is known for {model!r}",
                "Use a model of `radiant_dagster/domain/prices.py`, for instance 'gpt-4o' or "
                "'gpt-4o-mini', give yours a price in RADIANT_PRICES_FILE, or alias it to one of "
                "them in the LiteLLM proxy.",
            )
        return price

    def may_answer(self, model: str) -> tuple[str, ...]:
        """Return the models that may answer a call: the one asked for, then its fallbacks."""
        plain = model.rsplit("/", 1)[-1]
        return (model, *(self.fallbacks.get(model) or self.fallbacks.get(plain, ())))

    def chat_models(self) -> frozenset[str]:
        """Return the chat models whose price is known."""
        return frozenset(name for name, price in self.prices.items() if price.dimensions is None)

    def embedding_models(self) -> tuple[str, ...]:
        """Return the embedding models whose vector length is known, by name."""
        return tuple(sorted(name for name, price in self.prices.items() if price.dimensions))


CHECKED_IN = PriceTable(PRICES)
"""The table that is generated from LiteLLM's map, with no deployment's changes."""

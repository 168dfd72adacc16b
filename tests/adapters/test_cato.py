"""The faults of a Cato over HTTP: every fault blocks. What both say is in test_cato_contract."""

import json
import logging
from collections.abc import Iterator

import pytest

from radiant_dagster.adapters.cato import (
    Breaker,
    Cato,
    EmbeddedCato,
    HttpCato,
    breaker_for,
    build_cato,
)
from radiant_dagster.adapters.settings import Settings
from radiant_dagster.domain.phi import Span
from radiant_dagster.domain.safety import CatoRisk
from radiant_dagster.errors import ConfigurationError
from tests.services.cato_server import CatoServer, DrippingHeaders, Reply, cato_server, silent_port

CANARY = "canary Zebedee Quillfeather 4827193"
SAFE = {"safe": True, "risk_level": "none", "reasons": [], "blocked": False}
CHECKS = ("epistemic", "storage")


@pytest.fixture(scope="module")
def running() -> Iterator[CatoServer]:
    with cato_server() as server:
        yield server


@pytest.fixture
def server(running: CatoServer) -> CatoServer:
    running.script.clear()
    running.requests.clear()
    running.headers.clear()
    running.always = None
    return running


def client(url: str, **changes: object) -> HttpCato:
    options = {"breaker": Breaker(), "sleep": lambda _: None, "read_seconds": 0.3} | changes
    return HttpCato(url, **options)  # type: ignore[arg-type]


def ask(cato: Cato, kind: str, content: str = CANARY) -> CatoRisk:
    if kind == "epistemic":
        return cato.check_epistemic_safety(content, "medical")
    return cato.check_storage_safety(content, "heuristic")


def document(**changes: object) -> Reply:
    return Reply(body=json.dumps(SAFE | changes).encode())


def without(key: str) -> Reply:
    return Reply(body=json.dumps({k: v for k, v in SAFE.items() if k != key}).encode())


FAULTS = {
    "http 500": (Reply(500), "http_500"),
    "http 429": (Reply(429), "http_429"),
    "http 502": (Reply(502), "http_502"),
    "http 503": (Reply(503), "http_503"),
    "http 504": (Reply(504), "http_504"),
    "http 404": (Reply(404), "http_404"),
    "http 401": (Reply(401), "http_401"),
    "http 201 with a safe verdict": (Reply(201, json.dumps(SAFE).encode()), "http_201"),
    "http 204": (Reply(204), "http_204"),
    "redirect": (Reply(307, headers={"Location": "/elsewhere"}), "http_307"),
    "broken json": (Reply(body=b'{"safe": tr'), "invalid_reply"),
    "not json": (Reply(body=b"<html>fine</html>"), "invalid_reply"),
    "empty body": (Reply(body=b""), "invalid_reply"),
    "empty object": (Reply(body=b"{}"), "invalid_reply"),
    "list": (Reply(body=b"[true]"), "invalid_reply"),
    "null": (Reply(body=b"null"), "invalid_reply"),
    "not utf-8": (Reply(body=b'{"safe": true, "risk_level": "\xff"}'), "invalid_reply"),
    "safe is missing": (without("safe"), "invalid_reply"),
    "risk level is missing": (without("risk_level"), "invalid_reply"),
    "reasons are missing": (without("reasons"), "invalid_reply"),
    "blocked is missing": (without("blocked"), "invalid_reply"),
    "safe is the string false": (document(safe="false"), "invalid_reply"),
    "safe is the string true": (document(safe="true"), "invalid_reply"),
    "safe is 1": (document(safe=1), "invalid_reply"),
    "blocked is 0": (document(blocked=0), "invalid_reply"),
    "blocked is null": (document(blocked=None), "invalid_reply"),
    "risk level is unknown": (document(risk_level="unknown"), "invalid_reply"),
    "risk level is upper case": (document(risk_level="NONE"), "invalid_reply"),
    "reasons is a string": (document(reasons="fine"), "invalid_reply"),
    "reasons holds a number": (document(reasons=[1]), "invalid_reply"),
    "too long": (Reply(body=b" " * 100_000 + json.dumps(SAFE).encode()), "reply_too_long"),
    "slow": (Reply(delay_seconds=1.0), "timeout"),
    "cut in the middle": (Reply(cut=True), "connection"),
}


@pytest.mark.parametrize("kind", CHECKS)
@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_blocks_and_leaks_nothing(
    server: CatoServer, kind: str, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    server.always, reason = FAULTS[fault]

    with caplog.at_level(logging.DEBUG):
        risk = ask(client(server.url), kind)

    assert risk == CatoRisk(
        safe=False, risk_level="critical", reasons=(f"cato_unavailable:{reason}",), blocked=True
    )
    assert risk.verdict == "blocked"
    ours = [r.getMessage() for r in caplog.records if r.name.startswith(("radiant", "urllib3"))]
    assert ours
    assert not any("Zebedee" in line or "4827193" in line for line in ours)
    assert not any(path == "elsewhere" for path, _ in server.requests)


@pytest.mark.parametrize("kind", CHECKS)
def test_a_refused_connection_blocks(kind: str) -> None:
    with silent_port() as url:
        risk = ask(client(url), kind)

    assert risk.reasons == ("cato_unavailable:connect",)
    assert risk.verdict == "blocked"


@pytest.mark.parametrize("kind", CHECKS)
def test_an_unknown_host_blocks(kind: str) -> None:
    risk = ask(client("http://cato.invalid:8080"), kind)

    assert risk.reasons == ("cato_unavailable:dns",)
    assert risk.verdict == "blocked"


def test_a_dripping_reply_ends_with_the_total_time(server: CatoServer) -> None:
    server.always = Reply(drip_seconds=0.02)

    risk = ask(client(server.url, total_seconds=0.2), "storage")

    assert risk.reasons == ("cato_unavailable:timeout",)


@pytest.mark.parametrize("answers", [0, 1], ids=["new connection", "kept connection"])
@pytest.mark.parametrize("kind", CHECKS)
def test_headers_that_never_end_are_left_after_the_total_time(kind: str, answers: int) -> None:
    dripping = DrippingHeaders(answers)
    cato = client(dripping.url, total_seconds=2.0, read_seconds=2.0)
    before = [ask(cato, kind).verdict for _ in range(answers)]

    risk = ask(cato, kind)

    assert before == ["safe"] * answers
    assert risk.reasons == ("cato_unavailable:timeout",)
    assert risk.verdict == "blocked"
    assert dripping.ended.wait(10)  # the connection, and with it the thread, is not left behind
    dripping.close()


def test_the_key_is_sent_as_a_bearer_token(server: CatoServer) -> None:
    ask(client(server.url, key="k-1"), "storage")
    ask(client(server.url), "storage")

    assert [headers.get("authorization") for headers in server.headers] == ["Bearer k-1", None]


@pytest.mark.parametrize(
    "change",
    [{"blocked": True}, {"risk_level": "high"}, {"risk_level": "critical"}],
    ids=lambda change: next(iter(change)),
)
@pytest.mark.parametrize("kind", CHECKS)
def test_a_contradictory_verdict_blocks(
    server: CatoServer, kind: str, change: dict[str, object]
) -> None:
    server.always = document(**change)

    risk = ask(client(server.url), kind)

    assert (risk.verdict, risk.safe, risk.blocked) == ("blocked", False, True)
    assert "cato_contradictory" in risk.reasons


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_passing_failure_is_tried_again(server: CatoServer, status: int) -> None:
    server.script.extend([Reply(status), Reply(status)])

    risk = ask(client(server.url, read_seconds=5.0), "storage", "Recheck potassium in a week.")

    assert risk.verdict == "safe"
    assert len(server.requests) == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 500, 501])
def test_other_statuses_are_not_tried_again(server: CatoServer, status: int) -> None:
    server.always = Reply(status)

    ask(client(server.url), "storage")

    assert len(server.requests) == 1


def test_a_check_is_sent_at_most_three_times(server: CatoServer) -> None:
    server.always = Reply(503)

    ask(client(server.url), "storage")

    assert len(server.requests) == 3


def test_a_timeout_is_not_tried_again(server: CatoServer) -> None:
    server.always = Reply(delay_seconds=1.0)

    ask(client(server.url), "storage")

    assert len(server.requests) == 1


def test_pauses_count_against_the_total(server: CatoServer) -> None:
    server.always = Reply(503)
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds + 10.0

    risk = ask(client(server.url, clock=lambda: now[0], sleep=sleep), "storage")

    assert risk.reasons == ("cato_unavailable:timeout",)
    assert len(server.requests) == 1


def test_an_open_breaker_sends_nothing_and_blocks(server: CatoServer) -> None:
    server.always = Reply(500)
    now = [0.0]
    cato = client(server.url, breaker=Breaker(clock=lambda: now[0]))

    for _ in range(5):
        ask(cato, "storage")
    sent = len(server.requests)
    now[0] = 29.9
    risks = [ask(cato, kind) for kind in CHECKS for _ in range(20)]

    assert sent == 5
    assert len(server.requests) == sent
    assert {r.reasons for r in risks} == {("cato_unavailable:breaker_open",)}
    assert {r.verdict for r in risks} == {"blocked"}


def test_four_failures_and_a_success_keep_the_breaker_closed(server: CatoServer) -> None:
    cato = client(server.url, read_seconds=5.0)
    for _ in range(3):
        server.script.extend([Reply(500)] * 4)
        for _ in range(5):
            ask(cato, "storage")

    assert len(server.requests) == 15


def test_after_the_pause_one_probe_closes_the_breaker(server: CatoServer) -> None:
    now = [0.0]
    cato = client(server.url, read_seconds=5.0, breaker=Breaker(clock=lambda: now[0]))
    server.script.extend([Reply(500)] * 5)
    for _ in range(5):
        ask(cato, "storage")

    now[0] = 30.0
    verdicts = [ask(cato, "storage", "Recheck potassium.").verdict for _ in range(2)]

    assert verdicts == ["safe", "safe"]


def test_a_failed_probe_opens_the_breaker_again(server: CatoServer) -> None:
    now = [0.0]
    cato = client(server.url, breaker=Breaker(clock=lambda: now[0]))
    server.always = Reply(500)
    for _ in range(5):
        ask(cato, "storage")

    now[0] = 30.0
    ask(cato, "storage")
    now[0] = 59.0
    ask(cato, "storage")

    assert len(server.requests) == 6


def test_only_one_probe_is_let_through() -> None:
    now = [0.0]
    breaker = Breaker(clock=lambda: now[0])
    for _ in range(5):
        assert breaker.allows()
        breaker.record(success=False)

    now[0] = 30.0

    assert [breaker.allows() for _ in range(3)] == [True, False, False]


def test_the_breaker_belongs_to_the_process_and_the_base_url() -> None:
    assert breaker_for("http://a:1") is breaker_for("http://a:1")
    assert breaker_for("http://a:1") is not breaker_for("http://b:1")


def test_a_reason_in_prose_is_replaced_by_a_code(server: CatoServer) -> None:
    server.always = document(safe=False, reasons=[f"contains {CANARY}", "toxicity:high"])

    risk = ask(client(server.url), "storage")

    assert risk.reasons == ("cato:unspecified", "toxicity:high")
    assert risk.verdict == "review"


class BrokenDetector:
    """A detector whose model is gone."""

    def detect(self, text: str) -> tuple[Span, ...]:
        raise RuntimeError(text)


def test_a_broken_detector_blocks_and_its_message_is_not_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    risk = EmbeddedCato(BrokenDetector()).check_storage_safety(CANARY, "heuristic")

    assert risk.reasons == ("cato_unavailable:embedded_error",)
    assert risk.verdict == "blocked"
    assert "Zebedee" not in caplog.text


@pytest.mark.parametrize(
    "url", ["ftp://cato", "cato:8080", "http://", "http://user:pw@cato", "http://cato?key=1"]
)
def test_an_unusable_base_url_is_refused_at_the_start(url: str) -> None:
    with pytest.raises(ConfigurationError, match="CATO_SERVICE_URL") as caught:
        HttpCato(url)

    assert "pw" not in str(caught.value)


def test_the_settings_choose_the_cato() -> None:
    embedded = build_cato(Settings.load({"RADIANT_HOME": "/nonexistent"}))
    service = build_cato(
        Settings.load({"RADIANT_HOME": "/nonexistent", "CATO_SERVICE_URL": "http://cato:8080/"})
    )

    assert isinstance(embedded, EmbeddedCato)
    assert isinstance(service, HttpCato)

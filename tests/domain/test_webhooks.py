"""When a webhook is tried again, what it says and when it has arrived."""

import itertools
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from radiant_dagster.domain.webhooks import (
    EVENT_TYPES,
    Event,
    judge,
    needless,
    next_try,
    parse_secret,
    payload,
    sentence,
    signature,
    state_of,
)
from radiant_dagster.errors import InvalidInput

START = datetime(2026, 11, 22, 14, 0, tzinfo=UTC)


def tries(event_type: str, deadline: datetime | None, *, jitter: float = 0.5) -> list[float]:
    """Return the seconds after the first try at which all others come."""
    now, result = START, [0.0]
    for attempts in itertools.count(1):
        at = next_try(event_type, deadline, attempts=attempts, now=now, jitter=jitter)
        if at is None:
            return result
        now = at
        result.append((now - START).total_seconds())
    raise AssertionError


def test_a_medical_request_is_tried_often_and_only_until_its_deadline() -> None:
    assert tries("approval.requested", START + timedelta(minutes=5)) == pytest.approx(
        [0, 2, 5, 10, 20, 40, 80, 160]
    )


def test_jitter_moves_a_try_by_a_tenth_at_most() -> None:
    for jitter in (0.0, 1.0):
        moved = tries("approval.requested", START + timedelta(minutes=5), jitter=jitter)
        assert moved[1] == pytest.approx(2 * (0.9 if jitter == 0 else 1.1))


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_every_schedule_ends(event_type: str) -> None:
    days = tries(event_type, START + timedelta(days=30))[-1] / 86_400

    assert days < 30
    if event_type == "session.completed":
        assert days == pytest.approx(3.15, abs=0.1)


def test_a_call_to_act_without_a_deadline_ends_as_well() -> None:
    assert len(tries("approval.requested", None)) == 15


def test_outcomes_are_told_after_the_deadline_and_calls_to_act_are_not() -> None:
    assert needless("approval.requested", START, START)
    assert not needless("approval.requested", START + timedelta(seconds=1), START)
    assert not needless("approval.expired", START, START)


def test_a_receivers_patience_counts_but_no_longer_than_a_day() -> None:
    def wait(seconds: float) -> float:
        at = next_try(
            "session.completed", None, attempts=1, now=START, jitter=0.5,
            retry_after_seconds=seconds,
        )  # fmt: skip
        assert at is not None
        return (at - START).total_seconds()

    assert wait(100) == 100
    assert wait(1) == 5
    assert wait(1e9) == 86_400


@pytest.mark.parametrize(
    ("status", "meaning"),
    [(200, "delivered"), (204, "delivered"), (299, "delivered"), (301, "retry"), (304, "retry"),
     (400, "retry"), (410, "gone"), (429, "retry"), (500, "retry"), (None, "retry"),
     (199, "retry")],
)  # fmt: skip
def test_two_hundreds_alone_are_success(status: int | None, meaning: str) -> None:
    assert judge(status) == meaning


def test_the_signature_is_the_specifications_example() -> None:
    key = parse_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'

    value = signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)

    assert value == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(
    "text", ["", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_short", "whsec_%%%%",
             "whsec_" + "A" * 92, "whsec_" + "A" * 28]
)  # fmt: skip
def test_a_malformed_secret_is_refused_without_quoting_it(text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_secret(text)

    assert not text.removeprefix("whsec_") or text not in str(refused.value)


def event(**changes: object) -> Event:
    values: dict[str, object] = {
        "id": uuid.uuid4(),
        "tenant_id": uuid.uuid4(),
        "type": "approval.requested",
        "session_id": uuid.uuid4(),
        "approval_id": uuid.UUID(int=7),
        "domain": "medical",
        "state": "pending",
        "deadline": START + timedelta(minutes=5),
        "at": START,
    }
    return Event(**(values | changes))  # type: ignore[arg-type]


def test_people_read_domain_deadline_and_link() -> None:
    link = f"https://control.example.org/approvals/{uuid.UUID(int=7)}"
    text = sentence(event(), "https://control.example.org/")

    assert text == f"An approval in medical waits until 14:05 UTC: {link}"
    later = sentence(event(deadline=START + timedelta(days=2)), None)
    assert later.startswith("An approval in medical waits until 2026-11-24 14:00 UTC: ")


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_every_event_has_a_sentence_and_a_payload(event_type: str) -> None:
    assert "medical" in sentence(event(type=event_type), None)
    assert set(payload(event(type=event_type), None)["data"]) == {
        "tenant_id", "session_id", "approval_id", "state", "domain", "deadline", "url",
    }  # fmt: skip


def test_a_state_is_a_known_word_or_nothing() -> None:
    assert state_of("approval.decided", {"verdict": "approved"}) == "approved"
    assert state_of("session.completed", {"status": "completed"}) == "completed"
    assert state_of("approval.decided", {"state": "take two pills"}) is None
    assert state_of("approval.decided", {"state": {"a": 1}}) is None

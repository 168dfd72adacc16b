"""Endpoints and routes by command: added, tried, rotated, removed; secrets shown once."""

import base64
import json
import subprocess
import sys
from collections.abc import Iterator

import pytest
import standardwebhooks

from tests.cli.conftest import Radiant
from tests.conftest import run_sql
from tests.services.webhook_receiver import Answer, Receiver

KEY = base64.b64encode(b"k" * 32).decode()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        yield server


@pytest.fixture
def hooked(radiant: Radiant, monkeypatch: pytest.MonkeyPatch) -> Radiant:
    """The command line with a key, and loopback listed."""
    monkeypatch.setenv("RADIANT_SECRET_KEY", KEY)
    monkeypatch.setenv("RADIANT_WEBHOOK_ALLOW", "127.0.0.1")
    return radiant


def test_an_endpoint_is_added_listed_tried_and_removed(hooked: Radiant, receiver: Receiver) -> None:
    added = hooked.json("webhooks", "add", receiver.url, "--domain", "medical", "--as", "lee")
    listed = hooked("webhooks", "list", "--json").stdout
    tried = hooked("webhooks", "test", added["id"][:8])
    hooked("webhooks", "remove", added["id"])

    assert added["secret"] not in listed
    assert added["id"] in listed
    assert tried.stdout == "It arrived.\n"
    (request,) = receiver.received
    standardwebhooks.Webhook(added["secret"]).verify(request.body, request.headers)
    assert hooked.json("webhooks", "list") == {"endpoints": []}
    actions = hooked.rows("select actor, action from radiant.audit where action like 'webhook%'")
    assert ("lee", "webhook.added") in actions
    assert "webhook.removed" in [action for _, action in actions]


def test_a_rotated_secret_and_the_one_before_both_sign(hooked: Radiant, receiver: Receiver) -> None:
    added = hooked.json("webhooks", "add", receiver.url)

    rotated = hooked.json("webhooks", "rotate", added["id"][:8])
    hooked("webhooks", "test", added["id"])

    (request,) = receiver.received
    assert rotated["secret"] != added["secret"]
    assert rotated["old_secret_until"]
    for secret in (added["secret"], rotated["secret"]):
        standardwebhooks.Webhook(secret).verify(request.body, request.headers)


def test_a_failed_test_says_why(hooked: Radiant, receiver: Receiver) -> None:
    added = hooked.json("webhooks", "add", receiver.url)
    receiver.answer = lambda _request: Answer(503)

    result = hooked("webhooks", "test", added["id"])

    assert result.exit_code == 1
    assert result.stdout == "It failed: http_503.\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("add", "http://hooks.example.org/"), "url: is not https"),
        (("add", "https://u:p@hooks.example.org/"), "url: carries a user or password"),
        (("add", "https://hooks.example.org/", "--secret", "abc"), "secret: is not a webhook"),
        (("test", "abcdef"), "endpoint: none is called so"),
        (("rotate", "ab"), "endpoint: none is called so"),
    ],
)
def test_bad_input_is_named(hooked: Radiant, arguments: tuple[str, ...], words: str) -> None:
    result = hooked("webhooks", *arguments)

    assert result.exit_code == 2
    assert words in result.stderr
    assert hooked.json("webhooks", "list") == {"endpoints": []}


@pytest.mark.parametrize("key", [None, "short", KEY[:-4]])
def test_without_a_key_it_says_what_to_set(
    radiant: Radiant, monkeypatch: pytest.MonkeyPatch, key: str | None
) -> None:
    if key:
        monkeypatch.setenv("RADIANT_SECRET_KEY", key)

    result = radiant("webhooks", "add", "https://hooks.example.org/")

    assert result.exit_code == 4
    assert "RADIANT_SECRET_KEY" in result.stderr
    assert "openssl rand -base64 32" in result.stderr


def test_a_route_keeps_its_url_to_itself(hooked: Radiant, receiver: Receiver) -> None:
    receiver.answer = lambda _request: Answer(200)
    url = f"json://127.0.0.1:{receiver.port}/topsecrettoken"

    added = hooked("notify", "add", "ward", "--event", "approval.requested", stdin=f"{url}\n")
    listed = hooked("notify", "list", "--json").stdout
    tried = hooked("notify", "test", "ward")
    again = hooked("notify", "add", "ward", stdin=f"{url}\n")
    removed = hooked("notify", "remove", "ward")

    assert added.exit_code == tried.exit_code == removed.exit_code == 0
    assert "topsecrettoken" not in added.output + listed + tried.output
    assert receiver.received[0].json["message"].startswith("Test. An approval in test waits until")
    assert again.exit_code == 2
    assert "name: is taken" in again.stderr
    assert hooked.rows("select 1 from radiant.notification_route") == []


def test_a_route_to_a_server_of_ones_own_is_refused(hooked: Radiant) -> None:
    result = hooked("notify", "add", "ward", stdin="json://10.0.0.1/topsecrettoken\n")

    assert result.exit_code == 2
    assert "RADIANT_WEBHOOK_ALLOW" in result.stderr
    assert "topsecrettoken" not in result.output


def test_what_was_sent_is_listed(hooked: Radiant, receiver: Receiver) -> None:
    hooked.json("webhooks", "add", receiver.url)
    run_sql(
        hooked.owner_url,
        "insert into radiant.event (tenant_id, type, session_id, domain)"
        " select id, 'session.completed', gen_random_uuid(), 'general' from radiant.tenant",
        "insert into radiant.delivery (tenant_id, event_id, target, kind, attempts, last_error)"
        " select e.tenant_id, e.id, w.id, 'webhook', 2, 'http_500'"
        " from radiant.event e, radiant.webhook_endpoint w",
    )

    (row,) = hooked.json("webhooks", "deliveries", "--undelivered")["deliveries"]
    shown = hooked("webhooks", "deliveries").stdout

    assert (row["attempts"], row["last_error"]) == (2, "http_500")
    assert "session.completed" in shown
    assert "http_500" in shown


def test_the_library_for_notifications_is_imported_when_one_is_sent_only() -> None:
    code = (
        "import sys, radiant_dagster.cli.notify, radiant_dagster.cli.webhooks;"
        "sys.exit('apprise' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_doctor_tells_of_webhooks_that_get_nothing(
    hooked: Radiant, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found() -> tuple[str, str]:
        checks = json.loads(hooked("doctor", "--json").stdout)["checks"]
        (check,) = (check for check in checks if check["name"] == "Webhooks")
        return check["result"], check["detail"]

    before = found()
    hooked("webhooks", "add", receiver.url)
    well = found()
    run_sql(hooked.owner_url, "update radiant.webhook_endpoint set disabled_at = now()")
    disabled = found()
    monkeypatch.delenv("RADIANT_SECRET_KEY")
    keyless = found()

    assert before[0] == "skipped"
    assert well == ("ok", "1 webhook, 0 notification routes, all delivered")
    assert disabled[0] == "warning"
    assert disabled[1].startswith("disabled: 1 of 1 webhook;")
    assert keyless[0] == "failed"
    assert "RADIANT_SECRET_KEY" in keyless[1]

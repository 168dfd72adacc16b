"""People hear of approvals through Apprise: domain, deadline and link; no server inside."""

import logging
import uuid
from collections.abc import Iterator

import pytest

from radiant_dagster.adapters import targets
from radiant_dagster.adapters.notifications import Notifier
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.adapters.vault import Vault
from radiant_dagster.adapters.webhooks import Reply, Sender
from radiant_dagster.domain.egress import parse_policy
from radiant_dagster.errors import InvalidInput
from tests.adapters.test_deliverer import CANARY, Hooks, is_delivered
from tests.services.smtp_server import SmtpServer
from tests.services.webhook_receiver import Answer, Receiver

TOKEN = "topsecrettoken"


@pytest.fixture
def hooks(database: Database, api_database: Database, tenant: uuid.UUID, owner_url: str) -> Hooks:
    return Hooks(database, api_database, tenant, owner_url)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        server.answer = lambda _request: Answer(200)
        yield server


def notifier(allow: str) -> Notifier:
    return Notifier(Sender(parse_policy(allow, "443")))


def add_route(hooks: Hooks, url: str, **choice: list[str]) -> None:
    route_id = uuid.uuid4()
    sealed = Vault.of(hooks.settings).seal(url.encode(), hooks.tenant, route_id)
    with hooks.database.tenant_transaction(hooks.tenant) as cursor:
        targets.add_route(
            cursor, hooks.tenant, route_id, name="ward", service="json", url=sealed, actor="ann",
            types=choice.get("types", []), domains=choice.get("domains", []),
        )  # fmt: skip


def test_a_ward_hears_of_an_approval_with_domain_deadline_and_link_only(
    hooks: Hooks, receiver: Receiver
) -> None:
    add_route(hooks, f"json://127.0.0.1:{receiver.port}/{TOKEN}", domains=["medical"])

    with hooks.delivering():
        hooks.emit(domain="legal")
        approval_id = hooks.emit(detail={"title": CANARY})
        receiver.wait_for(1)
        hooks.until(is_delivered)

    (request,) = receiver.received
    link = f"https://control.example.org/approvals/{approval_id}"
    assert request.json["message"].startswith("An approval in medical waits until ")
    assert request.json["message"].endswith(f" UTC: {link}")
    assert "Canary" not in request.body.decode()


def test_a_message_that_is_not_taken_is_tried_again(hooks: Hooks, receiver: Receiver) -> None:
    add_route(hooks, f"json://127.0.0.1:{receiver.port}/")
    receiver.answer = lambda _request: Answer(500 if len(receiver.received) == 1 else 200)

    with hooks.delivering():
        hooks.emit()
        hooks.until(lambda row: row["last_error"] == "not_taken")
        hooks.due_now()
        row = hooks.until(is_delivered)

    assert row["attempts"] == 2


def test_a_mail_says_the_same() -> None:
    with SmtpServer() as mail:
        url = (
            f"mailto://127.0.0.1:{mail.port}?smtp=127.0.0.1&mode=insecure"
            "&from=radiant@example.org&to=ward@example.org"
        )

        reply = notifier("127.0.0.1").send(url, "An approval in medical waits until 14:05 UTC: x")

        assert reply == Reply(None)
        assert "waits until 14:05" in mail.messages[0]
        assert "ward@example.org" in mail.messages[0]


def test_a_mail_server_inside_is_not_called() -> None:
    with SmtpServer() as mail:
        url = f"mailto://127.0.0.1:{mail.port}?smtp=127.0.0.1&mode=insecure&to=a@example.org"

        reply = notifier("").send(f"{url}&from=b@example.org", "text")

        assert reply == Reply(None, "address_not_public")
        assert mail.messages == []


@pytest.mark.parametrize("scheme", ["json", "jsons", "xml", "form", "forms", "ntfy", "gotify"])
def test_a_service_with_a_server_of_ones_own_needs_it_listed(
    receiver: Receiver, scheme: str
) -> None:
    url = f"{scheme}://127.0.0.1:{receiver.port}/{TOKEN}"

    with pytest.raises(InvalidInput, match="RADIANT_WEBHOOK_ALLOW") as refused:
        notifier("").check(url)
    reply = notifier("").send(url, "text")

    assert TOKEN not in str(refused.value)
    assert reply == Reply(None, "host_not_listed")
    assert receiver.received == []


@pytest.mark.parametrize(
    "url", ["", "nonsense", "nosuch://x", "syslog://", "http://[::1", "slack://"]
)
def test_what_apprise_cannot_use_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput):
        notifier("").check(url)


def test_a_service_with_a_fixed_server_is_taken() -> None:
    assert notifier("").check(f"discord://123456789012345678/{TOKEN}") == "discord"


def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    with Receiver() as elsewhere:
        receiver.answer = lambda _request: Answer(307, {"Location": elsewhere.url})
        url = f"json://127.0.0.1:{receiver.port}/?redirect=yes"

        reply = notifier("127.0.0.1").send(url, "text")

        assert reply == Reply(None, "not_taken")
        assert elsewhere.received == []


def test_no_log_holds_the_url(receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    receiver.answer = lambda _request: Answer(500)
    caplog.set_level(logging.DEBUG)

    notifier("127.0.0.1").send(f"json://u:{TOKEN}@127.0.0.1:{receiver.port}/{TOKEN}", CANARY)

    assert len(receiver.received) == 1
    assert TOKEN not in caplog.text
    assert "Canary" not in caplog.text

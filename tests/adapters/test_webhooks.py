"""One webhook on the wire: judged addresses, TLS by name, bounded time, next to nothing read."""

import asyncio
import ipaddress
import socket
import ssl
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from radiant_dagster.adapters.webhooks import Reply, Sender, retry_after
from radiant_dagster.domain.egress import EgressPolicy
from tests.services.webhook_receiver import Answer, Receiver

KEYS = (b"k" * 32,)
NAME = "hooks.example.org"
LOOPBACK = ipaddress.ip_network("127.0.0.1/32")


class Names:
    """A resolver that answers as scripted, the last answer for ever."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def __call__(self, host: str, port: int) -> list[str]:
        del host, port
        self.asked += 1
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def policy(*networks: ipaddress.IPv4Network, hosts: tuple[str, ...] = (), port: int = 443):
    return EgressPolicy(frozenset(hosts), networks, frozenset({port}))


def send(sender: Sender, url: str) -> Reply:
    try:
        return sender.send(url, KEYS, "id", {"type": "webhook.test"})
    finally:
        sender.close()


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A certificate of the name, trusted through the system's own setting."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, NAME)])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "certificate.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + signed.public_bytes(serialization.Encoding.PEM)
    )
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    return path


@pytest.fixture
def server_names() -> list[str | None]:
    return []


@pytest.fixture
def secure(certificate: Path, server_names: list[str | None]) -> Iterator[Receiver]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.sni_callback = lambda _socket, name, _context: server_names.append(name)
    with Receiver(tls=context) as server:
        yield server


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        yield server


def test_tls_is_verified_by_name_though_the_address_was_chosen_by_us(
    secure: Receiver, server_names: list[str | None]
) -> None:
    sender = Sender(policy(LOOPBACK, port=secure.port), resolve=Names(["127.0.0.1"]))

    reply = send(sender, f"https://{NAME}:{secure.port}/hook?a=b")

    assert reply == Reply(204)
    assert server_names == [NAME]
    assert secure.received[0].headers["host"] == f"{NAME}:{secure.port}"
    assert secure.received[0].path == "/hook?a=b"


def test_a_certificate_of_another_name_is_refused(secure: Receiver) -> None:
    sender = Sender(policy(LOOPBACK, port=secure.port), resolve=Names(["127.0.0.1"]))

    reply = send(sender, f"https://other.example.org:{secure.port}/")

    assert reply.error == "certificate"
    assert secure.received == []


def test_a_name_that_changes_its_address_is_called_where_it_was_judged(secure: Receiver) -> None:
    names = Names(["127.0.0.1"], ["127.0.0.2"])
    url = f"https://{NAME}:{secure.port}/"

    first = send(Sender(policy(LOOPBACK, port=secure.port), resolve=names), url)
    asked = names.asked
    second = send(Sender(policy(LOOPBACK, port=secure.port), resolve=names), url)

    assert first == Reply(204)
    assert asked == 1  # nothing is looked up between the judging and the connection
    assert second == Reply(None, "address_not_public")
    assert len(secure.received) == 1


@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1", "127.0.0.2"], ["127.0.0.2", "127.0.0.1"], ["::ffff:10.0.0.1"], ["10.0.0.1"],
     ["169.254.169.254"], ["127.0.0.1", "nonsense"]],
)  # fmt: skip
def test_one_bad_address_of_a_name_spoils_all(secure: Receiver, addresses: list[str]) -> None:
    sender = Sender(policy(LOOPBACK, port=secure.port), resolve=Names(addresses))

    reply = send(sender, f"https://{NAME}:{secure.port}/")

    assert reply.error == "address_not_public"
    assert secure.received == []


INSIDE = (
    "0.0.0.0", "10.0.0.1", "10.255.255.254", "100.64.0.1", "127.0.0.1", "127.0.0.53", "127.1.1.1",
    "169.254.169.254", "169.254.170.2", "172.16.0.1", "172.31.255.254", "192.0.0.192", "192.0.2.1",
    "192.168.0.1", "192.168.255.254", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "fc00::1",
    "fd00:ec2::254", "fe80::1", "ff02::1",
)  # fmt: skip
WRITTEN_ODDLY = (
    "https://2130706433/", "https://0x7f000001/", "https://0177.0.0.1/", "https://127.1/",
    "https://[::]/", "https://[::1]/", "https://[::ffff:7f00:1]/", "https://127.0.0.1.:443/",
    "https://user@127.0.0.1/", "https://hooks.example.org@127.0.0.1/", "http://127.0.0.1/",
    "gopher://127.0.0.1/", "file:///etc/passwd", "https://localhost/", "https://LOCALHOST./",
)  # fmt: skip


@pytest.fixture(scope="module")
def connections() -> list[object]:
    """Every address that this process tries to connect to from now on."""
    tried: list[object] = []
    # An audit hook stays for the life of the process; the interpreter calls it at each connect.
    sys.addaudithook(
        lambda event, details: tried.append(details[1]) if event == "socket.connect" else None
    )
    return tried


def test_no_address_inside_is_connected_to_however_it_is_written(
    connections: list[object], receiver: Receiver
) -> None:
    send(Sender(policy(LOOPBACK, port=receiver.port)), receiver.url)
    before = len(connections)

    replies = [send(Sender(policy()), url) for url in WRITTEN_ODDLY]
    replies += [send(Sender(policy(), resolve=Names([a])), f"https://{NAME}/") for a in INSIDE]

    assert before > 0  # the hook does see what is connected
    assert len(replies) >= 40
    assert {reply.error for reply in replies} <= {"url_refused", "address_not_public", "no_address"}
    assert connections[before:] == []


def test_loopback_is_not_reached_unless_it_is_listed(secure: Receiver, receiver: Receiver) -> None:
    for url in (f"https://127.0.0.1:{secure.port}/", f"https://[::1]:{secure.port}/"):
        assert send(Sender(policy(port=secure.port)), url).error == "address_not_public"
    for url in (receiver.url, f"http://localhost:{receiver.port}/"):
        assert send(Sender(policy(port=receiver.port)), url).error == "url_refused"
    named = Sender(policy(port=secure.port), resolve=Names(["127.0.0.1"]))
    assert send(named, f"https://{NAME}:{secure.port}/").error == "address_not_public"

    assert secure.received == receiver.received == []


def test_a_listed_name_is_reached_over_plain_http_on_loopback_only(receiver: Receiver) -> None:
    url = f"http://control.internal:{receiver.port}/"

    here = send(Sender(policy(hosts=("control.internal",)), resolve=Names(["127.0.0.1"])), url)
    there = send(Sender(policy(hosts=("control.internal",)), resolve=Names(["10.0.0.1"])), url)

    assert here == Reply(204)
    assert there == Reply(None, "http_beyond_loopback")


def test_a_long_answer_is_not_read(receiver: Receiver) -> None:
    receiver.answer = lambda _request: Answer(200, body=b"x" * 50_000_000)

    reply = send(Sender(policy(LOOPBACK)), receiver.url)

    assert reply == Reply(200)


def test_a_receiver_that_drips_is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        done = threading.Event()

        def drip() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(b"HTTP/1.1 200 OK\r\n")
                while not done.wait(0.05):
                    try:
                        connection.sendall(b"X-Drip: drop\r\n")
                    except OSError:
                        return

        thread = threading.Thread(target=drip)
        thread.start()
        sender = Sender(policy(LOOPBACK), timeout_seconds=0.5)

        reply = send(sender, f"http://127.0.0.1:{server.getsockname()[1]}/")

        done.set()
        thread.join()
    assert reply == Reply(None, "timeout")


def test_a_resolver_that_hangs_is_given_up_in_time() -> None:
    async def hang(host: str, port: int) -> list[str]:
        del host, port
        await asyncio.Event().wait()
        return []

    sender = Sender(policy(), timeout_seconds=0.2, resolve=hang)

    assert send(sender, f"https://{NAME}/") == Reply(None, "timeout")


def test_no_reply_is_a_code_and_not_an_exception(receiver: Receiver) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    assert send(Sender(policy(LOOPBACK)), f"http://127.0.0.1:{port}/").error == "connect"
    assert send(Sender(policy(LOOPBACK)), f"https://127.0.0.1:{receiver.port}/").error in (
        "connect", "certificate", "no_reply",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(None, None), ("", None), ("120", 120), ("soon", None), ("-5", None),
     ("Sun, 22 Nov 2026 14:01:00 GMT", 60), ("Sun, 22 Nov 2026 13:00:00 GMT", 0),
     ("9" * 400, 999_999_999)],
)  # fmt: skip
def test_retry_after_is_read_as_seconds_or_a_date(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, datetime(2026, 11, 22, 14, 0, tzinfo=UTC)) == seconds

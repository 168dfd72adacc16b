"""Sends a webhook: judges every address of its host and connects to a judged one alone.

The judging sits in the resolver that the connection itself uses, so that no name can mean one
address when it is checked and another when it is called. TLS still verifies the host's name.
"""

import asyncio
import json
import secrets
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import yarl
from aiohttp.abc import AbstractResolver, ResolveResult

from radiant_dagster.adapters.http_client import HttpClient
from radiant_dagster.domain import webhooks
from radiant_dagster.domain.egress import (
    Destination,
    EgressPolicy,
    parse_address,
    parse_destination,
    refusal,
)
from radiant_dagster.errors import InvalidInput

TIMEOUT_SECONDS = 15.0
MAX_BODY_BYTES = 1024  # read so that a connection ends well; never kept

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""Host and port to addresses."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of one try.

    Args:
        status: HTTP status, None without a reply.
        error: A code where there was no success, e.g. ``http_500``, ``timeout``.
        retry_after_seconds: What the receiver asked for.
    """

    status: int | None
    error: str | None = None
    retry_after_seconds: float | None = None


class _Refused(OSError):
    """An address that may not be called; an OSError, as aiohttp wants it of a resolver."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


async def system_resolve(host: str, port: int) -> list[str]:
    """Ask the system's resolver."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(item[4][0]) for item in found]


class _JudgingResolver(AbstractResolver):
    def __init__(self, destination: Destination, policy: EgressPolicy, resolve: Resolve) -> None:
        self._destination, self._policy, self._resolve = destination, policy, resolve

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        results: list[ResolveResult] = []
        for text in await judged(self._destination, self._policy, self._resolve):
            version = socket.AF_INET6 if ":" in text else socket.AF_INET
            results.append(
                ResolveResult(
                    hostname=host, host=text, port=port, family=version, proto=0,
                    flags=socket.AI_NUMERICHOST,
                )
            )  # fmt: skip
        return results

    async def close(self) -> None:
        """Nothing is held."""


async def judged(destination: Destination, policy: EgressPolicy, resolve: Resolve) -> list[str]:
    """Return the addresses of a destination; one bad address spoils all of them."""
    literal = parse_address(destination.host)
    found = [destination.host] if literal else await resolve(destination.host, destination.port)
    for text in found:
        address = parse_address(text)
        code = refusal(destination, address, policy) if address else "address_not_public"
        if code is not None:
            raise _Refused(code)
    if not found:
        raise _Refused("no_address")
    return found


class Sender:
    """Sends webhooks from any thread; bounded in time and in what it reads.

    Args:
        policy: Which addresses may be called.
        timeout_seconds: For name, connection and reply together.
        resolve: How names become addresses.
    """

    def __init__(
        self,
        policy: EgressPolicy,
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
        resolve: Resolve = system_resolve,
    ) -> None:
        self._policy = policy
        self._timeout_seconds = timeout_seconds
        self._resolve = resolve
        # Own context: aiohttp's is made at import and would not see a company's SSL_CERT_FILE.
        self._tls = ssl.create_default_context()
        self._client = HttpClient()

    def check(self, url: str) -> None:
        """Refuse a URL that could never be called.

        Raises:
            InvalidInput: With the reason.
        """
        parse_destination(url, self._policy)

    def lists(self, host: str) -> bool:
        """Tell whether the operator listed a host, by name or address."""
        address = parse_address(host)
        return host.lower() in self._policy.hosts or (
            address is not None and self._policy.lists(host.lower(), address)
        )

    def refusal_of_host(self, host: str, port: int) -> str | None:
        """Say why a host may not be called now, None where it may; for calls made by others."""
        destination = Destination("", "https", host.lower(), port)
        policy = EgressPolicy(self._policy.hosts, self._policy.networks, frozenset({port}))
        try:
            self._client.run(judged(destination, policy, self._resolve))
        except _Refused as error:
            return error.code
        except OSError:
            return "host_unknown"
        return None

    def send(
        self, url: str, keys: Iterable[bytes], message_id: str, body: Mapping[str, Any]
    ) -> Reply:
        """Try once.

        Args:
            url: Where to.
            keys: Secrets to sign with, the newest first.
            message_id: The same at every try.
            body: Ids, states and times.
        """
        try:
            destination = parse_destination(url, self._policy)
        except InvalidInput:
            return Reply(None, "url_refused")
        if yarl.URL(url).host != destination.host:  # what aiohttp would call
            return Reply(None, "url_refused")
        data = json.dumps(body, separators=(",", ":")).encode()
        headers = webhooks.headers(keys, message_id, int(time.time()), data)
        return self._client.run(self._post(destination, headers, data))

    async def _post(
        self, destination: Destination, headers: Mapping[str, str], data: bytes
    ) -> Reply:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                if parse_address(destination.host):  # aiohttp asks no resolver for an address
                    await judged(destination, self._policy, self._resolve)
                return await self._exchange(destination, headers, data)
        except TimeoutError:
            return Reply(None, "timeout")
        except _Refused as error:
            return Reply(None, error.code)
        except aiohttp.ClientConnectorCertificateError:
            return Reply(None, "certificate")
        except aiohttp.ClientConnectorDNSError as error:
            cause = error.os_error
            return Reply(None, cause.code if isinstance(cause, _Refused) else "host_unknown")
        except aiohttp.ClientConnectorError:
            return Reply(None, "connect")
        except (aiohttp.ClientError, OSError, ValueError):
            # Their messages can quote the URL; the code says enough.
            return Reply(None, "no_reply")

    async def _exchange(
        self, destination: Destination, headers: Mapping[str, str], data: bytes
    ) -> Reply:
        connector = aiohttp.TCPConnector(
            resolver=_JudgingResolver(destination, self._policy, self._resolve),
            ssl=self._tls,
            use_dns_cache=False,
            force_close=True,
        )
        async with (
            aiohttp.ClientSession(
                connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False,
                auto_decompress=False,  # 1 KiB on the wire stays 1 KiB
            ) as session,
            session.post(
                destination.url, headers=headers, data=data, allow_redirects=False
            ) as response,
        ):  # fmt: skip
            await response.content.read(MAX_BODY_BYTES)
            wait = retry_after(response.headers.get("retry-after"), datetime.now(UTC))
            ok = webhooks.judge(response.status) == "delivered"
            return Reply(response.status, None if ok else f"http_{response.status}", wait)

    def close(self) -> None:
        """Drop what is in flight and stop the background thread."""
        self._client.close()


def retry_after(value: str | None, now: datetime) -> float | None:
    """Return the seconds of a Retry-After header, None where there is none to honour."""
    if not value:
        return None
    if value.strip().isdecimal():
        return float(value.strip()[:9])
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max((at - now).total_seconds(), 0.0)


def new_secret() -> bytes:
    """Return the key of a new secret."""
    return secrets.token_bytes(32)

"""Asks Cato whether text is safe: embedded rules, or a service over HTTP, behind one contract.

    POST {base}/v1/check/epistemic  {"content": ..., "domain": ...}
    POST {base}/v1/check/storage    {"content": ..., "content_type": ...}
    200  {"safe": bool, "risk_level": "none"|"low"|"medium"|"high"|"critical", "reasons": [...],
          "blocked": bool}

Fails closed: anything but a valid 200 is the verdict ``cato_unavailable:<kind>``, which blocks, for
both checks, after `TOTAL_SECONDS` at the latest. Content never reaches a log or an exception; its
SHA-256 and length do.
"""

import hashlib
import json
import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Protocol

import urllib3
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictStr, ValidationError
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NameResolutionError,
    NewConnectionError,
    ReadTimeoutError,
    SSLError,
)
from urllib3.util import parse_url

from radiant_dagster.adapters.bounded_call import BoundedCall, watch_connections
from radiant_dagster.adapters.detectors import build_detector
from radiant_dagster.adapters.settings import Settings
from radiant_dagster.domain.phi import Detector
from radiant_dagster.domain.safety import (
    CatoRisk,
    RiskLevel,
    check_epistemic,
    check_storage,
    unavailable,
)
from radiant_dagster.errors import CatoUnavailable, ConfigurationError

CONNECT_SECONDS = 1.0
READ_SECONDS = 5.0
TOTAL_SECONDS = 8.0  # over all tries of one check
MAX_RETRIES = 2
RETRIED_STATUSES = frozenset({429, 502, 503, 504})
FAILURES_TO_OPEN = 5
OPEN_SECONDS = 30.0
MAX_REPLY_BYTES = 64 * 1024
MAX_REASON_CHARACTERS = 120
_JITTER_SECONDS = (0.05, 0.2)

logger = logging.getLogger(__name__)


class Cato(Protocol):
    """Judges text; implementations never raise, no verdict is a blocking verdict."""

    def check_epistemic_safety(self, content: str, domain: str) -> CatoRisk:
        """Judge a draft answer of a domain."""
        ...

    def check_storage_safety(self, content: str, content_type: str) -> CatoRisk:
        """Judge text before it is stored; ``heuristic`` is the strictest type."""
        ...


class EmbeddedCato:
    """The rules of `domain.safety`, in this process.

    Args:
        detector: Finds identifiers that scrubbing left.
    """

    def __init__(self, detector: Detector) -> None:
        self._detector = detector

    def check_epistemic_safety(self, content: str, domain: str) -> CatoRisk:
        """Judge a draft answer of a domain."""
        return _fail_closed(lambda: check_epistemic(content, domain))

    def check_storage_safety(self, content: str, content_type: str) -> CatoRisk:
        """Judge text before it is stored."""
        return _fail_closed(lambda: check_storage(content, content_type, self._detector))


def _fail_closed(check: Callable[[], CatoRisk]) -> CatoRisk:
    # A safety boundary: whatever breaks inside a rule or a detector must block, not pass, and its
    # message may quote the content.
    try:
        return check()
    except Exception as error:  # noqa: BLE001
        logger.error("embedded cato failed: %s", type(error).__name__)  # noqa: TRY400
        return unavailable("embedded_error")


class CatoReply(BaseModel):
    """What the service must answer, strictly: ``"safe": "false"`` is no verdict."""

    model_config = ConfigDict(extra="ignore", strict=True)
    safe: StrictBool
    risk_level: RiskLevel
    reasons: list[StrictStr] = Field(max_length=100)
    blocked: StrictBool


class Breaker:
    """Stops calling a service that keeps failing.

    Closed until ``failures_to_open`` calls in a row failed; then open for ``open_seconds``; then
    one probe at a time is let through, whose outcome closes or opens it again.

    Args:
        failures_to_open: Consecutive failures.
        open_seconds: How long nothing is sent.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        *,
        failures_to_open: int = FAILURES_TO_OPEN,
        open_seconds: float = OPEN_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._failures_to_open = failures_to_open
        self._open_seconds = open_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._opened_at: float | None = None
        self._probing = False

    def allows(self) -> bool:
        """Tell whether a call may be sent now; a True must be followed by `record`."""
        with self._lock:
            if self._opened_at is None:
                return True
            if self._probing or self._clock() - self._opened_at < self._open_seconds:
                return False
            self._probing = True
            return True

    def record(self, *, success: bool) -> None:
        """Take note of how an allowed call ended."""
        with self._lock:
            probe, self._probing = self._probing, False
            if success:
                self._failures, self._opened_at = 0, None
                return
            self._failures += 1
            if probe or self._failures >= self._failures_to_open:
                self._opened_at = self._clock()


_breakers: dict[str, Breaker] = {}
_breakers_lock = threading.Lock()


def breaker_for(base_url: str) -> Breaker:
    """Return this process' breaker of a base URL: every client of one service shares it."""
    with _breakers_lock:
        return _breakers.setdefault(base_url, Breaker())


class HttpCato:
    """A Cato service over HTTP. Thread-safe; make one per process.

    Args:
        base_url: ``http://`` or ``https://``, without credentials, query or fragment.
        key: Sent as a bearer token.
        connect_seconds: For one connection.
        read_seconds: For one reply.
        total_seconds: For one check with its retries, by the wall clock, whatever the service does.
        breaker: Shared per process and base URL unless given.
        clock: Monotonic seconds.
        sleep: Waits between tries.

    Raises:
        ConfigurationError: The base URL is not usable.
    """

    def __init__(
        self,
        base_url: str,
        *,
        key: str | None = None,
        connect_seconds: float = CONNECT_SECONDS,
        read_seconds: float = READ_SECONDS,
        total_seconds: float = TOTAL_SECONDS,
        breaker: Breaker | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._base_url = _checked_base(base_url)
        self._connect_seconds = connect_seconds
        self._read_seconds = read_seconds
        self._total_seconds = total_seconds
        self._breaker = breaker or breaker_for(self._base_url)
        self._clock = clock
        self._sleep = sleep
        # Retries are ours, because only some failures deserve one; redirects could carry content
        # to a host nobody configured.
        self._http = watch_connections(urllib3.PoolManager(maxsize=4, retries=False))
        self._headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if key:
            self._headers["Authorization"] = f"Bearer {key}"

    def check_epistemic_safety(self, content: str, domain: str) -> CatoRisk:
        """Judge a draft answer of a domain."""
        return self._check("epistemic", {"content": content, "domain": domain})

    def check_storage_safety(self, content: str, content_type: str) -> CatoRisk:
        """Judge text before it is stored."""
        return self._check("storage", {"content": content, "content_type": content_type})

    def close(self) -> None:
        """Close idle connections."""
        self._http.clear()

    def _check(self, kind: str, body: Mapping[str, str]) -> CatoRisk:
        if not self._breaker.allows():
            return self._log(kind, body["content"], unavailable("breaker_open"))
        success = False
        try:
            # Lone surrogates are legal JSON escapes; ensure_ascii keeps them sendable.
            sent = json.dumps(body).encode()
            # The timeouts of a socket bound one read each, and looking up a name has none.
            call = BoundedCall(lambda: self._ask(f"{self._base_url}/v1/check/{kind}", sent))
            risk = call.result(self._total_seconds)
            success = True
        except CatoUnavailable as error:
            risk = unavailable(error.code.removeprefix("cato_unavailable:"))
        except TimeoutError:
            risk = unavailable("timeout")
        finally:
            self._breaker.record(success=success)
        return self._log(kind, body["content"], risk)

    def _log(self, kind: str, content: str, risk: CatoRisk) -> CatoRisk:
        digest = hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()
        level = logging.WARNING if risk.blocked else logging.INFO
        logger.log(
            level,
            "cato %s sha256=%s length=%d verdict=%s reasons=%d",
            kind,
            digest,
            len(content),
            risk.verdict,
            len(risk.reasons),
        )
        return risk

    def _ask(self, url: str, body: bytes) -> CatoRisk:
        deadline = self._clock() + self._total_seconds
        for retries_left in range(MAX_RETRIES, -1, -1):
            try:
                return self._try(url, body, deadline)
            except _Retryable as failure:
                # No jitter needs cryptography. The pause counts against the total as well.
                pause = random.uniform(*_JITTER_SECONDS)  # noqa: S311
                if retries_left == 0 or self._clock() + pause >= deadline:
                    raise CatoUnavailable(failure.kind) from None
                self._sleep(pause)
        raise AssertionError("unreachable")

    def _try(self, url: str, body: bytes, deadline: float) -> CatoRisk:
        left = deadline - self._clock()
        if left <= 0:
            raise CatoUnavailable("timeout")
        timeout = urllib3.Timeout(
            connect=min(self._connect_seconds, left), read=min(self._read_seconds, left)
        )
        try:
            response = self._http.request(
                "POST",
                url,
                body=body,
                headers=self._headers,
                timeout=timeout,
                redirect=False,
                retries=False,
                preload_content=False,
            )
        except (HTTPError, OSError, ValueError) as error:
            raise _translated(error) from None
        try:
            if response.status in RETRIED_STATUSES:
                raise _Retryable(f"http_{response.status}")
            if response.status != 200:
                raise CatoUnavailable(f"http_{response.status}")
            return _parsed(self._body(response, deadline))
        finally:
            # Not returned to the pool half read: the next check would read this one's reply.
            with suppress(HTTPError, OSError):
                response.close()

    def _body(self, response: urllib3.BaseHTTPResponse, deadline: float) -> bytes:
        """Read a bounded reply; a service that drips bytes must not outlast the total."""
        pieces: list[bytes] = []
        size = 0
        try:
            while piece := response.read1(8192):
                pieces.append(piece)
                size += len(piece)
                if size > MAX_REPLY_BYTES:
                    raise CatoUnavailable("reply_too_long")
                if self._clock() >= deadline:
                    raise CatoUnavailable("timeout")
        except (HTTPError, OSError) as error:
            # The service has begun to answer: it may have judged, so this is not tried again.
            kind = (
                "timeout" if isinstance(error, (ReadTimeoutError, TimeoutError)) else "connection"
            )
            raise CatoUnavailable(kind) from None
        return b"".join(pieces)


class _Retryable(Exception):
    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


def _translated(error: Exception) -> Exception:
    """Return our error for a driver's; its message may hold the URL's host, never content."""
    if isinstance(error, NameResolutionError):
        return _Retryable("dns")
    if isinstance(error, (ConnectTimeoutError, NewConnectionError)):
        return _Retryable("connect")
    if isinstance(error, ReadTimeoutError):
        return CatoUnavailable("timeout")
    if isinstance(error, SSLError):
        return CatoUnavailable("tls")
    return CatoUnavailable("connection")


def _parsed(body: bytes) -> CatoRisk:
    try:
        reply = CatoReply.model_validate_json(body)
    except ValidationError:
        # Neither chained nor quoted: pydantic's message repeats what the service sent back.
        raise CatoUnavailable("invalid_reply") from None
    reasons = tuple(_code(reason) for reason in reply.reasons)
    contradictory = reply.safe and (reply.blocked or reply.risk_level in ("high", "critical"))
    if contradictory:
        return CatoRisk(
            safe=False,
            risk_level=reply.risk_level,
            reasons=(*reasons, "cato_contradictory"),
            blocked=True,
        )
    return CatoRisk(
        safe=reply.safe, risk_level=reply.risk_level, reasons=reasons, blocked=reply.blocked
    )


def _code(reason: str) -> str:
    """Keep a reason that is a code; a service's prose may quote what it judged."""
    plain = reason.strip()[:MAX_REASON_CHARACTERS]
    is_code = plain and plain.isascii() and all(c.isalnum() or c in "_:.-" for c in plain)
    return plain if is_code else "cato:unspecified"


def _checked_base(base_url: str) -> str:
    try:
        url = parse_url(base_url)
    except HTTPError:
        url = None
    if url is None or url.scheme not in ("http", "https") or not url.host:
        raise ConfigurationError(
            "CATO_SERVICE_URL", "is not an http:// or https:// address", "Example: http://cato:8080"
        )
    if url.auth or url.query or url.fragment:
        raise ConfigurationError(
            "CATO_SERVICE_URL",
            "carries credentials, a query or a fragment",
            "Give scheme, host, port and path only.",
        )
    return base_url.rstrip("/")


def build_cato(settings: Settings) -> Cato:
    """Return the Cato that the settings name: a service, or the embedded rules.

    Args:
        settings: ``cato_service_url`` unset means embedded.

    Raises:
        ConfigurationError: The service's URL is not usable.
    """
    if settings.cato_service_url:
        key = settings.cato_key.get_secret_value() if settings.cato_key else None
        return HttpCato(settings.cato_service_url, key=key)
    return EmbeddedCato(build_detector(settings))

"""A typed client of Mission Control's API: for programs, and for the command line.

It needs this module, `wire` and `errors`, and of other packages urllib3 and pydantic. What the
server refuses is raised as the same error that the server raised. Requests are repeated only where
that has no second effect: reading, and asking or deciding under an Idempotency-Key that is made
once for a call.
"""

import json
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import urlencode
from uuid import UUID, uuid4

import urllib3
from pydantic import BaseModel, ValidationError

from radiant_dagster import errors
from radiant_dagster.errors import ApiRefused, ApiUnavailable, ConfigurationError, RadiantError
from radiant_dagster.wire import approvals as reviews
from radiant_dagster.wire import base, reading
from radiant_dagster.wire import grimoire as learned
from radiant_dagster.wire import sessions as asked

Model = TypeVar("Model", bound=BaseModel)
PREFIX = "/api/v1"
TRIES = 4
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 10.0
TIMEOUT = urllib3.Timeout(connect=5, read=60)
LONG_TIMEOUT = urllib3.Timeout(connect=5, read=600)
QUIET_SECONDS = 45.0  # three keep-alives of a stream that did not come
# Their data is in the problem's members; see `problems._members` of Mission Control.
KNOWN: Mapping[str, type[RadiantError]] = {
    kind.code: kind
    for kind in (
        errors.InvalidInput,
        errors.ImportRefused,
        errors.SessionNotFound,
        errors.SessionNotLaunched,
        errors.SessionStateConflict,
        errors.ApprovalNotFound,
        errors.ApprovalExpired,
        errors.ApprovalAlreadyResolved,
        errors.ApprovalChanged,
        errors.ApprovalStale,
        errors.ApprovalClaimed,
        errors.ApprovalForbidden,
        errors.OriginalErased,
        errors.HeuristicNotFound,
        errors.HeuristicChanged,
        errors.CurationForbidden,
        errors.IdempotencyConflict,
        errors.FeedbackRefused,
        errors.BudgetExceeded,
        errors.BudgetMissing,
        errors.Cancelled,
        errors.UnsafeContent,
    )
}


@dataclass(frozen=True, slots=True)
class Event:
    """One server-sent event.

    Args:
        id: To go on from.
        name: ``progress``, ``end``, or ``approval.decided`` and the like.
        data: Ids, states and counts.
    """

    id: str
    name: str
    data: Mapping[str, Any]


class RadiantClient:
    """Talks to one Mission Control with one key.

    Args:
        url: For instance ``https://review.example.org``.
        key: ``rk_...``; the tenant and the roles are its.
        sleep: Waits between tries.
    """

    def __init__(self, url: str, key: str, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {key}", "Accept": "application/json"}
        self._sleep = sleep
        self._http = urllib3.PoolManager(timeout=TIMEOUT, retries=False)

    def close(self) -> None:
        """Close the connections."""
        self._http.clear()

    def submit(self, question: asked.SubmitSession) -> asked.Submitted:
        """Ask a question; it is asked once, however often it had to be sent."""
        return self._once("/sessions", question, asked.Submitted)

    def rerun(self, session_id: UUID, *, live: bool = False) -> asked.Submitted:
        """Ask a session's question again."""
        body = asked.RerunSession(live=live)
        return self._once(f"/sessions/{session_id}/rerun", body, asked.Submitted)

    def estimate(self, question: asked.SubmitSession) -> asked.Estimate:
        """Say what a question can cost at most."""
        return self._once("/sessions/estimate", question, asked.Estimate)

    def sessions(self, **query: Any) -> asked.SessionPage:
        """Return a page of sessions; see `wire.sessions.SessionQuery`."""
        return self._get("/sessions", asked.SessionPage, query)

    def status(self, session_id: UUID) -> asked.SessionProgress:
        """Return how far a session is."""
        return self._get(f"/sessions/{session_id}", asked.SessionProgress)

    def result(self, session_id: UUID) -> asked.SessionResult:
        """Return what came of a session.

        Raises:
            SessionStateConflict: It has not ended.
        """
        return self._get(f"/sessions/{session_id}/result", asked.SessionResult)

    def wait(self, session_id: UUID, *, timeout_seconds: float = 600) -> asked.SessionProgress:
        """Wait until a session has ended, and return its last progress.

        Raises:
            ApiUnavailable: It goes on longer than that.
        """
        end = time.monotonic() + timeout_seconds
        while True:
            now = self.status(session_id)
            if now.ended:
                return now
            if time.monotonic() > end:
                raise ApiUnavailable(self._url, f"session {session_id} is {now.status} still")
            self._sleep(0.5)

    def cancel(self, session_id: UUID) -> asked.CancelledSession:
        """Cancel a session."""
        return self._send("POST", f"/sessions/{session_id}/cancel", asked.CancelledSession)

    def feedback(
        self, session_id: UUID, verdict: str, *, note: str = "", corrected_text: str | None = None
    ) -> asked.FeedbackGiven:
        """Say how good an answer was that nobody reviewed."""
        body = {"verdict": verdict, "note": note, "corrected_text": corrected_text}
        path = f"/sessions/{session_id}/feedback"
        return self._send("POST", path, asked.FeedbackGiven, body)

    def events(self, session_id: UUID, *, after: str | None = None) -> Iterator[Event]:
        """Follow a session to its end, over lost connections.

        Args:
            after: Id of the last event that is known.
        """
        yield from self._events(f"/sessions/{session_id}/events", after)

    def approval_events(self, *, after: str | None = None) -> Iterator[Event]:
        """Follow what happens to approvals; without end."""
        yield from self._events("/approvals/events", after)

    def approvals(self, **query: Any) -> reviews.ApprovalPage:
        """Return a page of requests; see `wire.approvals.ApprovalQuery`."""
        return self._get("/approvals", reviews.ApprovalPage, query)

    def approval(self, approval_id: UUID) -> reviews.Approval:
        """Return a request with everything that a reviewer may see."""
        return self._get(f"/approvals/{approval_id}", reviews.Approval)

    def decide(
        self,
        read: reviews.Approval,
        verdict: str,
        *,
        guidance: str = "",
        edited_text: str | None = None,
    ) -> reviews.Decided:
        """Decide a request as it was read.

        Args:
            read: What `approval` returned; another version of it is refused.
            verdict: ``approved``, ``rejected`` or ``modified``.
            guidance: Why, or what to change.
            edited_text: The corrected answer, with ``modified``.
        """
        body = {
            "verdict": verdict,
            "payload_sha256": read.payload_sha256,
            "guidance": guidance,
            "edited_text": edited_text,
        }
        path = f"/approvals/{read.id}/decision"
        return self._once(path, body, reviews.Decided, {"If-Match": read.etag})

    def claim(self, approval_id: UUID) -> reviews.Claimed:
        """Claim a request for two minutes, or renew the claim."""
        return self._send("POST", f"/approvals/{approval_id}/claim", reviews.Claimed)

    def release(self, approval_id: UUID) -> reviews.Claimed:
        """Give a claim back."""
        return self._send("DELETE", f"/approvals/{approval_id}/claim", reviews.Claimed)

    def retry(self, approval_id: UUID) -> reviews.RetriedApproval:
        """Have a decision carried out again whose runs failed or were lost too often."""
        return self._send("POST", f"/approvals/{approval_id}/retry", reviews.RetriedApproval)

    def reveal(self, approval_id: UUID, reason: str) -> reviews.Originals:
        """Return the unscrubbed texts; it is written down who saw them and why."""
        path = f"/approvals/{approval_id}/reveal"
        return self._send("POST", path, reviews.Originals, {"reason": reason})

    def find_ids(self, kind: str, prefix: str) -> list[UUID]:
        """Return the ids of ``sessions``, ``approvals`` or ``grimoire`` that begin so."""
        return self._get(f"/{kind}/ids", base.Ids, {"prefix": prefix}).ids

    def heuristics(self, **query: Any) -> learned.HeuristicPage:
        """Return a page of heuristics; see `wire.grimoire.HeuristicQuery`."""
        return self._get("/grimoire", learned.HeuristicPage, query)

    def heuristic(self, heuristic_id: UUID) -> learned.HeuristicDetail:
        """Return a heuristic with everything that a curator decides by."""
        return self._get(f"/grimoire/{heuristic_id}", learned.HeuristicDetail)

    def curation_queue(self, **query: Any) -> learned.Queue:
        """Return what waits for a curator; see `wire.grimoire.QueueQuery`."""
        return self._get("/grimoire/queue", learned.Queue, query)

    def search_heuristics(
        self, text: str, *, domain: str | None = None, limit: int = 10
    ) -> learned.Near:
        """Return the heuristics nearest in meaning to a text, quarantined ones too."""
        body = {"text": text, "domain": domain, "limit": limit}
        reply = self._request("POST", "/grimoire/search", body, {}, tries=TRIES)
        return self._read(reply, learned.Near)

    def curate(
        self, heuristic_id: UUID, act: str, *, version: int | None = None, **fields: Any
    ) -> learned.Curated:
        """Do something with a heuristic, once, however often it had to be sent.

        Args:
            act: ``promote``, ``retire``, ``revoke``, ``edit``, ``rollback``, ``pin``, ``merge``,
                ``unmerge``, ``keep-apart`` or ``resolve``.
            version: What was read; another one is refused. None for any.
            fields: Of the act's body in `wire.grimoire`.
        """
        tag = "*" if version is None else f'"v{version}"'
        path = f"/grimoire/{heuristic_id}/{act}"
        return self._once(path, fields, learned.Curated, {"If-Match": tag})

    def import_heuristics(self, lines: str, *, active: bool = False) -> learned.Imported:
        """Store heuristics from lines of JSON, all or none, once, however often it was sent.

        Args:
            lines: As `radiant grimoire export` writes them; at most 10,000; thousands take minutes.
            active: Let agents use them at once, on the word of whose key it is.

        Raises:
            ImportRefused: Names every line that has to be mended first.
        """
        headers = {"Idempotency-Key": str(uuid4()), "Content-Type": "application/x-ndjson"}
        path = f"/grimoire/import?active={str(active).lower()}"
        return self._read(
            self._request("POST", path, lines.encode(), headers, tries=TRIES, timeout=LONG_TIMEOUT),
            learned.Imported,
        )

    def purge(self, kind: str, value: str, *, dry_run: bool = True) -> learned.Purged:
        """List or retire everything that was derived from a session, a user or a heuristic."""
        body = {"kind": kind, "value": value, "dry_run": dry_run}
        return self._once("/grimoire/purge", body, learned.Purged)

    def me(self) -> base.Me:
        """Return whose key it is."""
        return self._get("/me", base.Me)

    def budgets(self, user: str | None = None) -> reading.Budgets:
        """Return limits and how their accounts stand."""
        return self._get("/budgets", reading.Budgets, {"user": user})

    def _get(self, path: str, model: type[Model], query: Mapping[str, Any] | None = None) -> Model:
        given = {name: str(value) for name, value in (query or {}).items() if value is not None}
        where = f"{path}?{urlencode(given)}" if given else path
        return self._read(self._request("GET", where, None, {}, tries=TRIES), model)

    def _send(
        self, method: str, path: str, model: type[Model], body: Mapping[str, Any] | None = None
    ) -> Model:
        return self._read(self._request(method, path, body, {}, tries=1), model)

    def _once(
        self,
        path: str,
        body: BaseModel | Mapping[str, Any],
        model: type[Model],
        headers: Mapping[str, str] | None = None,
    ) -> Model:
        """Post under a key of its own, so that it may be repeated."""
        document = body.model_dump(mode="json") if isinstance(body, BaseModel) else body
        sent = {"Idempotency-Key": str(uuid4()), **(headers or {})}
        return self._read(self._request("POST", path, document, sent, tries=TRIES), model)

    def _request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | bytes | None,
        headers: Mapping[str, str],
        *,
        tries: int,
        timeout: urllib3.Timeout = TIMEOUT,
    ) -> urllib3.BaseHTTPResponse:
        raw = body if isinstance(body, bytes) else None
        for number in range(1, tries + 1):
            wait = 0.0
            try:
                reply = self._http.request(
                    method,
                    self._url + PREFIX + path,
                    body=raw,
                    json=None if raw is not None else body,
                    headers={**self._headers, **headers},
                    timeout=timeout,
                )
            except urllib3.exceptions.HTTPError as error:
                trouble: RadiantError = ApiUnavailable(self._url, type(error).__name__)
            else:
                if reply.status < 400:
                    return reply
                trouble = self._error(reply)
                wait = _asked_pause(reply)
                if reply.status not in (429, 502, 503, 504):
                    raise trouble
            if number == tries or isinstance(trouble, errors.SessionNotLaunched):
                raise trouble
            pause = FIRST_PAUSE_SECONDS * 2 ** (number - 1) * random.uniform(0.8, 1.2)  # noqa: S311
            self._sleep(min(max(pause, wait), LONGEST_PAUSE_SECONDS))
        raise AssertionError("a last try returns or raises")

    def _events(self, path: str, after: str | None) -> Iterator[Event]:
        failures = 0
        while True:
            try:
                for found in self._stream(path, after):
                    after, failures = found.id, 0
                    yield found
                    if found.name == "end":
                        return
            except ApiUnavailable:
                failures += 1
                if failures >= TRIES:
                    raise
                self._sleep(FIRST_PAUSE_SECONDS * 2**failures)

    def _stream(self, path: str, after: str | None) -> Iterator[Event]:
        headers = self._headers | ({"Last-Event-ID": after} if after else {})
        timeout = urllib3.Timeout(connect=5, read=QUIET_SECONDS)
        try:
            reply = self._http.request(
                "GET", self._url + PREFIX + path,
                headers=headers, preload_content=False, timeout=timeout,
            )  # fmt: skip
            if reply.status >= 400:
                raise self._error(reply)
            try:
                yield from parse_events(reply.stream(None))
            finally:
                reply.close()
        except urllib3.exceptions.HTTPError as error:
            raise ApiUnavailable(self._url, type(error).__name__) from None

    def _read(self, reply: urllib3.BaseHTTPResponse, model: type[Model]) -> Model:
        try:
            return model.model_validate_json(reply.data)
        except ValidationError:  # its message would quote the document
            raise ApiUnavailable(self._url, "its answer is not one of this API") from None

    def _error(self, reply: urllib3.BaseHTTPResponse) -> RadiantError:
        if reply.status == 401:
            return ConfigurationError(
                "RADIANT_API_KEY",
                "is not accepted",
                "Use one that is neither expired nor revoked; `radiant keys create` makes them.",
            )
        try:
            problem: dict[str, Any] = json.loads(reply.data)
            return rebuilt(problem) or self._unknown(reply.status, problem)
        except (ValueError, TypeError, KeyError, AttributeError):
            return ApiUnavailable(self._url, f"HTTP {reply.status}")

    def _unknown(self, status: int, problem: Mapping[str, Any]) -> RadiantError:
        if status >= 500 or status == 429:
            return ApiUnavailable(self._url, problem["detail"], problem["request_id"])
        return ApiRefused(problem["code"], status, f"{problem['title']}. {problem['detail']}")


def _asked_pause(reply: urllib3.BaseHTTPResponse) -> float:
    asked = reply.headers.get("Retry-After", "")
    return float(asked) if asked.isdecimal() else 0.0


def rebuilt(problem: Mapping[str, Any]) -> RadiantError | None:
    """Return the error that a problem document was made of, None for one without a class.

    The message is the server's own; what else the class carries comes from the members.
    """
    kind = KNOWN.get(problem["code"])
    if kind is None:
        return None
    error = kind.__new__(kind)
    Exception.__init__(error, problem["detail"])
    for name in ("field", "problem", "fix", "version", "claimed_by"):
        if name in problem:
            setattr(error, name, problem[name])
    if "until" in problem:
        error.until = datetime.fromisoformat(problem["until"])  # pyright: ignore[reportAttributeAccessIssue]
    if "session_status" in problem:
        error.status = problem["session_status"]  # pyright: ignore[reportAttributeAccessIssue]
    if isinstance(error, errors.ImportRefused):
        error.faults = tuple(
            errors.LineFault(*(fault[name] for name in ("line", "field", "problem", "fix")))
            for fault in problem["faults"]
        )
    if isinstance(error, errors.SessionNotLaunched):
        error.session_id = UUID(problem["session_id"])
    if isinstance(error, errors.ApprovalAlreadyResolved):
        standing = problem["standing_decision"]
        error.standing = errors.StandingDecision(
            standing["verdict"],
            tuple(standing["decided_by"]),
            datetime.fromisoformat(standing["decided_at"]),
        )
    return error


def parse_events(pieces: Iterator[bytes]) -> Iterator[Event]:
    """Return the events in a stream, whose pieces may end anywhere."""
    waiting = b""
    for piece in pieces:
        waiting += piece
        *blocks, waiting = waiting.split(b"\n\n")
        for block in blocks:
            lines = [line.partition(": ") for line in block.decode().split("\n")]
            fields = {name: value for name, _, value in lines if name}
            if "data" in fields:
                yield Event(fields.get("id", ""), fields["event"], json.loads(fields["data"]))

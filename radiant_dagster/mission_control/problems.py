"""What a refusal looks like on the wire: one mapping from errors to RFC 9457 problem documents.

Only errors that were written for a caller show their message. Whatever tells of our own insides
(hosts, settings, drivers) becomes a general sentence and a request id, under which the log names
the type and the place, and no content.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from starlette.responses import Response

from radiant_dagster.errors import (
    ApprovalAlreadyResolved,
    ApprovalChanged,
    ApprovalClaimed,
    ApprovalExpired,
    ApprovalForbidden,
    ApprovalNotFound,
    ApprovalStale,
    BudgetExceeded,
    BudgetMissing,
    Cancelled,
    CurationForbidden,
    HeuristicChanged,
    HeuristicNotFound,
    IdempotencyConflict,
    ImportRefused,
    InvalidInput,
    KeyNotFound,
    OriginalErased,
    PrincipalNotFound,
    RadiantError,
    SessionNotFound,
    SessionNotLaunched,
    SessionStateConflict,
    StateError,
    TenantNotFound,
    TransientError,
    UnsafeContent,
)

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 5
MAX_FAULTS = 100  # of an import, told one by one

# Most specific first; the message of these is meant for whoever asked.
PUBLIC: tuple[tuple[type[RadiantError], int, str], ...] = (
    (ImportRefused, 422, "Nothing was imported"),
    (InvalidInput, 422, "The request is not acceptable"),
    (SessionNotFound, 404, "No such session"),
    (ApprovalNotFound, 404, "No such approval"),
    (HeuristicNotFound, 404, "No such heuristic"),
    (HeuristicChanged, 409, "The heuristic has changed"),
    (CurationForbidden, 403, "Not for you to let through"),
    (PrincipalNotFound, 404, "No such principal"),
    (KeyNotFound, 404, "No such key"),
    (TenantNotFound, 404, "No such tenant"),
    (ApprovalExpired, 410, "The deadline has passed"),
    (ApprovalAlreadyResolved, 409, "Decided already"),
    (ApprovalChanged, 409, "The text has changed"),
    (ApprovalStale, 412, "The request has changed"),
    (ApprovalClaimed, 423, "Somebody else is at it"),
    (OriginalErased, 410, "The original is gone"),
    (IdempotencyConflict, 422, "The key belongs to another request"),
    (SessionNotLaunched, 503, "The session was not launched"),
    (ApprovalForbidden, 403, "Not for you to decide"),
    (BudgetExceeded, 402, "The budget does not cover this"),
    (BudgetMissing, 402, "There is no budget"),
    (UnsafeContent, 422, "Refused as unsafe"),
    (Cancelled, 409, "Cancelled"),
    (StateError, 409, "Not possible in this state"),
)


class Refusal(RadiantError):
    """A request that is refused before any work is done for it.

    Args:
        status: HTTP status.
        code: For programs.
        title: For people, the same for every request with this code.
        detail: What to do.
        headers: To send along.
    """

    def __init__(
        self,
        status: int,
        code: str,
        title: str,
        detail: str,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{title}. {detail}")
        self.status = status
        self.code = code
        self.title = title
        self.detail = detail
        self.headers = dict(headers or {})


@dataclass(frozen=True, slots=True)
class Problem:
    """A refusal as it is sent.

    Args:
        status: HTTP status.
        code: For programs.
        title: For people, the same for every problem of this code.
        detail: What happened this time and what to do.
        headers: To send along.
        extra: Further members, for instance ``field``.
    """

    status: int
    code: str
    title: str
    detail: str
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def document(self, request_id: str) -> dict[str, Any]:
        """Return the members of the problem document."""
        return {
            "type": f"urn:radiant:problem:{self.code}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "instance": f"urn:radiant:request:{request_id}",
            "code": self.code,
            "request_id": request_id,
            **self.extra,
        }

    def response(self, request_id: str) -> Response:
        """Return the problem as an HTTP response."""
        body = json.dumps(self.document(request_id), ensure_ascii=False)
        return Response(body, self.status, dict(self.headers), media_type=MEDIA_TYPE)


def problem_of(error: Exception) -> Problem:
    """Return how an error is answered."""
    if isinstance(error, Refusal):
        return Problem(error.status, error.code, error.title, error.detail, error.headers)
    for kind, status, title in PUBLIC:
        if isinstance(error, kind):
            pause = {"Retry-After": str(RETRY_SECONDS)} if status == 503 else {}
            return Problem(status, error.code, title, str(error), pause, _members(error))
    if isinstance(error, TransientError):
        return Problem(
            503,
            error.code.partition(":")[0],
            "A service is away",
            "Nothing was done. Try again in a moment.",
            {"Retry-After": str(RETRY_SECONDS)},
        )
    return Problem(
        500, "internal_error", "Something broke here", "Report it with the request id below."
    )


def _members(error: RadiantError) -> dict[str, Any]:
    """Return what a program needs of an error; `client` builds the same error from it."""
    match error:
        case ImportRefused():
            told = [asdict(fault) for fault in error.faults[:MAX_FAULTS]]
            return {**_of_field(error), "fault_count": len(error.faults), "faults": told}
        case InvalidInput():
            return _of_field(error)
        case ApprovalAlreadyResolved():
            standing = error.standing
            return {
                "standing_decision": {
                    "verdict": standing.verdict,
                    "decided_by": list(standing.decided_by),
                    "decided_at": standing.decided_at.isoformat(),
                }
            }
        case ApprovalStale() | HeuristicChanged():
            return {"version": error.version}
        case ApprovalClaimed():
            return {"claimed_by": error.claimed_by, "until": error.until.isoformat()}
        case SessionNotLaunched():
            return {"session_id": str(error.session_id)}
        case SessionStateConflict():
            return {"session_status": error.status}
        case _:
            return {}


def _of_field(error: InvalidInput) -> dict[str, Any]:
    return {"field": error.field, "problem": error.problem, "fix": error.fix}


def unauthenticated() -> Refusal:
    """Return the one answer to every missing or useless credential."""
    return Refusal(
        401,
        "unauthenticated",
        "Who are you?",
        "Send `Authorization: Bearer rk_...` with a key that is neither expired nor revoked.",
        {"WWW-Authenticate": 'Bearer realm="radiant"'},
    )


def forbidden(permission: str) -> Refusal:
    """Return the answer to somebody known who may not do this."""
    return Refusal(
        403,
        "permission_denied",
        "You may not do this",
        f"It takes the permission {permission}. Ask an admin for a role that has it.",
    )


def too_many(seconds: int) -> Refusal:
    """Return the answer to somebody who asks too often."""
    return Refusal(
        429,
        "too_many_requests",
        "Too many requests",
        f"Try again in {seconds} s.",
        {"Retry-After": str(seconds)},
    )


def not_found() -> Refusal:
    """Return the answer to an unknown address."""
    return Refusal(404, "not_found", "There is nothing here", "Check the address.")


def too_large(limit: int) -> Refusal:
    """Return the answer to a body that is larger than anything we read."""
    return Refusal(
        413,
        "body_too_large",
        "The body is too large",
        f"Send at most {limit:,} bytes.",
        # What is left of the body is not read, so the connection cannot be used again.
        {"Connection": "close"},
    )

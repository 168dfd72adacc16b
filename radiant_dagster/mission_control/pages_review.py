"""One request: what a reviewer reads, and the acts on it.

A refusal never costs the reviewer's text: the page comes back with the reason's status, the
standing decision and everything that was typed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args
from uuid import UUID

from starlette.responses import JSONResponse, RedirectResponse, Response

from radiant_dagster.adapters import approvals, claims, inbox, recovery
from radiant_dagster.adapters.reveal import Originals, reveal
from radiant_dagster.domain.approvals import (
    PendingApproval,
    Verdict,
    Vote,
    require_eligible,
    same_person,
)
from radiant_dagster.domain.ladder import describe
from radiant_dagster.domain.word_diff import word_diff
from radiant_dagster.errors import ApprovalForbidden, InvalidInput, RadiantError
from radiant_dagster.mission_control.guard import Call, Endpoint
from radiant_dagster.mission_control.pages import launch, reviewer_of
from radiant_dagster.mission_control.problems import Problem, problem_of
from radiant_dagster.mission_control.words import person

REVEAL_SECONDS = 120
# A withheld review holds facts alone, and older ones lack what came later.
EMPTY_REVIEW: Mapping[str, Any] = {
    "prompt": None,
    "draft": "",
    "answers": {},
    "agents": (),
    "claims": (),
    "dissent": (),
    "heuristics": (),
    "tool_calls": (),
    "scrubbed": {},
    "swarm_status": None,
    "missing_agents": {},
    "downgrades": (),
    "cato_verdict": None,
    "cato_reasons": (),
    "agreement": None,
    "offline_demo": False,
    "cut": (),
}
SAID: Mapping[str, str] = {
    "approved": "Approved. The answer is on its way.",
    "rejected": "Rejected. The question ends without an answer.",
    "modified": "Your change is recorded.",
    "counted": "Your approval is counted. A second person has to look as well.",
    "claimed": "This is yours for two minutes; the open page renews it.",
    "released": "Released. Others can take it.",
    "retried": "It is being carried out again.",
}


@dataclass(frozen=True, slots=True)
class Typed:
    """What the reviewer had typed, for the page that comes back."""

    guidance: str = ""
    edited_text: str | None = None
    verdict: str = ""


def _typed(form: Mapping[str, str]) -> Typed:
    """Return a form's texts; browsers send every line end as two characters."""
    edited = form.get("edited_text")
    return Typed(
        form.get("guidance", "").replace("\r\n", "\n"),
        None if edited is None else edited.replace("\r\n", "\n"),
        form.get("verdict", ""),
    )


def _id(call: Call) -> UUID:
    return call.request.path_params["approval_id"]


def _wants_json(call: Call) -> bool:
    return "application/json" in call.request.headers.get("accept", "")


def _detail(call: Call) -> dict[str, Any]:
    with call.transaction("radiant_review") as cursor:
        return inbox.approval_detail(cursor, call.tenant_id, _id(call))


def show(call: Call) -> Response:
    """Show the request."""
    return _page(call, said=SAID.get(call.request.query_params.get("said", ""), ""))


def _page(
    call: Call,
    *,
    problem: Problem | None = None,
    typed: Typed | None = None,
    preview: bool = False,
    originals: Originals | None = None,
    said: str = "",
) -> Response:
    row = _detail(call)
    review = {**EMPTY_REVIEW, **row["review_sanitized"]}
    draft = review["draft"] or ""
    text = typed.edited_text if typed and typed.edited_text is not None else draft
    dagster = call.services.settings.dagster_public_url or call.services.settings.dagster_url
    run_id = row["conclude_run_id"] or row["dagster_run_id"]
    claimed = row["claimed_by"]
    return call.page(
        "review.html",
        problem.status if problem else 200,
        here="inbox",
        row=row,
        review=review,
        draft=draft,
        typed=typed or Typed(),
        text=text,
        preview=word_diff(draft, text) if preview else None,
        problem=problem,
        said=said,
        originals=originals,
        reveal_seconds=REVEAL_SECONDS,
        reduced=describe(review["downgrades"] or (), len(review["agents"])),
        refusal=_refusal(call, row),
        is_mine=claimed is not None and same_person(claimed, call.principal.name),
        may_claim=call.principal.may("approvals.claim"),
        may_break=call.principal.may("approvals.admin"),
        may_retry=call.principal.may("approvals.admin"),
        may_reveal=call.principal.may("approvals.reveal"),
        may_session=call.principal.may("sessions.read"),
        run_url=f"{dagster.rstrip('/')}/runs/{run_id}" if run_id else None,
    )


def _refusal(call: Call, row: Mapping[str, Any]) -> str:
    """Return why this person cannot decide, empty where they can."""
    if not call.principal.may("approvals.decide"):
        return "You can read this, but not decide it."
    request = PendingApproval(
        id=row["id"],
        domain=row["domain"],
        requested_by=row["requester"],
        deadline=row["deadline"],
        quorum=row["quorum"],
        required_role=row["required_role"],
        payload_sha256=b"",
        withheld=row["withheld"],
        voters=tuple(vote["actor"] for vote in row["votes"]),
        second_role=row["second_role"],
        escalated=row["escalated_at"] is not None,
        assignees=tuple(row["assignees"] or ()),
    )
    try:
        require_eligible(request, reviewer_of(call))
    except ApprovalForbidden as error:
        reason = str(error).partition(": ")[2].rstrip(".")
        return f"You cannot decide this: {reason}."
    return ""


def state(call: Call) -> Response:
    """Tell the open page how the request stands."""
    row = _detail(call)
    return JSONResponse(
        {
            "state": row["shown_state"],
            "version": row["version"],
            "deadline": row["deadline"].isoformat(),
            "server_now": row["server_now"].isoformat(),
            "claimed_by": row["claimed_by"],
            "decided_by": [person(name) for name in row["decided_by"] or ()],
        }
    )


def decide(call: Call) -> Response:
    """Record a vote on exactly the text that the page showed."""
    form = call.form()
    typed = _typed(form)
    try:
        verdict = approvals.decide(
            call.services.database,
            call.tenant_id,
            _id(call),
            _vote(call, form, typed),
            if_version=_version(form),
        )
    except RadiantError as error:
        problem = problem_of(error)
        if problem.status >= 500 or problem.status == 404:
            raise
        return _page(call, problem=problem, typed=typed)
    if verdict is not None:
        launch(call, _id(call))
    return _back(call, verdict or "counted")


def _vote(call: Call, form: Mapping[str, str], typed: Typed) -> Vote:
    wanted: tuple[Verdict, ...] = get_args(Verdict)
    chosen: list[Verdict] = [verdict for verdict in wanted if verdict == typed.verdict]
    if not chosen:
        raise InvalidInput("verdict", "is missing", "Use the page's buttons.")
    edited = typed.edited_text if chosen[0] == "modified" else None
    if edited is not None and edited == (_detail(call)["review_sanitized"].get("draft") or ""):
        edited = None  # unchanged: it is the guidance that counts
    try:
        seen = bytes.fromhex(form.get("payload_sha256", ""))
    except ValueError:
        raise InvalidInput("payload_sha256", "is no hash", "Reload the page.") from None
    who = call.principal
    return Vote(
        who.name, frozenset(who.roles), chosen[0], seen, typed.guidance, edited, who.domains
    )


def _version(form: Mapping[str, str]) -> int:
    text = form.get("version", "")
    if not text.isdecimal() or len(text) > 9:
        raise InvalidInput("version", "is no number", "Reload the page.")
    return int(text)


def _back(call: Call, said: str) -> Response:
    return RedirectResponse(f"/approvals/{_id(call)}?said={said}", 303)


def preview(call: Call) -> Response:
    """Show what an edit changes, for browsers without scripts. Nothing is recorded."""
    return _page(call, typed=_typed(call.form()), preview=True)


def claim(call: Call) -> Response:
    """Take the request for two minutes, or renew that."""
    try:
        held = claims.claim(call.services.database, call.tenant_id, _id(call), reviewer_of(call))
    except RadiantError as error:
        return _refused(call, error)
    if _wants_json(call):
        return JSONResponse({"claimed_by": held.claimed_by})
    return _back(call, "claimed")


def release(call: Call) -> Response:
    """Give the request back, or break somebody else's claim as an admin."""
    try:
        claims.release(call.services.database, call.tenant_id, _id(call), reviewer_of(call))
    except RadiantError as error:
        return _refused(call, error)
    if _wants_json(call):
        return JSONResponse({"claimed_by": None})
    return _back(call, "released")


def retry(call: Call) -> Response:
    """Have a decision carried out again whose runs failed or were lost too often."""
    database, wanted = call.services.database, _id(call)
    try:
        recovery.revive(database, call.tenant_id, wanted, actor=call.principal.name)
    except RadiantError as error:
        return _refused(call, error)
    launch(call, wanted)
    return _back(call, "retried")


def show_original(call: Call) -> Response:
    """Show the unscrubbed texts, once, to who says why; the look is written down first."""
    why = call.form().get("reason", "")
    try:
        originals = reveal(
            call.services.database, call.tenant_id, _id(call), reviewer_of(call), reason=why
        )
    except RadiantError as error:
        return _refused(call, error)
    if _wants_json(call):
        return JSONResponse(
            {
                "prompt": originals.prompt,
                "draft": originals.draft,
                "answers": dict(originals.answers),
                "seconds": REVEAL_SECONDS,
            }
        )
    return _page(call, originals=originals)


def _refused(call: Call, error: RadiantError) -> Response:
    problem = problem_of(error)
    if problem.status >= 500 or problem.status == 404:
        raise error
    if _wants_json(call):
        return problem.response(call.request_id)
    return _page(call, problem=problem)


BASE = "/approvals/{approval_id:uuid}"
ENDPOINTS = (
    Endpoint("GET", BASE, "approvals.read", show, kind="page"),
    Endpoint("GET", f"{BASE}/state", "approvals.read", state),
    Endpoint("POST", f"{BASE}/decision", "approvals.decide", decide, kind="page"),
    Endpoint("POST", f"{BASE}/preview", "approvals.decide", preview, kind="page"),
    Endpoint("POST", f"{BASE}/claim", "approvals.claim", claim, kind="page"),
    Endpoint("POST", f"{BASE}/release", "approvals.release", release, kind="page"),
    Endpoint("POST", f"{BASE}/retry", "approvals.admin", retry, kind="page"),
    Endpoint("POST", f"{BASE}/reveal", "approvals.reveal", show_original, kind="page"),
)

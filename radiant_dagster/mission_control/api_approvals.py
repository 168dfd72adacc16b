"""Approvals over the API: the inbox, one request, claiming and deciding it.

Who acts comes from the credential. Texts come scrubbed, but for `reveal`. A decision is bound to
the version and the text that were read, and is carried out once however often it is sent.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import anyio
from starlette.responses import Response

from radiant_dagster.adapters import approvals, audit, claims, continuation, inbox, recovery
from radiant_dagster.adapters.idempotency import Reply
from radiant_dagster.adapters.paging import Place
from radiant_dagster.adapters.reveal import reveal as reveal_originals
from radiant_dagster.adapters.session_view import find_ids
from radiant_dagster.domain.approvals import Reviewer, Vote
from radiant_dagster.errors import ApprovalExpired
from radiant_dagster.mission_control.api import (
    Operation,
    answer,
    if_match,
    once,
    read_body,
    read_query,
    replayed,
    rows,
)
from radiant_dagster.mission_control.guard import Call
from radiant_dagster.mission_control.problems import Refusal, problem_of
from radiant_dagster.mission_control.streams import waiting
from radiant_dagster.wire import approvals as wire
from radiant_dagster.wire.base import Ids, PrefixQuery

ONE = "/approvals/{approval_id:uuid}"
LOOK_SECONDS = 0.5


def approval_id(call: Call) -> UUID:
    """Return the id in the path."""
    return call.request.path_params["approval_id"]


def reviewer_of(call: Call) -> Reviewer:
    """Return who acts, as the credential says."""
    who = call.principal
    return Reviewer(who.name, frozenset(who.roles), who.domains)


def list_(call: Call) -> Response:
    """Return a page of the inbox."""
    query = read_query(call, wire.ApprovalQuery)
    me = call.principal.name
    with call.transaction("radiant_review") as cursor:
        page = inbox.inbox(
            cursor, call.tenant_id,
            states=None if query.state == "all" else (query.state,),
            domain=query.domain,
            assignee=me if query.assignee else None,
            claimed_by=me if query.claimed else None,
            q=query.q,
            deadline_before=query.deadline_before,
            after=Place.parse(query.cursor) if query.cursor else None,
            limit=query.limit,
            newest_first=query.order == "newest",
        )  # fmt: skip
        counts = inbox.counts(cursor, call.tenant_id)
    return answer(
        wire.ApprovalPage(
            approvals=rows(wire.ApprovalSummary, map(_renamed, page.rows)),
            counts=rows(wire.Count, counts),
            server_now=page.server_now,
            next_cursor=page.after.text if page.after else None,
        )
    )


def _renamed(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**row, "requested_by": row["requester"]}


def find(call: Call) -> Response:
    """Return the ids that begin with what a person typed."""
    query = read_query(call, PrefixQuery)
    with call.transaction("radiant_review") as cursor:
        return answer(Ids(ids=find_ids(cursor, call.tenant_id, "approval_request", query.prefix)))


async def one(call: Call) -> Response:
    """Return a request; waits for a change of the version that the caller has."""
    wait = read_query(call, wire.WaitQuery).wait
    known = call.request.headers.get("If-None-Match")
    first = await call.services.in_thread(lambda: _detail(call))
    now = first
    if wait and known == first.etag:
        with waiting(call), anyio.move_on_after(wait):
            while (now.etag, now.shown_state) == (known, first.shown_state):
                await anyio.sleep(LOOK_SECONDS)
                now = await call.services.in_thread(lambda: _detail(call))
    headers = {"ETag": now.etag}
    if known == now.etag and now.shown_state == first.shown_state:
        return Response(status_code=304, headers=headers)
    return answer(now, headers=headers)


def _detail(call: Call) -> wire.Approval:
    with call.transaction("radiant_review") as cursor:
        row = inbox.approval_detail(cursor, call.tenant_id, approval_id(call))
    return wire.Approval.model_validate(_renamed(row))


def claim(call: Call) -> Response:
    """Claim a request, or renew a claim."""
    held = claims.claim(
        call.services.database, call.tenant_id, approval_id(call), reviewer_of(call)
    )
    return answer(wire.Claimed.model_validate(held))


def release(call: Call) -> Response:
    """Give a claim back, or break somebody else's as an admin."""
    claims.release(call.services.database, call.tenant_id, approval_id(call), reviewer_of(call))
    return answer(
        wire.Claimed(
            approval_id=approval_id(call), claimed_by=None, expires_at=None, server_now=None
        )
    )


def decide(call: Call) -> Response:
    """Record a vote once, and have the decision that it makes carried out."""
    body = read_body(call, wire.Decide)
    version = if_match(call)
    vote = _vote(call, body)
    reply = once(
        call,
        body,
        lambda cursor: _reply(
            approvals.cast_vote(cursor, call.tenant_id, approval_id(call), vote, if_version=version)
        ),
        role="radiant_review",
    )
    if reply.status == 410:  # raised here, since the record of it has to be committed
        raise ApprovalExpired(approval_id(call), datetime.fromisoformat(reply.body["deadline"]))
    document = wire.Decided(approval_id=approval_id(call), **reply.body)
    if reply.replayed:
        return answer(document, 200, replayed(reply))
    if document.verdict is not None:
        _carry_out(call, approval_id(call))
    return answer(document, reply.status)


def _vote(call: Call, body: wire.Decide) -> Vote:
    who = reviewer_of(call)
    return Vote(
        who.actor,
        who.roles,
        body.verdict,
        bytes.fromhex(body.payload_sha256),
        body.guidance,
        body.edited_text,
        who.domains,
    )


def _reply(outcome: approvals.VoteOutcome) -> Reply:
    if outcome.expired is not None:
        return Reply(410, {"deadline": outcome.expired.deadline.isoformat()})
    facts = {
        "session_id": str(outcome.session_id),
        "verdict": outcome.verdict,
        "votes": outcome.votes,
        "quorum": outcome.quorum,
    }
    return Reply(202 if outcome.verdict is None else 201, facts)


def _carry_out(call: Call, decided: UUID) -> None:
    """Ask Dagster for the continuation; where that fails the sensor does it."""
    services = call.services
    continuation.launch_soon(services.database, services.dagster, call.tenant_id, decided)


def reveal(call: Call) -> Response:
    """Return the unscrubbed texts; who saw them is in the audit trail before they are sent."""
    reason = read_body(call, wire.Reveal).reason
    texts = reveal_originals(
        call.services.database, call.tenant_id, approval_id(call), reviewer_of(call), reason=reason
    )
    document = wire.Originals(
        approval_id=approval_id(call),
        prompt=texts.prompt,
        draft=texts.draft,
        answers=dict(texts.answers),
    )
    return answer(document, headers={"Cache-Control": "no-store"})


def cancel(call: Call) -> Response:
    """Cancel a request and its session."""
    database, wanted = call.services.database, approval_id(call)
    ended = claims.cancel(database, call.tenant_id, wanted, reviewer_of(call))
    return answer(wire.CancelledApproval(approval_id=wanted, session_id=ended))


def retry(call: Call) -> Response:
    """Have a decision carried out again whose runs failed or were lost too often."""
    wanted = approval_id(call)
    revived = recovery.revive(
        call.services.database, call.tenant_id, wanted, actor=call.principal.name
    )
    _carry_out(call, wanted)
    return answer(wire.RetriedApproval(approval_id=wanted, session_id=revived))


async def reassign(call: Call) -> Response:
    """Say who may decide; answers with the request as it is now."""
    now = await call.services.in_thread(lambda: _reassigned(call))
    return answer(now, headers={"ETag": now.etag})


def _reassigned(call: Call) -> wire.Approval:
    assignees = read_body(call, wire.Reassign).assignees
    version = if_match(call) if "If-Match" in call.request.headers else None
    claims.reassign(
        call.services.database, call.tenant_id, approval_id(call), reviewer_of(call), assignees,
        if_version=version,
    )  # fmt: skip
    return _detail(call)


def bulk(call: Call) -> Response:
    """Claim or reject several requests, each with a result of its own."""
    asked = call.json()
    if isinstance(asked, dict) and asked.get("action") in ("approve", "approved"):
        raise Refusal(
            400,
            "bulk_approval",
            "Nothing is approved in bulk",
            "Open each request and decide on the text that you read.",
        )
    body = read_body(call, wire.Bulk)
    outcomes = claims.bulk(
        call.services.database,
        call.tenant_id,
        [(item.id, bytes.fromhex(item.payload_sha256 or "")) for item in body.approvals],
        body.action,
        reviewer_of(call),
        guidance=body.guidance,
    )
    if body.action == "reject":
        for outcome in outcomes:
            if outcome.error is None:
                _carry_out(call, outcome.approval_id)
    return answer(wire.BulkResults(results=[_bulk_result(outcome) for outcome in outcomes]), 207)


def _bulk_result(outcome: claims.BulkOutcome) -> wire.BulkResult:
    if outcome.error is None:
        return wire.BulkResult(approval_id=outcome.approval_id, status=200, code=None, detail=None)
    problem = problem_of(outcome.error)
    return wire.BulkResult(
        approval_id=outcome.approval_id,
        status=problem.status,
        code=problem.code,
        detail=problem.detail,
    )


def history(call: Call) -> Response:
    """Return who did what to a request."""
    with call.transaction("radiant_review") as cursor:
        approvals.get_approval(cursor, call.tenant_id, approval_id(call))
        entries = audit.of_approval(cursor, call.tenant_id, approval_id(call))
    return answer(wire.AuditPage(entries=rows(wire.AuditEntry, entries)))


TAG = "Approvals"
OPERATIONS = (
    Operation(
        "GET", "/approvals", "approvals.read", list_, TAG,
        "List requests with counts; waiting ones where no state is named.",
        {200: wire.ApprovalPage}, query=wire.ApprovalQuery,
    ),
    Operation(
        "GET", "/approvals/ids", "approvals.read", find, TAG,
        "Find ids by their first characters.", {200: Ids}, query=PrefixQuery,
    ),
    Operation(
        "POST", "/approvals/bulk", "approvals.decide", bulk, TAG,
        "Claim or reject several requests. Nothing is approved in bulk.",
        {207: wire.BulkResults}, body=wire.Bulk,
    ),
    Operation(
        "GET", ONE, "approvals.read", one, TAG,
        "Return a request, scrubbed of personal data; may wait for a change.",
        {200: wire.Approval, 304: None}, query=wire.WaitQuery,
        headers=("If-None-Match",), problems=(404,),
    ),
    Operation(
        "POST", f"{ONE}/claim", "approvals.claim", claim, TAG,
        "Claim a request for two minutes, or renew the claim.",
        {200: wire.Claimed}, problems=(404, 409, 410, 423),
    ),
    Operation(
        "DELETE", f"{ONE}/claim", "approvals.release", release, TAG,
        "Give a claim back; the role admin breaks somebody else's.",
        {200: wire.Claimed}, problems=(404, 409, 423),
    ),
    Operation(
        "POST", f"{ONE}/decision", "approvals.decide", decide, TAG,
        "Decide: 201 where the decision stands, 202 where another vote is needed, 200 for a "
        "repetition.",
        {201: wire.Decided, 202: wire.Decided, 200: wire.Decided}, body=wire.Decide,
        headers=("Idempotency-Key", "If-Match"), required=("Idempotency-Key", "If-Match"),
        problems=(404, 409, 410, 412, 423, 428),
    ),
    Operation(
        "POST", f"{ONE}/reveal", "approvals.reveal", reveal, TAG,
        "Return the unscrubbed texts. It is written into the audit trail.",
        {200: wire.Originals}, body=wire.Reveal, problems=(404, 410),
    ),
    Operation(
        "POST", f"{ONE}/cancel", "approvals.admin", cancel, TAG,
        "Cancel a waiting request together with its session.",
        {200: wire.CancelledApproval}, problems=(404, 409),
    ),
    Operation(
        "POST", f"{ONE}/retry", "approvals.admin", retry, TAG,
        "Have a decision carried out again whose runs failed or were lost too often.",
        {200: wire.RetriedApproval}, problems=(404, 409),
    ),
    Operation(
        "POST", f"{ONE}/reassign", "approvals.admin", reassign, TAG,
        "Say who may decide a waiting request.",
        {200: wire.Approval}, body=wire.Reassign, headers=("If-Match",),
        problems=(404, 409, 412),
    ),
    Operation(
        "GET", f"{ONE}/audit", "audit.read", history, TAG, "Say who did what to a request.",
        {200: wire.AuditPage}, problems=(404,),
    ),
)  # fmt: skip

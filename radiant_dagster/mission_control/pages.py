"""The inbox: what waits for a person, the nearest deadline first, live, and in bulk.

Nothing is approved here: who approves has opened the text.
"""

import json
import time
from collections.abc import AsyncGenerator, Mapping
from functools import partial
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import anyio
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse

from radiant_dagster.adapters import claims, inbox
from radiant_dagster.adapters.continuation import launch_soon
from radiant_dagster.adapters.inbox import Place
from radiant_dagster.domain.approvals import Reviewer
from radiant_dagster.errors import InvalidInput
from radiant_dagster.mission_control.guard import Call, Endpoint

PAGE_ROWS = 50
LIVE_ROWS = 200
DECIDED = ("approved", "rejected", "modified")
VIEWS: Mapping[str, tuple[str, ...] | None] = {
    "waiting": ("pending",),
    "decided": DECIDED,
    "expired": ("expired",),
    "cancelled": ("cancelled",),
    "all": None,
}
WHOSE = ("everyone", "me", "claimed")
LIVE_SECONDS = 55.0  # the browser comes again, and who may not any more is found out then
POLL_SECONDS = 2.0


def home(call: Call) -> Response:
    """Lead everybody to what they may see."""
    if call.principal.may("approvals.read"):
        return show_inbox(call)
    if call.principal.may("grimoire.curate"):
        return RedirectResponse("/grimoire", 303)
    return RedirectResponse("/sessions", 303)


def reviewer_of(call: Call) -> Reviewer:
    """Return who acts, as the rules of decisions know them."""
    who = call.principal
    return Reviewer(who.name, frozenset(who.roles), who.domains)


def launch(call: Call, approval_id: UUID) -> None:
    """Ask Dagster to carry a decision out; the sensor does it where that fails."""
    services = call.services
    launch_soon(services.database, services.dagster, call.tenant_id, approval_id)


def _filters(call: Call) -> dict[str, str]:
    query = call.request.query_params
    view, whose = query.get("view", "waiting"), query.get("whose", "everyone")
    return {
        "view": view if view in VIEWS else "waiting",
        "whose": whose if whose in WHOSE else "everyone",
        "domain": query.get("domain", ""),
        "q": query.get("q", "")[:200],
    }


def _find(call: Call, filters: Mapping[str, str], cursor: Any, limit: int) -> inbox.InboxPage:
    me = call.principal.name
    place = call.request.query_params.get("cursor")
    return inbox.inbox(
        cursor,
        call.tenant_id,
        states=VIEWS[filters["view"]],
        domain=filters["domain"] or None,
        assignee=me if filters["whose"] == "me" else None,
        claimed_by=me if filters["whose"] == "claimed" else None,
        q=filters["q"],
        after=Place.parse(place) if place else None,
        limit=limit,
        newest_first=filters["view"] != "waiting",
    )


def show_inbox(call: Call, *, status: int = 200, **more: Any) -> Response:
    """Show what waits."""
    filters = _filters(call)
    with call.transaction("radiant_review") as cursor:
        found = _find(call, filters, cursor, PAGE_ROWS)
        counted = inbox.counts(cursor, call.tenant_id)
    asked = {name: text for name, text in filters.items() if text}
    following = found.after and urlencode({**asked, "cursor": found.after.text})
    return call.page(
        "inbox.html",
        status,
        here="inbox",
        page=found,
        filters=filters,
        query=urlencode(asked),
        following=following,
        waiting=sum(row["number"] for row in counted if row["state"] == "pending"),
        domains=sorted({row["domain"] for row in counted}),
        may_decide=call.principal.may("approvals.decide"),
        said=_said(call),
        **more,
    )


def _said(call: Call) -> str:
    """Return what the last bulk action came to. Numbers only: a link cannot put words here."""
    query = call.request.query_params
    what = {"claim": "claimed", "reject": "rejected"}.get(query.get("did", ""))
    done, failed = query.get("done", ""), query.get("failed", "")
    if what is None or not (done.isdecimal() and failed.isdecimal()):
        return ""
    text = f"{int(done[:4])} {what}."
    if int(failed[:4]):
        text += f" {int(failed[:4])} not: somebody else has them, or they are decided already."
    return text


def bulk(call: Call) -> Response:
    """Claim or reject what was ticked; each stands or fails on its own."""
    form = call.form()
    picked: list[tuple[UUID, bytes]] = []
    try:
        picked = [
            (UUID(name.removeprefix("pick.")), bytes.fromhex(text))
            for name, text in form.items()
            if name.startswith("pick.")
        ]
        action: Any = form.get("action", "")
        outcomes = claims.bulk(
            call.services.database,
            call.tenant_id,
            picked,
            action,
            reviewer_of(call),
            guidance=form.get("guidance", ""),
        )
    except InvalidInput as error:
        said = "Tick at least one request first." if error.field == "ids" else str(error)
        kept = {"ticked": {str(name) for name, _ in picked}, "guidance": form.get("guidance", "")}
        return show_inbox(call, status=422, problem=said, **kept)
    except ValueError:
        raise InvalidInput("pick", "is no request of the list", "Reload the list.") from None
    # Rejections in bulk are carried out by the sensor: a hundred launches at once would take the
    # connections that others' pages need, and nobody waits for the end of a rejected question.
    done = sum(outcome.error is None for outcome in outcomes)
    query = {"did": action, "done": done, "failed": len(outcomes) - done}
    return RedirectResponse(f"/approvals?{urlencode(query)}", 303)


def _snapshot(call: Call, filters: Mapping[str, str]) -> dict[str, Any]:
    with call.transaction("radiant_review") as cursor:
        found = _find(call, filters, cursor, LIVE_ROWS)
    return {
        "server_now": found.server_now.isoformat(),
        "approvals": [
            {
                "id": str(row["id"]),
                "domain": row["domain"],
                "state": row["shown_state"],
                "created_at": row["created_at"].isoformat(),
                "deadline": row["deadline"].isoformat(),
                "claimed_by": row["claimed_by"],
                "votes": row["votes"],
            }
            for row in found.rows
        ],
    }


async def live(call: Call) -> Response:
    """Tell a page what changed: a stream for browsers, one answer for who asks for no stream."""
    filters = _filters(call)
    look = partial(call.services.in_thread, partial(_snapshot, call, filters))
    if "text/event-stream" not in call.request.headers.get("accept", ""):
        return JSONResponse(await look())

    async def events() -> AsyncGenerator[str]:
        end, last = time.monotonic() + LIVE_SECONDS, None
        yield "retry: 2000\n\n"
        while time.monotonic() < end:
            found = await look()
            if found["approvals"] != last:
                last = found["approvals"]
                yield f"event: inbox\ndata: {json.dumps(found)}\n\n"
            else:
                yield ": still here\n\n"
            await anyio.sleep(POLL_SECONDS)

    return StreamingResponse(events(), media_type="text/event-stream")


ENDPOINTS = (
    Endpoint("GET", "/", "signed_in", home, kind="page"),
    Endpoint("GET", "/approvals", "approvals.read", show_inbox, kind="page"),
    Endpoint("GET", "/approvals/live", "approvals.read", live),
    Endpoint("POST", "/approvals/bulk", "approvals.decide", bulk, kind="page"),
)

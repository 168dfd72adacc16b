"""Questions that were asked and how each went, and how the reviews go."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from starlette.responses import Response

from radiant_dagster.adapters import review_metrics, session_pages
from radiant_dagster.adapters.grimoire import reading
from radiant_dagster.adapters.paging import Place
from radiant_dagster.domain.ladder import describe
from radiant_dagster.mission_control import plots
from radiant_dagster.mission_control.guard import Call, Endpoint
from radiant_dagster.mission_control.words import SESSION_STATES

SPANS: Mapping[str, int] = {"7": 7, "30": 30, "90": 90}


def show_sessions(call: Call) -> Response:
    """List the questions, the newest first."""
    query = call.request.query_params
    status = query.get("status", "") if query.get("status") in SESSION_STATES else ""
    domain, place = query.get("domain", ""), query.get("cursor")
    with call.transaction() as cursor:
        found = session_pages.page_of_sessions(
            cursor,
            call.tenant_id,
            me=call.principal.name,
            status=status or None,
            domain=domain or None,
            after=Place.parse(place) if place else None,
        )
    asked = {name: text for name, text in (("status", status), ("domain", domain)) if text}
    return call.page(
        "sessions.html",
        here="sessions",
        page=found,
        chosen=status,
        domain=domain,
        states=SESSION_STATES,
        following=found.after and urlencode({**asked, "cursor": found.after.text}),
    )


def show_session(call: Call) -> Response:
    """Show how one question went."""
    session_id: UUID = call.request.path_params["session_id"]
    with call.transaction() as cursor:
        found = session_pages.session_page(
            cursor, call.tenant_id, session_id, me=call.principal.name
        )
        heuristics = reading.uses_of_session(cursor, call.tenant_id, session_id)
    session = found["session"]
    found["events"] = _timeline(session, found["events"])
    dagster = call.services.settings.dagster_public_url or call.services.settings.dagster_url
    run_ids = [session["dagster_run_id"], session["conclude_run_id"]]
    return call.page(
        "session.html",
        here="sessions",
        **found,
        reduced=describe(session["downgrades"] or (), len(found["agents"])),
        heuristics=heuristics,
        # Where nobody reviewed, the first run is the last as well.
        run_urls=[f"{dagster.rstrip('/')}/runs/{run}" for run in dict.fromkeys(run_ids) if run],
        may_grimoire=call.principal.may("grimoire.read"),
        may_review=call.principal.may("approvals.read"),
    )


def _timeline(
    session: Mapping[str, Any], events: Sequence[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """Return the audit with the times that the session itself keeps, the oldest first."""
    ended = f"session.{session['status']}"
    kept = {"session.answered": session["answered_at"]}
    if all(item["action"] != ended for item in events):
        kept[ended] = session["ended_at"]
    own = [{"action": name, "actor": "", "at": at} for name, at in kept.items() if at]
    return sorted([*events, *own], key=lambda item: item["at"])


def show_metrics(call: Call) -> Response:
    """Show how long decisions take and how many requests expire."""
    asked = call.request.query_params.get("days", "30")
    days = SPANS.get(asked, review_metrics.DAYS)
    with call.transaction("radiant_review") as cursor:
        found = review_metrics.metrics(cursor, call.tenant_id, days=days)
    return call.page(
        "metrics.html",
        here="metrics",
        days=days,
        spans=SPANS.values(),
        found=found,
        decisions=plots.decisions(found.by_day),
        times=plots.times(found.by_day),
    )


ENDPOINTS = (
    Endpoint("GET", "/sessions", "sessions.read", show_sessions, kind="page"),
    Endpoint("GET", "/sessions/{session_id:uuid}", "sessions.read", show_session, kind="page"),
    Endpoint("GET", "/metrics/reviews", "approvals.read", show_metrics, kind="page"),
)

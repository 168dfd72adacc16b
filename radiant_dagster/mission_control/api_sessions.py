"""Sessions over the API: ask, look, read the answer, cancel, say how good it was."""

from dataclasses import replace
from uuid import UUID

from starlette.responses import Response

from radiant_dagster.adapters import feedback, intake, session_view
from radiant_dagster.adapters.intake import Desk, Question
from radiant_dagster.adapters.paging import Place
from radiant_dagster.domain.sessions import status_line
from radiant_dagster.domain.swarm import AgentConfig
from radiant_dagster.mission_control.api import (
    Operation,
    answer,
    idempotency_key,
    read_body,
    read_query,
    rows,
)
from radiant_dagster.mission_control.guard import Call
from radiant_dagster.wire import sessions as wire
from radiant_dagster.wire.base import Ids, PrefixQuery

ONE = "/sessions/{session_id:uuid}"


def desk_of(call: Call) -> Desk:
    """Return where this caller's questions are taken in."""
    services = call.services
    return Desk(services.settings, services.database, call.tenant_id, services.dagster)


def session_id(call: Call) -> UUID:
    """Return the id in the path."""
    return call.request.path_params["session_id"]


def submit(call: Call) -> Response:
    """Store a question and launch its run."""
    asked = _question(call, read_body(call, wire.SubmitSession))
    return _take_in(call, asked)


def rerun(call: Call) -> Response:
    """Ask again."""
    live = read_body(call, wire.RerunSession).live
    asked = intake.asked_again(desk_of(call), session_id(call), user_id=call.principal.name)
    return _take_in(call, replace(asked, live=live))


def _question(call: Call, body: wire.SubmitSession) -> Question:
    agents = None
    if body.agents is not None:
        agents = tuple(
            AgentConfig(
                **agent.model_dump(exclude={"tools"}),
                tools=None if agent.tools is None else tuple(agent.tools),
            )
            for agent in body.agents
        )
    return Question(
        prompt=body.prompt,
        user_id=call.principal.name,
        domain=body.domain,
        panel=body.panel,
        agents=agents,
        require_approval=body.require_approval,
        context=body.context,
        system_prompt=body.system_prompt,
        live=body.live,
        parent_session_id=body.parent,
    )


def _take_in(call: Call, asked: Question) -> Response:
    desk = desk_of(call)
    request, estimate = intake.check_question(desk, asked)
    intake.require_dagster(desk)
    key = idempotency_key(call, required=False)
    taken = intake.store_and_launch(desk, asked, request, estimate, key=key)
    with call.transaction() as cursor:
        now = session_view.progress(cursor, call.tenant_id, taken.session_id)
    run = now.dagster_run_id
    document = wire.Submitted(
        session_id=now.id,
        status=now.status,  # pyright: ignore[reportArgumentType] - checked by the model
        dagster_run_id=run,
        run_link=desk.dagster.run_link(run) if run else None,
    )
    headers = {"Location": f"/api/v1/sessions/{now.id}"}
    if taken.replayed:
        return answer(document, 200, headers | {"Idempotency-Replayed": "true"})
    return answer(document, 201, headers)


def estimate(call: Call) -> Response:
    """Say what a question can cost at most."""
    asked = _question(call, read_body(call, wire.SubmitSession))
    _, bound = intake.check_question(desk_of(call), asked)
    return answer(wire.Estimate.model_validate(bound))


def list_(call: Call) -> Response:
    """Return a page of sessions."""
    query = read_query(call, wire.SessionQuery)
    after = Place.parse(query.cursor) if query.cursor else None
    with call.transaction() as cursor:
        found, place = session_view.page(
            cursor, call.tenant_id,
            status=query.status, domain=query.domain, after=after, limit=query.limit,
        )  # fmt: skip
    page = wire.SessionPage(
        sessions=rows(wire.SessionSummary, found), next_cursor=place.text if place else None
    )
    return answer(page)


def find(call: Call) -> Response:
    """Return the ids that begin with what a person typed."""
    query = read_query(call, PrefixQuery)
    with call.transaction() as cursor:
        return answer(
            Ids(ids=session_view.find_ids(cursor, call.tenant_id, "session", query.prefix))
        )


def progress_of(call: Call) -> wire.SessionProgress:
    """Return how far the session in the path is."""
    with call.transaction() as cursor:
        now = session_view.progress(cursor, call.tenant_id, session_id(call))
    return wire.SessionProgress.model_validate(now)


def one(call: Call) -> Response:
    """Return how far a session is."""
    return answer(progress_of(call))


def result(call: Call) -> Response:
    """Return what came of a session that has ended."""
    with call.transaction() as cursor:
        view = session_view.released_view(cursor, call.tenant_id, session_id(call))
    session = view["session"]
    completed = session["status"] == "completed"
    dagster = call.services.dagster
    runs = dict.fromkeys((session["dagster_run_id"], session["conclude_run_id"]))
    facts = {
        "answer": session["final_response"] if completed else None,
        "status_line": status_line(session, view["agents"]),
        "run_links": [dagster.run_link(run) for run in runs if run],
    }
    return answer(wire.SessionResult.model_validate(view | facts))


def cancel(call: Call) -> Response:
    """Cancel a session, its review and its runs."""
    done = intake.cancel(desk_of(call), session_id(call), actor=call.principal.name)
    return answer(
        wire.CancelledSession(session_id=session_id(call), runs_stopped=done.runs_stopped)
    )


def give_feedback(call: Call) -> Response:
    """Record what somebody thinks of an answer."""
    body = read_body(call, wire.GiveFeedback)
    with call.transaction() as cursor:
        given = feedback.give(
            cursor, call.tenant_id, session_id(call),
            actor=call.principal.name, verdict=body.verdict, note=body.note,
            corrected_text=body.corrected_text,
        )  # fmt: skip
    document = wire.FeedbackGiven(
        session_id=session_id(call),
        verdict=body.verdict,
        outcome=given.outcome,
        heuristics_credited=given.credited,
    )
    return answer(document, 201)


TAG = "Sessions"
OPERATIONS = (
    Operation(
        "POST", "/sessions", "sessions.submit", submit, TAG,
        "Ask a question. The same Idempotency-Key asks it once.",
        {201: wire.Submitted, 200: wire.Submitted},
        body=wire.SubmitSession, headers=("Idempotency-Key",), problems=(402, 404, 409),
    ),
    Operation(
        "GET", "/sessions", "sessions.read", list_, TAG, "List sessions, the newest first.",
        {200: wire.SessionPage}, query=wire.SessionQuery,
    ),
    Operation(
        "GET", "/sessions/ids", "sessions.read", find, TAG,
        "Find ids by their first characters.", {200: Ids}, query=PrefixQuery,
    ),
    Operation(
        "POST", "/sessions/estimate", "sessions.submit", estimate, TAG,
        "Say what a question can cost at most. Stores nothing.",
        {200: wire.Estimate}, body=wire.SubmitSession, problems=(404, 409),
    ),
    Operation(
        "GET", ONE, "sessions.read", one, TAG, "Say how far a session is.",
        {200: wire.SessionProgress}, problems=(404,),
    ),
    Operation(
        "GET", f"{ONE}/result", "sessions.read", result, TAG,
        "Return what came of a session; 409 until it has ended, and never a draft.",
        {200: wire.SessionResult}, problems=(404, 409),
    ),
    Operation(
        "POST", f"{ONE}/rerun", "sessions.submit", rerun, TAG,
        "Ask a session's question again, as a new session.",
        {201: wire.Submitted, 200: wire.Submitted},
        body=wire.RerunSession, headers=("Idempotency-Key",), problems=(402, 404, 409),
    ),
    Operation(
        "POST", f"{ONE}/cancel", "sessions.cancel", cancel, TAG,
        "Cancel a session, its open review and its runs.",
        {200: wire.CancelledSession}, problems=(404, 409),
    ),
    Operation(
        "POST", f"{ONE}/feedback", "feedback.give", give_feedback, TAG,
        "Say how good an answer was that nobody reviewed.",
        {201: wire.FeedbackGiven}, body=wire.GiveFeedback, problems=(404, 409),
    ),
)  # fmt: skip

"""Sessions through both jobs, in this process, on real Postgres and a real model server."""

import json
import uuid
from typing import Any

import dagster as dg
import pytest

from radiant_dagster.adapters import approvals, sessions
from radiant_dagster.adapters.grimoire import credit, curation, reading
from radiant_dagster.adapters.submission import prepare, store_session
from radiant_dagster.definitions import defs
from radiant_dagster.domain.approvals import Vote, payload_hash
from radiant_dagster.sensors.approval import approval_sensor
from tests.conftest import World
from tests.services.llm_server import error

PROMPT = "How should a small clinic prepare its vaccine storage for a power cut?"


def submit(world: World, **options: Any) -> uuid.UUID:
    """Store a session like the CLI does."""
    session_id = uuid.uuid4()
    wanted = {"prompt": PROMPT, "domain": "general", "user_id": "ann", **options}
    request, estimate = prepare(world.database, world.settings, world.tenant, **wanted)
    store_session(world.database, world.settings, world.tenant, session_id, request, estimate)
    return session_id


def run_job(
    name: str, op: str, config: dict[str, str], instance: dg.DagsterInstance
) -> dg.ExecuteInProcessResult:
    return defs.resolve_job_def(name).execute_in_process(
        run_config={"ops": {op: {"config": config}}}, instance=instance, raise_on_error=False
    )


def think(world: World, session_id: uuid.UUID, instance: dg.DagsterInstance) -> Any:
    config = {"tenant_id": str(world.tenant), "session_id": str(session_id)}
    return run_job("think_tank", "open_session", config, instance)


def conclude(world: World, approval_id: uuid.UUID, instance: dg.DagsterInstance) -> Any:
    config = {"tenant_id": str(world.tenant), "approval_id": str(approval_id)}
    return run_job("synthesis_and_librarian", "claim_decision", config, instance)


def session(world: World, session_id: uuid.UUID) -> dict[str, Any]:
    with world.database.tenant_transaction(world.tenant) as cursor:
        return sessions.get_session(cursor, world.tenant, session_id)


def pending(world: World) -> dict[str, Any]:
    with world.database.tenant_transaction(world.tenant, role="radiant_review") as cursor:
        rows = approvals.list_approvals(cursor, world.tenant, pending_only=True)
        return approvals.get_approval(cursor, world.tenant, rows[0]["id"])


def decide(world: World, verdict: str, **options: Any) -> uuid.UUID:
    request = pending(world)
    vote = Vote(
        actor="dr-lee",
        roles=frozenset({"reviewer"}),
        verdict=verdict,  # type: ignore[arg-type]
        payload_sha256=bytes(request["payload_sha256"]),
        **options,
    )
    approvals.decide(world.database, world.tenant, request["id"], vote)
    return request["id"]


def test_a_general_session_completes_without_a_person(
    world: World, instance: dg.DagsterInstance
) -> None:
    session_id = submit(world)

    result = think(world, session_id, instance)

    row = session(world, session_id)
    assert result.success
    assert row["status"] == "completed"
    assert row["swarm_status"] == "complete"
    assert row["final_response"] == row["draft"]
    assert row["cost_micro_usd"] > 0
    assert row["answered_at"] is not None


def test_a_medical_session_waits_for_a_person(world: World, instance: dg.DagsterInstance) -> None:
    session_id = submit(world, domain="medical")

    result = think(world, session_id, instance)

    row = session(world, session_id)
    assert result.success
    assert row["status"] == "awaiting_review"
    assert row["final_response"] is None
    assert pending(world)["reasons"][0] == "domain_policy"


def test_an_approved_draft_becomes_the_answer(world: World, instance: dg.DagsterInstance) -> None:
    session_id = submit(world, require_approval=True)
    think(world, session_id, instance)
    approval_id = decide(world, "approved")

    result = conclude(world, approval_id, instance)

    row = session(world, session_id)
    assert result.success
    assert row["status"] == "completed"
    assert row["final_response"] == row["draft"]


def test_a_rejected_draft_is_never_released(world: World, instance: dg.DagsterInstance) -> None:
    session_id = submit(world, require_approval=True)
    think(world, session_id, instance)
    approval_id = decide(world, "rejected", guidance="The dose is wrong.")

    conclude(world, approval_id, instance)

    row = session(world, session_id)
    assert row["status"] == "rejected"
    assert row["final_response"] is None
    assert row["answered_at"] is None


def heuristics(world: World) -> list[dict[str, Any]]:
    with world.database.tenant_transaction(world.tenant) as cursor:
        return reading.list_heuristics(cursor, world.tenant, domain=None, state=None, limit=10)


def librarian_decision(world: World, session_id: uuid.UUID) -> dict[str, Any]:
    with world.database.tenant_transaction(world.tenant) as cursor:
        cursor.execute(
            "select decision, reason, reviewed, reward from radiant.librarian_decision"
            " where session_id = %s",
            (session_id,),
        )
        return dict(cursor.fetchone() or {})


def test_a_rejection_with_guidance_reaches_the_librarian_and_teaches_what_to_avoid(
    world: World, instance: dg.DagsterInstance
) -> None:
    session_id = submit(world, require_approval=True)
    think(world, session_id, instance)
    approval_id = decide(world, "rejected", guidance="The dose of the generator is missing.")

    conclude(world, approval_id, instance)

    (learned,) = heuristics(world)
    assert (learned["polarity"], learned["state"]) == ("avoid", "quarantined")
    assert librarian_decision(world, session_id) == {
        "decision": "stored",
        "reason": "ok",
        "reviewed": True,
        "reward": 1.0,
    }


def test_an_approval_is_evidence_for_what_its_session_taught(
    world: World, instance: dg.DagsterInstance
) -> None:
    for user in ("ann", "bob"):
        session_id = submit(world, require_approval=True, user_id=user)
        think(world, session_id, instance)
        conclude(world, decide(world, "approved"), instance)

    (learned,) = heuristics(world)
    assert librarian_decision(world, session_id)["decision"] == "rederived"
    assert learned["state"] == "active"


def test_a_reviewers_text_replaces_the_draft(world: World, instance: dg.DagsterInstance) -> None:
    session_id = submit(world, require_approval=True)
    think(world, session_id, instance)
    edited = "Ask [PERSON_1] to keep the vaccine fridge closed and to log its temperature."
    approval_id = decide(world, "modified", edited_text=edited)

    conclude(world, approval_id, instance)

    row = session(world, session_id)
    assert row["status"] == "completed"
    assert row["final_response"] == edited
    assert row["final_note"] == "redactions_left"


def test_guidance_alone_makes_a_new_draft_that_is_reviewed_again(
    world: World, instance: dg.DagsterInstance
) -> None:
    session_id = submit(world, require_approval=True)
    think(world, session_id, instance)
    first = decide(world, "modified", guidance="Say how long the cold chain holds.")

    conclude(world, first, instance)

    second = pending(world)
    assert second["id"] != first
    assert second["attempt"] == 2
    assert second["reasons"][0] == "revised"
    assert session(world, session_id)["status"] == "awaiting_review"
    assert session(world, session_id)["final_response"] is None
    approval_id = decide(world, "approved")
    conclude(world, approval_id, instance)
    assert session(world, session_id)["status"] == "completed"


def test_a_decision_is_carried_out_by_one_run_only(
    world: World, instance: dg.DagsterInstance
) -> None:
    session_id = submit(world, require_approval=True)
    think(world, session_id, instance)
    approval_id = decide(world, "approved")
    conclude(world, approval_id, instance)
    paid = len(world.models.paid)

    second = conclude(world, approval_id, instance)

    assert second.success
    assert len(world.models.paid) == paid
    assert not second.get_step_success_events() or all(
        "finalize" not in event.step_key for event in second.get_step_success_events()
    )


def test_a_forged_approval_id_fails(world: World, instance: dg.DagsterInstance) -> None:
    result = conclude(world, uuid.uuid4(), instance)

    assert not result.success


def test_the_learned_heuristic_is_quarantined_then_offered_once_promoted(
    world: World, instance: dg.DagsterInstance
) -> None:
    first = submit(world)
    think(world, first, instance)
    with world.database.tenant_transaction(world.tenant) as cursor:
        (learned,) = reading.list_heuristics(
            cursor, world.tenant, domain="general", state=None, limit=10
        )
        assert learned["state"] == "quarantined"
        assert learned["source_execution_id"] == first
    close = "How should a clinic prepare vaccine storage for a power outage?"
    before = submit(world, prompt=close)
    think(world, before, instance)
    assert session(world, before)["heuristics"] == []

    with world.database.tenant_transaction(world.tenant) as cursor:
        curation.promote(cursor, world.tenant, learned["id"], actor="curator")
    after = submit(world, prompt=close)
    think(world, after, instance)

    offered = session(world, after)["heuristics"]
    assert [item["id"] for item in offered] == [str(learned["id"])]
    prompts = [call.body["messages"] for call in world.models.paid]
    in_system = [m for m in prompts if learned["action_template"] in m[0]["content"]]
    in_user = [m for m in prompts if learned["action_template"] in m[1]["content"]]
    assert in_system == []
    assert len(in_user) >= 5


def test_a_cited_heuristic_gains_confidence_from_an_approval_once(
    world: World, instance: dg.DagsterInstance
) -> None:
    think(world, submit(world), instance)
    with world.database.tenant_transaction(world.tenant) as cursor:
        (learned,) = reading.list_heuristics(
            cursor, world.tenant, domain="general", state=None, limit=10
        )
        curation.promote(cursor, world.tenant, learned["id"], actor="curator")
    think(world, submit(world, require_approval=True), instance)
    approval_id = decide(world, "approved")

    conclude(world, approval_id, instance)

    with world.database.tenant_transaction(world.tenant) as cursor:
        row = reading.get_heuristic(cursor, world.tenant, learned["id"])
        again = credit.credit_session(cursor, world.tenant, row["source_execution_id"], 1.0)
    assert row["confidence"] > 0.5
    assert row["success_count"] == 1
    assert again == 0


def test_below_quorum_the_session_fails_with_the_reasons(
    world: World, instance: dg.DagsterInstance
) -> None:
    for agent in ("analyst", "domain_expert", "skeptic"):
        world.models.script(error(401), agent=agent)
    session_id = submit(world)

    result = think(world, session_id, instance)

    row = session(world, session_id)
    assert not result.success
    assert row["status"] == "failed"
    assert row["failure_code"] == "quorum_not_reached"
    assert row["final_response"] is None
    assert set(row["missing_agents"]) == {"analyst", "domain_expert", "skeptic"}


def test_a_degraded_swarm_goes_to_review(world: World, instance: dg.DagsterInstance) -> None:
    world.models.script(error(401), agent="skeptic")
    session_id = submit(world)

    think(world, session_id, instance)

    row = session(world, session_id)
    assert row["swarm_status"] == "degraded"
    assert row["status"] == "awaiting_review"
    assert "swarm_degraded" in row["approval_reasons"]


def test_a_passing_fault_is_retried(world: World, instance: dg.DagsterInstance) -> None:
    world.models.script(error(503), agent="skeptic")
    session_id = submit(world)

    result = think(world, session_id, instance)

    assert result.success
    assert session(world, session_id)["swarm_status"] == "complete"


def test_a_finished_answer_is_not_bought_again(world: World, instance: dg.DagsterInstance) -> None:
    for agent in ("analyst", "domain_expert", "skeptic"):
        world.models.script(error(401), agent=agent)
    session_id = submit(world)
    think(world, session_id, instance)

    result = think(world, session_id, instance)

    asked = [call.headers.get("X-Radiant-Agent") for call in world.models.paid]
    assert result.success
    assert session(world, session_id)["status"] == "completed"
    assert asked.count("pragmatist") == 1
    assert asked.count("safety_reviewer") == 1


def test_a_cancelled_session_buys_nothing(world: World, instance: dg.DagsterInstance) -> None:
    session_id = submit(world)
    with world.database.tenant_transaction(world.tenant) as cursor:
        sessions.cancel_session(cursor, world.tenant, session_id, actor="ann")

    result = think(world, session_id, instance)

    assert not result.success
    assert world.models.paid == []
    assert session(world, session_id)["status"] == "cancelled"


def test_the_sensor_launches_one_run_a_decision_and_none_before_it(
    world: World, instance: dg.DagsterInstance
) -> None:
    session_id = submit(world, domain="medical")
    think(world, session_id, instance)
    waiting = tick(instance)
    approval_id = decide(world, "approved")

    decided, again = tick(instance), tick(instance)

    assert isinstance(waiting, dg.SkipReason)
    assert "1 pending, next deadline in" in (waiting.skip_message or "")
    assert [request.run_key for request in decided.run_requests] == [f"approval:{approval_id}:1"]
    assert isinstance(again, dg.SkipReason)
    assert "verdict" not in json.dumps(decided.run_requests[0].run_config)


def tick(instance: dg.DagsterInstance) -> Any:
    from radiant_dagster.resources import DatabaseResource

    with dg.build_sensor_context(
        instance=instance, resources={"database": DatabaseResource()}
    ) as context:
        return approval_sensor(context)


def test_a_passed_deadline_ends_the_session_as_expired(
    world: World, instance: dg.DagsterInstance
) -> None:
    session_id = submit(world, domain="medical")
    think(world, session_id, instance)
    request = pending(world)
    with world.database.tenant_transaction(world.tenant) as cursor:
        cursor.execute(
            "update radiant.approval_request set deadline = clock_timestamp() - interval '1 s'"
            " where id = %s",
            (request["id"],),
        )

    swept = tick(instance)
    conclude(world, request["id"], instance)

    assert len(swept.run_requests) == 1
    row = session(world, session_id)
    assert row["status"] == "expired"
    assert row["final_response"] is None


def test_a_draft_changed_after_approval_is_not_released(
    world: World, instance: dg.DagsterInstance
) -> None:
    session_id = submit(world, domain="medical")
    think(world, session_id, instance)
    approval_id = decide(world, "approved")
    with world.database.tenant_transaction(world.tenant) as cursor:
        sessions.update_session(cursor, world.tenant, session_id, draft="Take twice the dose.")

    result = conclude(world, approval_id, instance)

    assert not result.success
    assert session(world, session_id)["final_response"] is None
    assert payload_hash("Take twice the dose.") != payload_hash("")


def test_answers_may_be_reviewed_before_there_is_a_draft(
    world: World, instance: dg.DagsterInstance
) -> None:
    with world.database.tenant_transaction(world.tenant) as cursor:
        cursor.execute("update radiant.domain_policy set review_stage = 'answers'")
    session_id = submit(world, require_approval=True)
    think(world, session_id, instance)
    drafted_before = session(world, session_id)["draft"]
    review = pending(world)["review_sanitized"]
    approval_id = decide(world, "approved")

    conclude(world, approval_id, instance)

    row = session(world, session_id)
    assert drafted_before is None
    assert len(review["answers"]) == 5
    assert row["status"] == "completed"
    assert row["final_response"] == row["draft"]


def test_answers_exchanged_after_their_approval_are_not_synthesised(
    world: World, instance: dg.DagsterInstance
) -> None:
    with world.database.tenant_transaction(world.tenant) as cursor:
        cursor.execute("update radiant.domain_policy set review_stage = 'answers'")
    session_id = submit(world, require_approval=True)
    think(world, session_id, instance)
    approval_id = decide(world, "approved")
    with world.database.tenant_transaction(world.tenant) as cursor:
        cursor.execute(
            "update radiant.agent_run set response = 'Take twice the dose.' where agent_id = %s",
            ("skeptic",),
        )

    result = conclude(world, approval_id, instance)

    row = session(world, session_id)
    assert not result.success
    assert (row["draft"], row["final_response"]) == (None, None)


def test_whoever_waits_hears_of_each_change_once_and_of_no_text(
    world: World, instance: dg.DagsterInstance
) -> None:
    session_id = submit(world, domain="medical")
    think(world, session_id, instance)
    approval_id = decide(world, "rejected", guidance="CANARY wrong dose")
    conclude(world, approval_id, instance)

    with world.database.tenant_transaction(world.tenant) as cursor:
        cursor.execute("select type, domain, detail from radiant.event order by seq")
        rows = cursor.fetchall()
    assert [row["type"] for row in rows] == [
        "approval.requested",
        "approval.decided",
        "session.completed",
    ]
    assert [row["detail"] for row in rows[1:]] == [{"verdict": "rejected"}, {"status": "rejected"}]
    assert "CANARY" not in str(rows)
    assert "vaccine" not in str(rows)


def test_reexecution_keeps_what_was_paid_before(world: World, instance: dg.DagsterInstance) -> None:
    """The sum counts every paid call once, also where a session needed two runs."""
    for agent in ("analyst", "domain_expert", "skeptic"):
        world.models.script(error(401), agent=agent)
    session_id = submit(world)
    think(world, session_id, instance)
    after_first = session(world, session_id)["cost_micro_usd"]

    think(world, session_id, instance)

    row = session(world, session_id)
    with world.database.tenant_transaction(world.tenant) as cursor:
        agents = sessions.agent_rows(cursor, world.tenant, session_id)
    spent_on_agents = sum(agent["cost_micro_usd"] for agent in agents)
    assert 0 < after_first < spent_on_agents < row["cost_micro_usd"]


def test_documents_reach_every_agent_as_data(world: World, instance: dg.DagsterInstance) -> None:
    session_id = submit(world, context={"plan.txt": "The generator holds for two hours."})

    think(world, session_id, instance)

    asked = [
        call.body["messages"] for call in world.models.paid if "X-Radiant-Agent" in call.headers
    ]
    assert len(asked) == 5
    for system, user in asked:
        assert json.loads(user["content"])["documents"] == {
            "plan.txt": "The generator holds for two hours."
        }
        assert "generator" not in system["content"]


@pytest.mark.parametrize("base", [None, "https://think.example.org/"])
def test_dagit_links_to_the_page_where_a_person_decides(
    world: World, monkeypatch: pytest.MonkeyPatch, base: str | None
) -> None:
    if base is not None:
        monkeypatch.setenv("RADIANT_MISSION_CONTROL_URL", base)
    session_id = submit(world, require_approval=True)

    with dg.DagsterInstance.ephemeral() as instance:
        result = think(world, session_id, instance)
    (event,) = [
        event
        for event in result.all_events
        if event.step_key == "request_approval" and event.event_type_value == "STEP_OUTPUT"
    ]

    link = event.step_output_data.metadata.get("review")
    wanted = f"https://think.example.org/approvals/{pending(world)['id']}"
    assert link == (None if base is None else dg.MetadataValue.url(wanted))

"""Sessions through bad days: every fault of a gateway, synthesisers that fail, answers that clash.

In this process, on real Postgres, through the proxy transport to a scripted model server.
"""

import json
import uuid
from typing import Any

import dagster as dg
import pytest

from radiant_dagster.adapters import sessions
from radiant_dagster.definitions import defs
from radiant_dagster.domain.swarm import AgentConfig
from radiant_dagster.domain.synthesis import NOT_SYNTHESISED
from radiant_dagster.ops.swarm import gather_answers
from radiant_dagster.resources import build_resources
from tests.conftest import World
from tests.orchestration.test_think_tank import conclude, decide, pending, session, submit, think
from tests.services.llm_server import (
    DISCONNECT,
    EMPTY_CHOICES,
    MALFORMED,
    OK,
    Reply,
    content,
    error,
    html,
    slow,
)

AGENTS = tuple(AgentConfig(name, "analyst", "gpt-4o", instructions=f"Be {name}.") for name in "abc")
ANSWERS = {
    "a": "Keep the fridge closed; vaccines hold for four hours.",
    "b": "Do not open the refrigerator: vaccines stay cold for about four hours.",
    "c": "Vaccines keep four hours with the fridge shut, then move them to a cooler.",
}

# What a LiteLLM proxy answers (research on 1.106.2), with the agent's status, its code and the
# tries made where a call may be made twice.
FAULTS: dict[str, tuple[Reply, str, str | None, int]] = {
    "ok": (OK, "success", None, 1),
    "busy": (error(429), "failed", "rate_limited", 2),
    # The proxy renames an upstream's header; a wait beyond 20 s is not worth a session's time.
    "busy_long": (
        error(429, headers={"llm_provider-retry-after": "3600"}), "failed", "rate_limited", 1,
    ),
    "broken": (error(500), "failed", "http_500", 2),
    "gateway": (html(502), "failed", "http_502", 2),
    "away": (error(503), "failed", "http_503", 2),
    "slow_upstream": (error(408), "timeout", "timeout", 2),
    "slow": (slow(60), "timeout", "timeout", 2),
    "hang_up": (DISCONNECT, "failed", "read", 2),
    "malformed": (MALFORMED, "failed", "malformed", 2),
    "key": (error(401), "failed", "authentication", 1),
    "too_long": (error(400, "ContextWindowExceededError"), "failed", "context_window", 1),
    "policy": (error(400, "ContentPolicyViolationError"), "rejected", "content_policy", 1),
    "filtered": (content(None, "content_filter"), "rejected", "content_policy", 1),
    "model": (error(400, "Invalid model name passed in"), "failed", "unknown_model", 1),
    "bad": (error(400), "failed", "bad_request", 1),
    "no_choice": (EMPTY_CHOICES, "failed", "empty", 1),
    "cut_off": (content(None, "length"), "failed", "truncated", 1),
    "fallback": (Reply(change={"model": "gpt-4o-mini"}), "success", None, 1),
}  # fmt: skip


def agents(world: World, session_id: uuid.UUID) -> dict[str, dict[str, Any]]:
    with world.database.tenant_transaction(world.tenant) as cursor:
        rows = sessions.agent_rows(cursor, world.tenant, session_id)
    return {row["agent_id"]: row for row in rows}


def answer(world: World, **changed: str) -> None:
    for name, text in (ANSWERS | changed).items():
        world.models.script(content(text), agent=name)


def synthesis(**changes: Any) -> Reply:
    body = {"answer": "Four hours, shut.", "claims": [], "dissent": [], "agreement": "high"}
    return content(json.dumps(body | changes))


def synthesisers(world: World) -> list[str]:
    """Models that were asked for a synthesis, in order."""
    asked = [call.body for call in world.models.calls if "response_format" in call.body]
    names = [body["response_format"]["json_schema"]["name"] for body in asked]
    return [body["model"] for body, name in zip(asked, names, strict=True) if "synth" in name]


def test_every_fault_of_a_gateway_becomes_the_agents_result(
    world: World, instance: dg.DagsterInstance
) -> None:
    swarm = tuple(AgentConfig(name, "analyst", "gpt-4o") for name in FAULTS)
    for name, (reply, _, _, tries) in FAULTS.items():
        world.models.script(*[reply] * tries, agent=name)
    session_id = submit(world, agents=swarm)
    config = {"tenant_id": str(world.tenant), "session_id": str(session_id)}

    result = defs.resolve_job_def("think_tank").execute_in_process(
        run_config={
            "ops": {"open_session": {"config": config}},
            "resources": {
                "models": {"config": {"max_retries": 1, "call_timeout_seconds": 4}},
            },
        },
        instance=instance,
        raise_on_error=False,
    )

    found = {
        name: (row["status"], row["error_code"], row["attempts"])
        for name, row in agents(world, session_id).items()
    }
    assert found == {name: expected[1:] for name, expected in FAULTS.items()}
    assert {status for status, _, _ in found.values()} == {
        "success", "failed", "timeout", "rejected",
    }  # fmt: skip
    assert agents(world, session_id)["fallback"]["model_used"] == "gpt-4o-mini"
    row = session(world, session_id)
    assert not result.success
    assert (row["failure_code"], row["draft"]) == ("quorum_not_reached", None)
    assert row["missing_agents"]["policy"] == "content_policy"
    messages = [item["error_message"] or "" for item in agents(world, session_id).values()]
    assert not any("SECRET-BODY" in message for message in messages)


def test_a_key_that_a_proxy_without_database_does_not_know_fails_the_session_with_the_fix(
    world: World, instance: dg.DagsterInstance
) -> None:
    world.models.script(error(400, "No connected db."), agent="a")
    session_id = submit(world, agents=AGENTS)

    think(world, session_id, instance)

    row = session(world, session_id)
    assert (row["status"], row["failure_code"]) == ("failed", "configuration")
    assert "LITELLM_API_KEY" in row["failure_message"]


def test_a_passing_fault_of_the_synthesiser_is_retried_before_the_fallback(
    world: World, instance: dg.DagsterInstance
) -> None:
    answer(world)
    world.models.script(error(503), error(429), synthesis())
    session_id = submit(world, agents=AGENTS)

    think(world, session_id, instance)

    row = session(world, session_id)
    assert synthesisers(world) == ["gpt-4o"] * 3
    assert row["status"] == "completed"
    assert row["draft_details"]["failures"] == {}
    keys = [call.headers["Idempotency-Key"] for call in world.models.calls]
    assert len({key for key in keys if ":synthesis:" in key}) == 1


@pytest.mark.parametrize(
    ("faults", "code", "asked"),
    [
        ([error(503)] * 3, "http_503", 3),
        ([error(429, headers={"retry-after": "60"})], "rate_limited", 1),
        ([error(400, "ContentPolicyViolationError")], "content_policy", 1),
        ([content("no JSON")] * 2, "invalid_synthesis", 2),
        ([EMPTY_CHOICES], "empty", 1),
    ],
)
def test_the_fallback_writes_the_answer_where_the_configured_model_cannot(
    world: World, instance: dg.DagsterInstance, faults: list[Reply], code: str, asked: int
) -> None:
    answer(world)
    world.models.script(*faults, synthesis())
    session_id = submit(world, agents=AGENTS)

    think(world, session_id, instance)

    row = session(world, session_id)
    assert synthesisers(world) == ["gpt-4o"] * asked + ["gpt-4o-mini"]
    assert row["final_response"] == "Four hours, shut."
    assert row["draft_details"]["failures"] == {"gpt-4o": code}


def without_synthesis(world: World, instance: dg.DagsterInstance, **options: Any) -> uuid.UUID:
    """Run a session whose synthesisers both fail."""
    answer(world)
    world.models.script(*[error(503)] * 3, error(401))
    session_id = submit(world, agents=AGENTS, **options)
    think(world, session_id, instance)
    return session_id


def test_answers_that_nobody_could_merge_are_labelled_and_reviewed(
    world: World, instance: dg.DagsterInstance
) -> None:
    session_id = without_synthesis(world, instance)

    row = session(world, session_id)
    assert row["status"] == "awaiting_review"
    assert row["approval_reasons"] == ["not_synthesised"]
    assert row["final_response"] is None
    assert row["draft"].startswith(NOT_SYNTHESISED)
    assert all(f"analyst ({name}):\n{ANSWERS[name]}" in row["draft"] for name in ANSWERS)
    assert row["draft_details"]["failures"] == {
        "gpt-4o": "http_503",
        "gpt-4o-mini": "authentication",
    }
    assert pending(world)["review_sanitized"]["not_synthesised"] is True


def test_approved_answers_side_by_side_are_handed_out_and_teach_nothing(
    world: World, instance: dg.DagsterInstance
) -> None:
    session_id = without_synthesis(world, instance)
    paid = len(world.models.paid)
    approval_id = decide(world, "approved")

    conclude(world, approval_id, instance)

    row = session(world, session_id)
    assert row["status"] == "completed"
    assert row["final_response"] == row["draft"]
    assert len(world.models.paid) == paid


def test_a_new_draft_that_nobody_could_write_is_reviewed_as_such(
    world: World, instance: dg.DagsterInstance
) -> None:
    answer(world)
    world.models.script(synthesis())
    session_id = submit(world, agents=AGENTS, require_approval=True)
    think(world, session_id, instance)
    first = decide(world, "modified", guidance="Shorter.")
    world.models.script(*[error(400)] * 2)

    conclude(world, first, instance)

    assert session(world, session_id)["final_response"] is None
    assert pending(world)["id"] != first
    assert pending(world)["reasons"] == ["revised", "not_synthesised"]


def test_a_passing_fault_while_a_new_draft_is_written_is_retried(
    world: World, instance: dg.DagsterInstance
) -> None:
    answer(world)
    world.models.script(synthesis())
    session_id = submit(world, agents=AGENTS, require_approval=True)
    think(world, session_id, instance)
    first = decide(world, "modified", guidance="Shorter.")
    world.models.script(error(503), synthesis(answer="Four hours."))

    conclude(world, first, instance)

    assert session(world, session_id)["draft"] == "Four hours."
    assert synthesisers(world) == ["gpt-4o"] * 3
    assert pending(world)["reasons"] == ["revised"]


def test_a_first_draft_after_approved_answers_is_reviewed_where_nobody_could_write_it(
    world: World, instance: dg.DagsterInstance
) -> None:
    with world.database.tenant_transaction(world.tenant) as cursor:
        cursor.execute("update radiant.domain_policy set review_stage = 'answers'")
    answer(world)
    session_id = submit(world, agents=AGENTS, require_approval=True)
    think(world, session_id, instance)
    approval_id = decide(world, "approved")
    world.models.script(*[error(400)] * 2)

    conclude(world, approval_id, instance)

    assert session(world, session_id)["final_response"] is None
    assert pending(world)["reasons"] == ["not_synthesised"]


def test_answers_about_different_things_are_reviewed_though_the_synthesiser_sees_agreement(
    world: World, instance: dg.DagsterInstance
) -> None:
    answer(world, b="Use Postgres: joins matter.", c="I cannot help with that request.")
    world.models.script(synthesis(agreement="high"))
    session_id = submit(world, agents=AGENTS)

    think(world, session_id, instance)

    row = session(world, session_id)
    assert row["approval_reasons"] == ["low_agreement"]
    assert row["draft_details"]["reported_agreement"] == "high"
    assert row["draft_details"]["cosine"] < 0.3


def test_disagreement_that_the_synthesiser_reports_is_not_outvoted_by_near_answers(
    world: World, instance: dg.DagsterInstance
) -> None:
    answer(world)
    world.models.script(synthesis(agreement="low", dissent=["c counts on a cooler."]))
    session_id = submit(world, agents=AGENTS)

    think(world, session_id, instance)

    row = session(world, session_id)
    assert row["draft_details"]["cosine"] > 0.5
    assert row["approval_reasons"] == ["low_agreement"]


def test_a_reviewer_of_a_careful_domain_reads_the_dissent_without_identifiers(
    world: World, instance: dg.DagsterInstance
) -> None:
    answer(world)
    claim = {"text": "John Smith, MRN 12345678, has four hours.", "agents": ["a", "b"]}
    dissent = "c warns John Smith, MRN 12345678."
    world.models.script(synthesis(claims=[claim], dissent=[dissent]))
    submit_id = submit(world, agents=AGENTS, domain="medical")

    think(world, submit_id, instance)

    review = pending(world)["review_sanitized"]
    assert review["agreement"] == "high"
    assert review["claims"][0]["agents"] == ["a", "b"]
    assert "has four hours" in review["claims"][0]["text"]
    assert review["dissent"][0].startswith("c warns [PERSON_1]")
    assert "12345678" not in json.dumps(review)


def test_an_answer_that_is_too_long_is_cut_and_the_cut_is_recorded(
    world: World, instance: dg.DagsterInstance
) -> None:
    long = ANSWERS["b"] * 400
    answer(world, b=long)
    world.models.script(synthesis())
    session_id = submit(world, agents=AGENTS)

    think(world, session_id, instance)

    (asked,) = [call.body for call in world.models.paid if "synthesis_v1" in json.dumps(call.body)]
    document = json.loads(asked["messages"][1]["content"].split("\n")[1])
    shown = {item["agent_id"]: item["answer"] for item in document["answers"]}
    assert session(world, session_id)["draft_details"]["cut"] == ["b"]
    assert long.startswith(shown["b"])
    assert 10_000 < len(shown["b"]) < len(long)
    assert shown["a"] == ANSWERS["a"]
    assert agents(world, session_id)["b"]["response"] == long


def test_an_agent_whose_step_a_retry_left_out_is_asked_where_the_answers_are_gathered(
    world: World, instance: dg.DagsterInstance
) -> None:
    session_id = submit(world, agents=AGENTS)
    config = {"tenant_id": str(world.tenant), "session_id": str(session_id)}
    defs.resolve_job_def("think_tank").execute_in_process(
        run_config={"ops": {"open_session": {"config": config}}},
        op_selection=["open_session", "consult_grimoire", "plan_agents"],
        instance=instance,
    )

    @dg.op(out={"plan": dg.Out(), "answers": dg.Out()})
    def after_a_retry():
        return config, []

    @dg.job
    def without_agents() -> None:
        gather_answers(*after_a_retry())

    world.models.script(*[slow(0.5)] * len(AGENTS))
    without_agents.execute_in_process(resources=build_resources(), instance=instance)

    assert session(world, session_id)["swarm_status"] == "complete"
    assert {row["status"] for row in agents(world, session_id).values()} == {"success"}
    assert len(world.models.paid) == len(AGENTS)
    assert world.models.most_at_once == len(AGENTS)  # they share a deadline

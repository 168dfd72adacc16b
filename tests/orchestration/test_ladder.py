"""A short budget through whole sessions: less than was asked, said aloud, or refused unspent."""

import uuid
from typing import Any

import dagster as dg
import pytest

from radiant_dagster.adapters import sessions, tenants
from radiant_dagster.adapters.planning import plan_session, planner_from
from radiant_dagster.adapters.session_view import session_view
from radiant_dagster.cli.render import headline
from radiant_dagster.domain.ladder import Rung, Start, ladder
from radiant_dagster.domain.swarm import AgentConfig
from radiant_dagster.errors import BudgetExceeded
from radiant_dagster.resources import process_llm
from tests.conftest import World
from tests.orchestration.test_governor import day, entries, set_day
from tests.orchestration.test_think_tank import PROMPT, pending, session, submit, think
from tests.services.llm_server import error

PANEL = tuple(
    AgentConfig(name, name, "gpt-4o", max_tokens=1_500)
    for name in ("analyst", "skeptic", "judge", "clerk", "pragmatist")
)


def agents(world: World, session_id: uuid.UUID) -> dict[str, dict[str, Any]]:
    with world.database.tenant_transaction(world.tenant) as cursor:
        rows = sessions.agent_rows(cursor, world.tenant, session_id)
    return {row["agent_id"]: row for row in rows}


def rungs(world: World, domain: str = "general") -> tuple[Rung, ...]:
    """Return the ladder of a session with `PANEL`, as the planner sees it."""
    planner = planner_from(world.settings)
    with world.database.tenant_transaction(world.tenant) as cursor:
        policy = tenants.domain_policies(cursor, world.tenant)[domain]
    return ladder(
        PANEL,
        policy,
        planner.estimator(PROMPT, {}, None),
        planner.cheaper,
        start=Start(None, ()),
    )


def lines_above_the_answer(world: World, session_id: uuid.UUID) -> str:
    with world.database.tenant_transaction(world.tenant) as cursor:
        view = session_view(cursor, world.tenant, session_id)
    return "\n".join(line.plain for line in headline(view))


def plan_metadata(result: Any) -> dict[str, Any]:
    (event,) = [
        event
        for event in result.all_events
        if event.event_type_value == "STEP_OUTPUT" and event.step_key == "plan_agents"
    ]
    return {key: value.value for key, value in event.step_output_data.metadata.items()}


def test_a_session_that_fits_with_fewer_tokens_completes_and_says_so(
    world: World, instance: dg.DagsterInstance
) -> None:
    wanted = rungs(world)[1]
    session_id = submit(world, agents=PANEL)
    set_day(world, wanted.cost_micro_usd)

    result = think(world, session_id, instance)

    row = session(world, session_id)
    held = sum(line["estimate_micro_usd"] for line in entries(world))
    facts = plan_metadata(result)
    assert (row["status"], row["swarm_status"]) == ("completed", "complete")
    assert row["estimated_micro_usd"] == held == wanted.cost_micro_usd
    assert {item["max_tokens"] for item in agents(world, session_id).values()} == {750}
    assert agents(world, session_id)["judge"]["downgraded_from"] == {
        "model": "gpt-4o",
        "max_tokens": 1_500,
    }
    assert row["downgrades"] == [item.to_dict() for item in wanted.downgrades]
    assert "750 tokens an answer instead of 1500 (budget)" in lines_above_the_answer(
        world, session_id
    )
    assert (facts["downgrades"], facts["not_asked"]) == (5, 0)
    assert "analyst | gpt-4o | 1500 | gpt-4o | 750" in facts["plan"]
    assert day(world) == (0, row["cost_micro_usd"])


def test_agents_that_the_budget_does_not_hold_are_not_asked_and_a_person_has_to_look(
    world: World, instance: dg.DagsterInstance
) -> None:
    session_id = submit(world, agents=PANEL)
    set_day(world, rungs(world)[-1].cost_micro_usd)

    result = think(world, session_id, instance)

    row, found = session(world, session_id), agents(world, session_id)
    steps = {event.step_key for event in result.all_events if event.step_key}
    asked = {key for key in steps if key.startswith("run_agent[")}
    assert asked == {"run_agent[analyst]", "run_agent[skeptic]", "run_agent[judge]"}
    assert {item["model"] for item in found.values() if item["status"] == "success"} == {
        "gpt-4o-mini"
    }
    for name in ("clerk", "pragmatist"):
        assert (found[name]["status"], found[name]["error_code"]) == ("rejected", "budget")
        assert (found[name]["attempts"], found[name]["model"]) == (0, "gpt-4o")
    assert (row["status"], row["swarm_status"]) == ("awaiting_review", "degraded")
    assert row["missing_agents"] == {"clerk": "budget", "pragmatist": "budget"}
    assert "2 of 5 agents were not asked: budget (clerk, pragmatist)." in lines_above_the_answer(
        world, session_id
    )
    request = pending(world)
    assert "swarm_degraded" in request["reasons"]
    assert request["review_sanitized"]["downgrades"] == row["downgrades"]


def test_a_medical_session_is_refused_instead_of_going_below_its_floor(
    world: World, instance: dg.DagsterInstance
) -> None:
    session_id = submit(world, agents=PANEL, domain="medical")
    least = rungs(world, "medical")[-1].cost_micro_usd
    set_day(world, least - 1)

    result = think(world, session_id, instance)

    row = session(world, session_id)
    assert not result.success
    assert (row["status"], row["failure_code"]) == ("failed", "budget_exceeded")
    # What it names is the least that would do, not what was asked for.
    assert f"needs up to ${least / 1e6:.4f}" in row["failure_message"]
    assert (row["downgrades"], world.models.paid) == ([], [])
    assert all(item["downgraded_from"] is None for item in agents(world, session_id).values())
    assert (entries(world), day(world)) == ([], (0, 0))


def plan(world: World, session_id: uuid.UUID) -> Any:
    return plan_session(
        world.database, process_llm(), planner_from(world.settings), world.tenant, session_id
    )


def test_a_cheaper_model_that_the_gateway_does_not_serve_is_not_planned(world: World) -> None:
    cheaper = next(rung for rung in rungs(world) if rung.agents[0].model == "gpt-4o-mini")
    session_id = submit(world, agents=PANEL)
    set_day(world, cheaper.cost_micro_usd)
    world.models.models = ["gpt-4o"]

    with pytest.raises(BudgetExceeded):
        plan(world, session_id)

    assert {item["model"] for item in agents(world, session_id).values()} == {"gpt-4o"}


def test_a_plan_is_made_once_for_the_money_that_is_held(world: World) -> None:
    session_id = submit(world, agents=PANEL)
    set_day(world, rungs(world)[-1].cost_micro_usd)
    first = plan(world, session_id)

    again = plan(world, session_id)

    assert again.asked == first.asked == ("analyst", "skeptic", "judge")
    assert (first.reserved_micro_usd > 0, again.reserved_micro_usd) == (True, 0)
    held = sum(line["estimate_micro_usd"] for line in entries(world))
    assert held == first.reserved_micro_usd


def test_a_reexecution_with_a_raised_budget_asks_those_that_were_left_out(
    world: World, instance: dg.DagsterInstance
) -> None:
    for name in ("analyst", "skeptic"):
        world.models.script(error(401), agent=name)
    session_id = submit(world, agents=PANEL)
    set_day(world, rungs(world)[-1].cost_micro_usd)
    failed = think(world, session_id, instance)
    bought = agents(world, session_id)["judge"]
    set_day(world, 10_000_000)

    think(world, session_id, instance)

    row, found = session(world, session_id), agents(world, session_id)
    assert not failed.success
    assert row["swarm_status"] == "complete"
    assert row["missing_agents"] == {}
    # The answer that was bought stays, and so does the word that it was reduced.
    assert (found["judge"]["response"], found["judge"]["model"]) == (
        bought["response"],
        "gpt-4o-mini",
    )
    assert {item["agent_id"] for item in row["downgrades"]} == {"judge"}
    assert {found[name]["max_tokens"] for name in ("analyst", "clerk", "pragmatist")} == {1_500}
    assert found["clerk"]["downgraded_from"] is None
    assert day(world) == (0, row["cost_micro_usd"])


def test_a_simple_question_to_a_panel_starts_with_shorter_answers(
    world: World, instance: dg.DagsterInstance
) -> None:
    session_id = submit(world)

    result = think(world, session_id, instance)

    row, found = session(world, session_id), agents(world, session_id)
    assert (found["analyst"]["max_tokens"], found["skeptic"]["max_tokens"]) == (1_024, 1_000)
    assert plan_metadata(result)["started_because"] == [
        "short_question",
        "no_documents",
        "low_risk",
    ]
    assert {item["why"][0] for item in row["downgrades"]} == {"short_question"}
    assert row["status"] == "completed"


@pytest.mark.parametrize(
    ("options", "routing"),
    [({}, "off"), ({"domain": "medical"}, "on"), ({"agents": PANEL}, "on")],
)
def test_nothing_is_shortened_where_it_is_switched_off_risky_or_spelled_out(
    world: World, options: dict[str, Any], routing: str
) -> None:
    session_id = submit(world, **options)
    settings = world.settings.model_copy(update={"routing": routing})

    made = plan_session(
        world.database, process_llm(), planner_from(settings), world.tenant, session_id
    )

    assert made.session["downgrades"] == []
    assert {row["downgraded_from"] for row in made.agents} == {None}

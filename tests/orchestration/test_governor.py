"""A session's money: reserved before the first call, settled to its cost however it ends."""

import uuid
from typing import Any

import dagster as dg
import pytest

from radiant_dagster.adapters import budgets, ledger, sessions
from radiant_dagster.adapters.budgets import Selection
from radiant_dagster.adapters.run_outcomes import mark_cancelled, mark_failed
from radiant_dagster.adapters.synthesis import Synthesiser
from radiant_dagster.definitions import defs
from radiant_dagster.errors import BudgetExceeded, Cancelled
from radiant_dagster.resources import process_embeddings, process_llm, process_settings
from tests.conftest import World
from tests.orchestration.test_think_tank import (
    conclude,
    decide,
    session,
    submit,
    think,
    tick,
)
from tests.services.llm_server import EMPTY_CHOICES, MALFORMED, Reply, content, error


def think_tank_job() -> dg.JobDefinition:
    """Return the job as a re-execution finds it, by the name of a function."""
    return defs.resolve_job_def("think_tank")


def entries(world: World) -> list[dict[str, Any]]:
    """Return the reservations, by call and attempt."""
    with world.database.tenant_transaction(world.tenant) as cursor:
        rows = budgets.entries(cursor, world.tenant, Selection())
    return sorted(rows, key=lambda row: row["attempt_key"])


def charged(world: World, prefix: str = "") -> dict[str, tuple[str, bool]]:
    """Return state and whether the charge is an estimate, by call and attempt."""
    return {
        name: (row["state"], row["actual_is_estimated"])
        for row in entries(world)
        if (name := row["attempt_key"].split(":", 1)[1]).startswith(prefix)
    }


def day(world: World) -> tuple[int, int]:
    """Return what is reserved and spent today."""
    with world.database.tenant_transaction(world.tenant) as cursor:
        row = budgets.show(cursor, world.tenant)[0]
        assert ledger.audit(cursor, world.tenant) == []
    return row["reserved_micro_usd"], row["spent_micro_usd"]


def set_day(world: World, micro_usd: int) -> None:
    with world.database.tenant_transaction(world.tenant) as cursor:
        budgets.set_limit(cursor, world.tenant, "day", micro_usd, actor="ann")


def hold(world: World, session_id: uuid.UUID) -> int:
    with world.database.tenant_transaction(world.tenant) as cursor:
        return ledger.hold_for_session(cursor, world.tenant, session_id)


def test_a_completed_session_is_charged_its_cost(
    world: World, instance: dg.DagsterInstance
) -> None:
    session_id = submit(world)

    think(world, session_id, instance)

    row = session(world, session_id)
    lines = entries(world)
    assert sum(line["estimate_micro_usd"] for line in lines) == row["estimated_micro_usd"]
    paid = [line for line in lines if line["state"] == "settled"]
    assert len(paid) == len(world.models.paid) == 7
    assert all(0 < line["actual_micro_usd"] <= line["estimate_micro_usd"] for line in paid)
    assert {line["attempt_key"].split(":", 1)[1] for line in lines} - {
        line["attempt_key"].split(":", 1)[1] for line in paid
    } == {"synthesis:2", "librarian:2"}
    assert day(world) == (0, row["cost_micro_usd"])


def test_a_session_in_review_keeps_what_its_end_may_cost(
    world: World, instance: dg.DagsterInstance
) -> None:
    session_id = submit(world, domain="medical")

    think(world, session_id, instance)

    held = sum(row["estimate_micro_usd"] for row in entries(world) if row["state"] == "held")
    cost = session(world, session_id)["cost_micro_usd"]
    assert set(charged(world)) > {"librarian:1", "librarian:2", "synthesis:2"}
    assert day(world) == (held, cost)
    assert held > 0 < cost


@pytest.mark.parametrize("verdict", ["approved", "rejected"])
def test_a_decided_session_is_charged_its_cost(
    world: World, instance: dg.DagsterInstance, verdict: str
) -> None:
    session_id = submit(world, require_approval=True)
    think(world, session_id, instance)

    guidance = {"guidance": "The dose is wrong."} if verdict == "rejected" else {}
    conclude(world, decide(world, verdict, **guidance), instance)

    assert {row["state"] for row in entries(world)} == {"settled", "released"}
    assert day(world) == (0, session(world, session_id)["cost_micro_usd"])


def test_a_session_that_does_not_fit_fails_before_anything_is_paid(
    world: World, instance: dg.DagsterInstance
) -> None:
    session_id = submit(world)
    set_day(world, 1)

    result = think(world, session_id, instance)

    row = session(world, session_id)
    assert not result.success
    assert (row["status"], row["failure_code"]) == ("failed", "budget_exceeded")
    assert "Budget of the day" in row["failure_message"]
    assert world.models.paid == []
    assert (entries(world), day(world)) == ([], (0, 0))
    with world.database.tenant_transaction(world.tenant) as cursor:
        cursor.execute("select scope, needed_micro_usd from radiant.budget_refusal")
        refusals = [dict(row) for row in cursor.fetchall()]
    (refusal,) = refusals  # of the lowest rung of the ladder, whatever was tried before it
    assert refusal["scope"] == "day"
    assert 1 < refusal["needed_micro_usd"] < row["estimated_micro_usd"]


def test_a_failed_session_is_charged_what_it_bought_and_its_reexecution_the_rest(
    world: World, instance: dg.DagsterInstance
) -> None:
    for agent in ("analyst", "domain_expert", "skeptic"):
        world.models.script(error(401), agent=agent)
    session_id = submit(world)
    think(world, session_id, instance)
    failed = session(world, session_id)
    after_failure = day(world)

    think(world, session_id, instance)

    done = session(world, session_id)
    assert failed["status"] == "failed"
    assert after_failure == (0, failed["cost_micro_usd"])
    attempts = charged(world, "agent:")
    assert {name for name in attempts if name.endswith(":2")} == {
        f"agent:{name}:2" for name in ("analyst", "domain_expert", "skeptic")
    }
    assert done["status"] == "completed"
    assert day(world) == (0, done["cost_micro_usd"])


def test_a_reexecution_from_a_later_step_needs_a_reservation_too(
    world: World, instance: dg.DagsterInstance
) -> None:
    for agent in ("analyst", "domain_expert", "skeptic"):
        world.models.script(error(401), agent=agent)
    session_id = submit(world)
    first = think(world, session_id, instance)
    bought, paid = day(world)[1], len(world.models.paid)
    set_day(world, bought)

    again = dg.execute_job(
        dg.reconstructable(think_tank_job),
        instance=instance,
        reexecution_options=dg.ReexecutionOptions(
            parent_run_id=first.run_id, step_selection=["run_agent[skeptic]"]
        ),
    )

    assert not again.success
    assert session(world, session_id)["failure_code"] == "budget_exceeded"
    assert len(world.models.paid) == paid
    assert day(world) == (0, bought)


def draft(world: World, session_id: uuid.UUID) -> None:
    synthesiser = Synthesiser(
        database=world.database,
        llm=process_llm(),
        embeddings=process_embeddings(),
        model="gpt-4o",
        fallback_model="gpt-4o-mini",
        timeout_seconds=5,
        retry=lambda _: None,
    )
    synthesiser.write_draft(world.tenant, session_id, cancelled=lambda: False)


def test_a_draft_is_not_bought_without_a_reservation(world: World) -> None:
    session_id = submit(world)
    set_day(world, 0)

    with pytest.raises(BudgetExceeded, match="Budget of the day"):
        draft(world, session_id)

    assert world.models.paid == []


def test_nothing_is_reserved_for_a_cancelled_session(world: World) -> None:
    session_id = submit(world)
    with world.database.tenant_transaction(world.tenant) as cursor:
        sessions.cancel_session(cursor, world.tenant, session_id, actor="ann")

    with pytest.raises(Cancelled):
        draft(world, session_id)

    assert (entries(world), world.models.paid) == ([], [])


def begin(world: World, session_id: uuid.UUID, call: str) -> ledger.Ticket:
    with world.database.tenant_transaction(world.tenant) as cursor:
        return ledger.begin_call(cursor, world.tenant, session_id, call, begun_by=uuid.uuid4())


def settle(world: World, ticket: ledger.Ticket, actual: int) -> None:
    with world.database.tenant_transaction(world.tenant) as cursor:
        ledger.settle_call(cursor, world.tenant, ticket, actual)


def cancel(world: World, session_id: uuid.UUID) -> None:
    with world.database.tenant_transaction(world.tenant) as cursor:
        sessions.cancel_session(cursor, world.tenant, session_id, actor="ann")
    ledger.book(world.database, world.tenant, session_id)


def test_a_cancelled_session_gives_back_what_it_did_not_spend(world: World) -> None:
    session_id = submit(world)
    held = hold(world, session_id)
    settle(world, begin(world, session_id, "agent:skeptic"), 70)

    cancel(world, session_id)

    assert held == session(world, session_id)["estimated_micro_usd"] > 0
    assert day(world) == (0, 70)


def test_a_call_that_was_in_flight_at_the_cancellation_is_charged_in_full_until_its_bill_comes(
    world: World,
) -> None:
    session_id = submit(world)
    hold(world, session_id)
    ticket = begin(world, session_id, "agent:skeptic")
    cancel(world, session_id)
    before, held = day(world), charged(world, "agent:skeptic")

    settle(world, ticket, 70)

    assert before[0] == 0 < 70 < before[1]
    assert held == {"agent:skeptic:1": ("expired", True)}
    assert (day(world), session(world, session_id)["cost_micro_usd"]) == ((0, 70), 70)


@pytest.mark.parametrize("end", [mark_failed, mark_cancelled])
def test_a_session_whose_run_died_is_settled(world: World, owner: Any, end: Any) -> None:
    session_id = submit(world)
    hold(world, session_id)
    settle(world, begin(world, session_id, "agent:skeptic"), 70)
    begin(world, session_id, "agent:analyst")
    owner.execute("update radiant.session set status = 'running', dagster_run_id = 'run'")

    end(world.database, "run")

    row = session(world, session_id)
    assert charged(world, "agent:analyst") == {"agent:analyst:1": ("expired", True)}
    assert day(world) == (0, row["cost_micro_usd"])
    assert row["cost_micro_usd"] > 70


def test_what_is_abandoned_is_swept_by_the_sensor(
    world: World, owner: Any, instance: dg.DagsterInstance
) -> None:
    session_id = submit(world)
    held = hold(world, session_id)
    begin(world, session_id, "agent:skeptic")
    tick(instance)
    kept = day(world)
    owner.execute("update radiant.reservation set expires_at = clock_timestamp()")

    tick(instance)

    (skeptic,) = [row for row in entries(world) if row["agent_id"] == "skeptic"]
    assert kept == (held, 0)
    assert day(world) == (0, skeptic["estimate_micro_usd"])
    think(world, session_id, instance)
    assert day(world) == (0, session(world, session_id)["cost_micro_usd"])


# What a provider may have billed is charged in full and tried again on a row of its own; what it
# surely did not bill is tried again on the same row.
@pytest.mark.parametrize(
    ("fault", "attempts"),
    [
        (error(429), {"agent:skeptic:1": ("settled", False)}),
        (error(503), {"agent:skeptic:1": ("settled", True), "agent:skeptic:2": ("settled", False)}),
        (error(408), {"agent:skeptic:1": ("settled", True), "agent:skeptic:2": ("settled", False)}),
        (MALFORMED, {"agent:skeptic:1": ("settled", True), "agent:skeptic:2": ("settled", False)}),
        (error(401), {"agent:skeptic:1": ("released", False)}),
        (EMPTY_CHOICES, {"agent:skeptic:1": ("settled", True)}),
        (Reply(change={"usage": None}), {"agent:skeptic:1": ("settled", True)}),
    ],
    ids=["busy", "away", "slow", "malformed", "key", "empty", "no_usage"],
)
def test_every_failed_try_is_charged_by_whether_it_may_be_billed(
    world: World,
    instance: dg.DagsterInstance,
    fault: Reply,
    attempts: dict[str, tuple[str, bool]],
) -> None:
    world.models.script(fault, agent="skeptic")
    session_id = submit(world, require_approval=True)

    think(world, session_id, instance)
    conclude(world, decide(world, "approved"), instance)

    row = session(world, session_id)
    lines = entries(world)
    assert charged(world, "agent:skeptic") == attempts
    assert day(world) == (0, row["cost_micro_usd"])
    assert row["cost_micro_usd"] == sum(line["actual_micro_usd"] for line in lines)
    with world.database.tenant_transaction(world.tenant) as cursor:
        agents = sessions.agent_rows(cursor, world.tenant, session_id)
    for agent in agents:
        own = [line["actual_micro_usd"] for line in lines if line["agent_id"] == agent["agent_id"]]
        assert agent["cost_micro_usd"] == sum(own)


def test_a_retry_that_the_budget_does_not_hold_is_the_agents_result_and_the_others_count(
    world: World, instance: dg.DagsterInstance
) -> None:
    world.models.script(error(503), agent="skeptic")
    session_id = submit(world)
    set_day(world, session(world, session_id)["estimated_micro_usd"])

    think(world, session_id, instance)

    row = session(world, session_id)
    assert row["missing_agents"] == {"skeptic": "budget_exceeded"}
    assert row["swarm_status"] == "degraded"
    assert row["draft"]


def test_broken_synthesis_and_librarian_replies_are_charged_on_rows_of_their_own(
    world: World, instance: dg.DagsterInstance
) -> None:
    session_id = submit(world)
    world.models.script(*[Reply()] * 5, content("no JSON"))

    think(world, session_id, instance)

    assert charged(world, "synthesis") == {
        "synthesis:1": ("settled", False),
        "synthesis:2": ("settled", False),
    }
    assert day(world) == (0, session(world, session_id)["cost_micro_usd"])


def test_embeddings_of_a_gateway_are_charged(
    world: World, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RADIANT_EMBEDDING_MODEL", "text-embedding-3-small")
    process_settings.cache_clear()
    process_embeddings.cache_clear()
    world.settings = process_settings()
    session_id = submit(world)

    think(world, session_id, instance)

    process_embeddings.cache_clear()
    lines = charged(world, "embedding")
    assert lines["embedding:agreement:1"] == ("settled", True)  # the server tells no usage
    assert lines["embedding:librarian:1"][0] == "settled"
    assert lines["embedding:consult:1"] == ("released", False)  # the Grimoire is empty
    assert day(world) == (0, session(world, session_id)["cost_micro_usd"])


def test_the_reservation_outlives_the_last_deadline_of_its_session(
    world: World, owner: Any
) -> None:
    hold(world, submit(world))

    owner.execute(
        "select extract(epoch from r.expires_at - r.created_at) as lifetime,"
        " p.swarm_seconds + 2 * p.deadline_seconds as deadlines"
        " from radiant.reservation r join radiant.session s on s.id = r.session_id"
        " join radiant.domain_policy p on p.tenant_id = s.tenant_id and p.name = s.domain"
    )

    row = owner.fetchone()
    assert row["lifetime"] > row["deadlines"]


def test_an_empty_budget_lets_the_answer_out_and_skips_the_librarian(
    world: World, instance: dg.DagsterInstance, owner: Any
) -> None:
    session_id = submit(world, require_approval=True)
    think(world, session_id, instance)
    owner.execute("update radiant.reservation set expires_at = clock_timestamp()")
    tick(instance)
    set_day(world, 0)

    conclude(world, decide(world, "approved"), instance)

    row = session(world, session_id)
    owner.execute("select decision, reason from radiant.librarian_decision")
    assert row["final_response"] == row["draft"]
    assert dict(owner.fetchone()) == {"decision": "skipped", "reason": "budget_exceeded"}
    assert day(world) == (0, row["cost_micro_usd"])

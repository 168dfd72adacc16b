"""What Dagit shows and what the automation does."""

import json
import uuid
from collections.abc import Sequence
from typing import Any

import dagster as dg
import pytest

from radiant_dagster.adapters import approvals, dispatch, sessions
from radiant_dagster.adapters.grimoire import credit
from radiant_dagster.adapters.run_outcomes import mark_cancelled, mark_failed
from radiant_dagster.adapters.vector_index import arrange
from radiant_dagster.definitions import build_definitions
from radiant_dagster.domain.approvals import Vote, continuation_run_key, payload_hash
from radiant_dagster.resources import DatabaseResource, ModelsResource
from radiant_dagster.sensors.runs import (
    give_back_orphans,
    session_canceled_sensor,
    session_failure_sensor,
)
from tests.adapters.rows import insert, insert_approval, insert_heuristic, insert_session
from tests.conftest import World, run_sql

DEFS = build_definitions(inline_prompts=False)
GRIMOIRE = dg.AssetKey("grimoire")
CHECKS = {
    "row_level_security_forced",
    "nothing_overdue",
    "every_model_has_a_threshold",
    "no_identifiers_left",
    "content_as_approved",
    "posterior_equals_usage",
    "no_heuristic_fits_everything",
    "large_domains_have_their_index",
}
ALL_CHECKS = CHECKS | {"account_equals_ledger"}
VOTE = Vote(
    "dr-lee", frozenset({"reviewer"}), "approved", payload_sha256=payload_hash("The draft.")
)


def test_the_definitions_load_and_every_job_is_executable() -> None:
    dg.Definitions.validate_loadable(DEFS)

    names = {job.name for job in DEFS.resolve_all_job_defs()}
    assert {
        "think_tank",
        "synthesis_and_librarian",
        "grimoire_maintenance",
        "grimoire_calibrate",
        "spend_report",
        "event_maintenance",
    } <= names


@pytest.mark.parametrize(("name", "group"), [("grimoire", "knowledge"), ("spend", "governor")])
def test_every_asset_is_described_for_people(name: str, group: str) -> None:
    graph = DEFS.resolve_asset_graph()
    node = graph.get(dg.AssetKey(name))

    assert graph.get_all_asset_keys() == {GRIMOIRE, dg.AssetKey("spend")}
    assert node.group_name == group
    assert node.owners == ["team:radiant"]
    assert len(node.description or "") > 100
    assert {key.name for key in graph.asset_check_keys} == ALL_CHECKS


def test_every_check_says_what_a_failure_means() -> None:
    checks = list(DEFS.asset_checks or [])
    specs = [spec for check in checks for spec in check.check_specs]  # type: ignore[union-attr]

    assert {spec.name for spec in specs} == ALL_CHECKS
    assert all("A failure" in (spec.description or "") for spec in specs)


def test_maintenance_runs_daily_and_the_sensors_run_without_being_switched_on() -> None:
    schedules = list(DEFS.schedules or [])
    sensors = list(DEFS.sensors or [])

    for schedule in schedules:
        assert isinstance(schedule, dg.ScheduleDefinition)
        assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
    assert [schedule.cron_schedule for schedule in schedules] == [
        "17 3 * * *", "23 0 * * *", "41 3 * * *"
    ]  # fmt: skip
    assert {sensor.name for sensor in sensors} == {
        "approval_sensor",
        "session_failure_sensor",
        "session_canceled_sensor",
        "stuck_session_sensor",
    }
    for item in (*schedules, *sensors):
        assert item.description
    assert all(sensor.default_status is dg.DefaultSensorStatus.RUNNING for sensor in sensors)


def op_config_fields(job: dg.JobDefinition, op: str) -> dict[str, Any]:
    schema: Any = job.run_config_schema.config_type
    return (
        schema.fields["ops"].config_type.fields[op].config_type.fields["config"].config_type.fields
    )


@pytest.mark.parametrize(
    ("job", "op"), [("think_tank", "open_session"), ("synthesis_and_librarian", "claim_decision")]
)
def test_the_launchpad_explains_every_field_and_asks_for_ids_only(job: str, op: str) -> None:
    fields = op_config_fields(DEFS.resolve_job_def(job), op)

    assert set(fields) <= {"tenant_id", "session_id", "approval_id"}
    assert len(fields) == 2
    assert all("UUID" in (field.description or "") for field in fields.values())


def test_every_op_and_job_has_a_description() -> None:
    for name in ("think_tank", "synthesis_and_librarian"):
        job = DEFS.resolve_job_def(name)
        assert len(job.description or "") > 80
        for node in job.graph.node_defs:
            assert node.description, node.name


def config_with_prompt() -> dict[str, Any]:
    config = {"tenant_id": str(uuid.uuid4()), "prompt": "CANARY"}
    return {"ops": {"open_session": {"config": config}}}


def test_a_prompt_in_run_config_is_refused_unless_the_operator_opted_in() -> None:
    closed = DEFS.resolve_job_def("think_tank")
    opened = build_definitions(inline_prompts=True).resolve_job_def("think_tank")

    with pytest.raises(dg.DagsterInvalidConfigError):
        dg.validate_run_config(closed, config_with_prompt())

    assert dg.validate_run_config(opened, config_with_prompt())
    prompt = op_config_fields(opened, "open_session")["prompt"]
    assert "stores it in clear" in prompt.description


def test_a_typed_prompt_becomes_a_session_of_its_own(
    world: World, instance: dg.DagsterInstance
) -> None:
    job = build_definitions(inline_prompts=True).resolve_job_def("think_tank")
    config = {"tenant_id": str(world.tenant), "prompt": "How long do vaccines keep cold?"}

    result = job.execute_in_process(
        run_config={"ops": {"open_session": {"config": config}}}, instance=instance
    )

    with world.database.tenant_transaction(world.tenant) as cursor:
        row = sessions.get_session(cursor, world.tenant, uuid.UUID(result.run_id))
    assert row["status"] == "completed"
    assert row["user_id"] == "dagit"


def maintain(instance: dg.DagsterInstance) -> tuple[dict[str, Any], dict[str, bool]]:
    """Run the maintenance job; return the metadata and what each check said."""
    job = DEFS.resolve_job_def("grimoire_maintenance")
    result = job.execute_in_process(instance=instance)
    (event,) = result.asset_materializations_for_node("grimoire")
    checks = {item.check_name: item.passed for item in result.get_asset_check_evaluations()}
    return {name: entry.value for name, entry in event.metadata.items()}, checks


def test_maintenance_reports_numbers_and_passes_its_checks(
    world: World, owner: Any, instance: dg.DagsterInstance
) -> None:
    insert_heuristic(owner, world.tenant)
    insert_heuristic(owner, world.tenant, state="quarantined")
    insert_heuristic(owner, world.tenant, state="merged")
    insert_heuristic(owner, world.tenant, expires_at="2020-01-01")
    used = insert_heuristic(owner, world.tenant)
    for cited in (True, False):
        session_id = insert_session(owner, world.tenant, answered_at="now")
        insert(
            owner, "heuristic_usage", tenant_id=world.tenant, session_id=session_id, agent_id="a",
            heuristic_id=used, rank=1, similarity=0.9, cited=cited,
        )  # fmt: skip
        with world.database.tenant_transaction(world.tenant) as cursor:
            credit.credit_session(cursor, world.tenant, session_id, 1.0)
    insert_session(owner, world.tenant, answered_at="now")

    metadata, checks = maintain(instance)

    assert checks == dict.fromkeys(CHECKS, True)
    assert (metadata["active"], metadata["quarantined"], metadata["expired"]) == (2, 1, 1)
    assert metadata["merged"] == 1
    assert metadata["expired_now"] == 1
    assert metadata["mean_confidence"] == 0.5833
    assert metadata["never_used_share"] == 0.5
    assert metadata["hit_rate"] == 0.6667
    assert metadata["cited_share"] == 0.5
    assert metadata["brier_score"] == 0.1111
    assert "general | 0.58 | 2 | 1 | 1 | 1 | 0 | 1 | 0" in metadata["by_domain"]
    assert metadata["refused_by_reason"] == "Nothing was refused in 12 weeks."
    for name in ("confidence_of_active", "growth_by_week", "use_by_week", "hit_rate_by_week"):
        assert metadata[name].startswith(f"![{name}](data:image/svg+xml;base64,")
    assert "Name the source" not in json.dumps(metadata, default=str)


def test_an_empty_grimoire_is_reported_as_well(world: World, instance: dg.DagsterInstance) -> None:
    metadata, checks = maintain(instance)

    assert checks == dict.fromkeys(CHECKS, True)
    assert metadata["active"] == 0
    assert "No heuristic yet" in metadata["by_domain"]


def evaluations(instance: dg.DagsterInstance, *names: str) -> Sequence[dg.AssetCheckEvaluation]:
    """Run checks alone, without the maintenance that might mend what was planted."""
    selected = dg.AssetSelection.checks(*(dg.AssetCheckKey(GRIMOIRE, name) for name in names))
    job = dg.define_asset_job("checks_only", selection=selected)
    assets = [*(DEFS.assets or []), *(DEFS.asset_checks or [])]
    bound = dg.Definitions(assets=assets, jobs=[job], resources=DEFS.resources)
    result = bound.resolve_job_def("checks_only").execute_in_process(instance=instance)
    return result.get_asset_check_evaluations()


def failed_checks(instance: dg.DagsterInstance, *names: str) -> set[str]:
    return {item.check_name for item in evaluations(instance, *names) if not item.passed}


PLANTED: dict[str, tuple[str, tuple[str, ...]]] = {
    "table": (
        "row_level_security_forced",
        ("alter table radiant.panel no force row level security",),
    ),
    "tenant table": (
        "row_level_security_forced",
        ("alter table radiant.tenant disable row level security",),
    ),
    "new table": (
        "row_level_security_forced",
        ("create table radiant.added_later (tenant_id uuid not null)",),
    ),
    "overdue": (
        "nothing_overdue",
        ("update radiant.knowledge_heuristics set expires_at = now() - interval '2 days'",),
    ),
    "model": (
        "every_model_has_a_threshold",
        (
            "alter table radiant.knowledge_heuristics drop constraint"
            " knowledge_heuristics_embedding_model_fkey",
            "delete from radiant.embedding_model",
        ),
    ),
    "identifier": (
        "no_identifiers_left",
        (
            "update radiant.knowledge_heuristics set action_template ="
            " 'Call Mr. John Smithers at 555-010-4477 before the stock moves.'",
            "update radiant.knowledge_heuristics set approved_sha256 = sha256(convert_to("
            " polarity || chr(31) || trigger_pattern || chr(31) || action_template, 'UTF8'))",
        ),
    ),
    "text": (
        "content_as_approved",
        ("update radiant.knowledge_heuristics set action_template = action_template || ' Never.'",),
    ),
    "posterior": (
        "posterior_equals_usage",
        ("update radiant.knowledge_heuristics set alpha = 2",),
    ),
}


@pytest.mark.parametrize("case", PLANTED)
def test_each_check_finds_its_planted_fault(
    world: World, owner: Any, owner_url: str, instance: dg.DagsterInstance, case: str
) -> None:
    check, statements = PLANTED[case]
    insert_heuristic(owner, world.tenant)
    run_sql(owner_url, *statements)

    failed = failed_checks(instance, *CHECKS)

    assert failed == {check}


def test_a_failed_check_says_what_to_type_whoever_the_heuristic_belongs_to(
    world: World, owner: Any, owner_url: str, instance: dg.DagsterInstance
) -> None:
    item = insert_heuristic(owner, world.tenant)
    run_sql(owner_url, *PLANTED["text"][1])

    (found,) = evaluations(instance, "content_as_approved")

    command = f"radiant grimoire show {item} --tenant {world.tenant}"
    assert found.metadata["read_first"].value == command
    assert found.metadata["read_all"].value == [command]


def test_a_heuristic_built_to_fit_everything_is_named(
    world: World, owner: Any, instance: dg.DagsterInstance
) -> None:
    for n in range(1, 26):
        apart = [0.5] + [0.866 if n == position else 0.0 for position in range(1, 384)]
        insert_heuristic(owner, world.tenant, embedding=json.dumps(apart))
    honest = failed_checks(instance, *CHECKS)

    insert_heuristic(owner, world.tenant, embedding=json.dumps([1.0] + [0.0] * 383))

    assert honest == set()
    assert failed_checks(instance, *CHECKS) == {"no_heuristic_fits_everything"}


def test_a_large_domain_without_its_index_is_named_until_it_has_one(
    world: World,
    owner: Any,
    owner_url: str,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    insert_heuristic(owner, world.tenant)
    insert_heuristic(owner, world.tenant)
    monkeypatch.setenv("RADIANT_GRIMOIRE_EXACT_ROWS", "1")
    before = failed_checks(instance, *CHECKS)

    arrange(world.database, owner_url, 1)

    assert before == {"large_domains_have_their_index"}
    assert failed_checks(instance, *CHECKS) == set()


def run_of(
    instance: dg.DagsterInstance, job: str, config: dict[str, str], **tags: str
) -> dg.DagsterRun:
    op = "open_session" if job == "think_tank" else "claim_decision"
    return instance.create_run_for_job(
        job_def=DEFS.resolve_job_def(job), run_config={"ops": {op: {"config": config}}}, tags=tags
    )


def report(instance: dg.DagsterInstance, run: dg.DagsterRun, *, canceled: bool = False) -> None:
    """Tell the matching sensor how a run ended."""
    event_type = dg.DagsterEventType.RUN_CANCELED if canceled else dg.DagsterEventType.RUN_FAILURE
    event = dg.DagsterEvent(event_type_value=event_type.value, job_name=run.job_name, message="")
    context: Any = dg.build_run_status_sensor_context(
        sensor_name="sensor",
        dagster_event=event,
        dagster_instance=instance,
        dagster_run=run,
        resources={"database": DatabaseResource()},
    )
    if canceled:
        session_canceled_sensor(context)
    else:
        session_failure_sensor(context.for_run_failure())


def status(owner: Any, session_id: uuid.UUID) -> str:
    owner.execute("select status from radiant.session where id = %s", (session_id,))
    return owner.fetchone()["status"]


STATUSES = ("created", "running", "synthesised", "awaiting_review", "concluding")
ENDED = ("completed", "rejected", "expired", "failed", "cancelled")


@pytest.mark.parametrize("column", ["dagster_run_id", "conclude_run_id"])
def test_a_failed_run_fails_its_session_unless_that_ended_or_waits_for_a_person(
    world: World, owner: Any, column: str
) -> None:
    ids = {
        before: insert_session(owner, world.tenant, status=before, **{column: f"run-{before}"})
        for before in STATUSES + ENDED
    }

    changed = {before for before in ids if mark_failed(world.database, f"run-{before}")}

    assert changed == {"created", "running", "synthesised", "concluding"}
    for before, session_id in ids.items():
        assert status(owner, session_id) == ("failed" if before in changed else before)


def test_a_terminated_run_cancels_its_session_unless_that_ended(world: World, owner: Any) -> None:
    ids = {
        before: insert_session(owner, world.tenant, status=before, dagster_run_id=f"run-{before}")
        for before in STATUSES + ENDED
    }

    changed = {before for before in ids if mark_cancelled(world.database, f"run-{before}")}

    assert changed == set(STATUSES)
    assert all(status(owner, ids[before]) == "cancelled" for before in changed)


def test_a_run_that_died_before_its_first_step_fails_the_session_it_was_launched_for(
    world: World, owner: Any, instance: dg.DagsterInstance
) -> None:
    session_id = insert_session(owner, world.tenant)
    other = insert_session(owner, world.tenant)
    ids = {"tenant_id": str(world.tenant), "session_id": str(session_id)}

    report(instance, run_of(instance, "think_tank", ids))

    assert status(owner, session_id) == "failed"
    assert status(owner, other) == "created"


def test_a_run_with_another_tenants_session_id_changes_nothing(
    world: World, owner: Any, instance: dg.DagsterInstance
) -> None:
    session_id = insert_session(owner, world.tenant)
    ids = {"tenant_id": str(uuid.uuid4()), "session_id": str(session_id)}

    report(instance, run_of(instance, "think_tank", ids))
    report(instance, run_of(instance, "think_tank", ids), canceled=True)
    malformed = {"tenant_id": str(world.tenant), "session_id": "x"}
    report(instance, run_of(instance, "think_tank", malformed))

    assert status(owner, session_id) == "created"


def decided(world: World) -> uuid.UUID:
    with world.database.tenant_transaction(world.tenant) as cursor:
        approval_id = insert_approval(cursor, world.tenant)
    approvals.decide(world.database, world.tenant, approval_id, VOTE)
    dispatch.lease_decisions(world.database)
    return approval_id


def continuation(
    world: World, instance: dg.DagsterInstance, approval_id: uuid.UUID, **tags: str
) -> dg.DagsterRun:
    config = {"tenant_id": str(world.tenant), "approval_id": str(approval_id)}
    return run_of(instance, "synthesis_and_librarian", config, **tags)


STEP_FAILED = {"dagster/failure_reason": "STEP_FAILURE"}  # as Dagster notes it


@pytest.mark.parametrize(("tags", "status_after"), [(STEP_FAILED, "failed"), ({}, "concluding")])
def test_three_failed_continuations_end_a_session_and_three_lost_ones_do_not(
    world: World,
    owner: Any,
    instance: dg.DagsterInstance,
    tags: dict[str, str],
    status_after: str,
) -> None:
    approval_id = decided(world)

    for _ in range(3):
        run = continuation(world, instance, approval_id, **tags)
        with world.database.tenant_transaction(world.tenant) as cursor:
            taken = dispatch.claim_decision(
                cursor, world.tenant, approval_id, run_id=run.run_id, ancestors=[]
            )
        owner.execute("update radiant.session set status = 'concluding'")
        report(instance, run)

    assert status(owner, taken["session_id"]) == status_after


def test_the_first_run_of_a_session_does_not_end_what_a_continuation_concludes(
    world: World, owner: Any
) -> None:
    session_id = insert_session(
        owner, world.tenant, status="concluding", dagster_run_id="first", conclude_run_id="second"
    )

    by_first = mark_failed(world.database, "retry-of-first", ancestors=["first"])
    unharmed = status(owner, session_id)
    by_second = mark_failed(world.database, "second")

    assert (by_first, unharmed, by_second) == (0, "concluding", 1)


def test_a_failed_continuation_gives_its_decision_back(
    world: World, instance: dg.DagsterInstance
) -> None:
    approval_id = decided(world)
    run = continuation(world, instance, approval_id)
    with world.database.tenant_transaction(world.tenant) as cursor:
        dispatch.claim_decision(cursor, world.tenant, approval_id, run_id=run.run_id, ancestors=[])

    report(instance, run)
    report(instance, run)  # sensors may be told twice

    assert [item.attempt for item in dispatch.lease_decisions(world.database)] == [2]


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED])
def test_a_decision_whose_run_ended_unnoticed_before_its_claim_is_given_back(
    world: World, instance: dg.DagsterInstance, status: dg.DagsterRunStatus
) -> None:
    approval_id = decided(world)
    before = give_back_orphans(instance, world.database, grace_seconds=0.0)
    key = {"dagster/run_key": continuation_run_key(approval_id, 1)}
    run = continuation(world, instance, approval_id, **key)
    working = give_back_orphans(instance, world.database, grace_seconds=0.0)
    if status is dg.DagsterRunStatus.FAILURE:
        instance.report_run_failed(run)
    else:
        instance.report_run_canceled(run)

    early = give_back_orphans(instance, world.database, grace_seconds=60.0)
    given_back = give_back_orphans(instance, world.database, grace_seconds=0.0)
    repeated = give_back_orphans(instance, world.database, grace_seconds=0.0)

    assert (before, working, early, given_back, repeated) == (0, 0, 0, 1, 0)
    assert [item.attempt for item in dispatch.lease_decisions(world.database)] == [2]


@pytest.mark.parametrize("fate", ["failed unnoticed", "deleted", "at work"])
def test_a_decision_whose_run_ended_unnoticed_is_given_back(
    world: World, owner: Any, instance: dg.DagsterInstance, fate: str
) -> None:
    approval_id = decided(world)
    run = continuation(world, instance, approval_id)
    with world.database.tenant_transaction(world.tenant) as cursor:
        dispatch.claim_decision(cursor, world.tenant, approval_id, run_id=run.run_id, ancestors=[])
    if fate == "deleted":
        instance.delete_run(run.run_id)
    elif fate == "failed unnoticed":
        instance.report_run_failed(run)

    early = give_back_orphans(instance, world.database, grace_seconds=60.0)
    given_back = give_back_orphans(instance, world.database, grace_seconds=0.0)

    due = [item.attempt for item in dispatch.lease_decisions(world.database)]
    assert early == 0
    assert (given_back, due) == ((0, []) if fate == "at work" else (1, [2]))


def test_a_session_goes_on_while_its_continuation_has_attempts_left_and_fails_once_after_them(
    world: World, owner: Any, instance: dg.DagsterInstance
) -> None:
    approval_id = decided(world)
    seen: list[str] = []
    told = "select count(*) as n from radiant.event where type = 'session.completed'"

    for _ in range(3):
        run = continuation(world, instance, approval_id, **STEP_FAILED)
        with world.database.tenant_transaction(world.tenant) as cursor:
            taken = dispatch.claim_decision(
                cursor, world.tenant, approval_id, run_id=run.run_id, ancestors=[]
            )
        owner.execute(
            "update radiant.session set status = 'concluding', conclude_run_id = %s", (run.run_id,)
        )
        report(instance, run)
        report(instance, run)  # sensors may be told twice
        now = status(owner, taken["session_id"])
        owner.execute(told)
        seen.append(f"{now}, {owner.fetchone()['n']} told")

    assert seen == ["concluding, 0 told", "concluding, 0 told", "failed, 1 told"]


def test_a_continuation_that_never_started_is_launched_again_under_a_new_key(
    world: World, instance: dg.DagsterInstance
) -> None:
    approval_id = decided(world)
    key = {"dagster/run_key": continuation_run_key(approval_id, 1)}
    run = continuation(world, instance, approval_id, **key)

    report(instance, run)
    report(instance, run)

    assert [item.attempt for item in dispatch.lease_decisions(world.database)] == [2]


@pytest.mark.parametrize("sensor", [session_failure_sensor, session_canceled_sensor])
def test_ends_of_different_runs_are_noticed_in_one_tick(
    world: World, owner: Any, instance: dg.DagsterInstance, sensor: dg.SensorDefinition
) -> None:
    resources = {"database": DatabaseResource()}
    with dg.build_sensor_context(
        instance=instance, repository_def=DEFS.get_repository_def(), resources=resources
    ) as context:
        cursor = sensor.evaluate_tick(context).cursor
    other = instance.create_run_for_job(job_def=DEFS.resolve_job_def("grimoire_maintenance"))
    config = {"tenant_id": str(world.tenant), "session_id": str(uuid.uuid4())}
    ours = run_of(instance, "think_tank", config)
    session_id = insert_session(owner, world.tenant, status="running", dagster_run_id=ours.run_id)
    for run in (other, ours):
        if sensor is session_failure_sensor:
            instance.report_run_failed(run)
        else:
            instance.report_run_canceled(run)

    with dg.build_sensor_context(
        instance=instance,
        repository_def=DEFS.get_repository_def(),
        resources=resources,
        cursor=cursor,
    ) as context:
        sensor.evaluate_tick(context)

    expected = "failed" if sensor is session_failure_sensor else "cancelled"
    assert status(owner, session_id) == expected


def test_runs_of_other_jobs_are_left_alone(
    world: World, owner: Any, instance: dg.DagsterInstance
) -> None:
    run = instance.create_run_for_job(job_def=DEFS.resolve_job_def("grimoire_maintenance"))
    session_id = insert_session(owner, world.tenant, status="running", dagster_run_id=run.run_id)

    report(instance, run)
    report(instance, run, canceled=True)

    assert status(owner, session_id) == "running"


def test_a_terminated_run_cancels_the_pending_approval_too(
    world: World, owner: Any, instance: dg.DagsterInstance
) -> None:
    with world.database.tenant_transaction(world.tenant) as cursor:
        approval_id = insert_approval(cursor, world.tenant)
    ids = {"tenant_id": str(world.tenant), "session_id": str(uuid.uuid4())}
    run = run_of(instance, "think_tank", ids)
    owner.execute("update radiant.session set dagster_run_id = %s", (run.run_id,))

    report(instance, run, canceled=True)

    with world.database.tenant_transaction(world.tenant) as cursor:
        assert approvals.get_approval(cursor, world.tenant, approval_id)["state"] == "cancelled"
        cursor.execute("select type from radiant.event order by seq")
        told = [row["type"] for row in cursor.fetchall()]
    assert told == ["approval.requested", "approval.cancelled", "session.completed"]


@pytest.mark.parametrize(
    "config", [{"call_timeout_seconds": 0.0}, {"call_timeout_seconds": -1.0}, {"max_retries": 99}]
)
def test_limits_that_would_mean_no_limit_are_refused(config: dict[str, float]) -> None:
    with (
        pytest.raises(dg.DagsterResourceFunctionError) as caught,
        dg.build_resources(
            {"models": ModelsResource(**config)}  # type: ignore[arg-type]
        ),
    ):
        pass

    assert next(iter(config)) in str(caught.value.__cause__)

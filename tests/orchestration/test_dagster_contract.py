"""What the engine uses of Dagster but Dagster does not promise.

When a pinned version moves and one of these fails, read the named file of the engine against the
new Dagster before changing the pin.
"""

import importlib
import inspect
from collections.abc import Sequence

import pytest
from dagster._core.execution.plan import active, instance_concurrency_context
from dagster._core.execution.plan.state import KnownExecutionState
from dagster._core.executor.base import Executor
from dagster_celery import config, launcher
from dagster_postgres import PostgresEventLogStorage, PostgresRunStorage, PostgresScheduleStorage

SIGNATURES: dict[str, tuple[str, ...]] = {
    # engine/executor.py, engine/step_threads.py
    "dagster._core.execution.api:ExecuteRunWithPlanIterable.__init__": (
        "execution_plan", "iterator", "execution_context_manager",
    ),
    "dagster._core.execution.context_creation_job:PlanExecutionContextManager.__init__": (
        "job", "execution_plan", "run_config", "dagster_run", "instance", "retry_mode",
        "raise_on_error", "output_capture",
    ),
    "dagster._core.execution.context.system:PlanExecutionContext.for_step": (
        "step", "known_state",
    ),
    # engine/scoped_resources.py
    "dagster._core.definitions.scoped_resources_builder:ScopedResourcesBuilder.build": (
        "required_resource_keys",
    ),
    "dagster._core.execution.plan.active:ActiveExecution.__init__": (
        "execution_plan", "retry_mode", "max_concurrent", "tag_concurrency_limits",
        "instance_concurrency_context",
    ),
    "dagster._core.execution.plan.active:ActiveExecution.get_steps_to_execute": ("limit",),
    "dagster._core.execution.plan.active:ActiveExecution.handle_event": ("dagster_event",),
    "dagster._core.execution.plan.active:ActiveExecution.verify_complete": (
        "job_context", "step_key",
    ),
    "dagster._core.execution.plan.active:ActiveExecution.plan_events_iterator": ("job_context",),
    "dagster._core.execution.plan.active:ActiveExecution.concurrency_event_iterator": (
        "plan_context",
    ),
    "dagster._core.execution.plan.active:ActiveExecution.sleep_interval": (),
    "dagster._core.execution.plan.active:ActiveExecution.mark_interrupted": (),
    "dagster._core.execution.plan.execute_plan:dagster_event_sequence_for_step": ("step_context",),
    "dagster._core.execution.plan.execute_plan:_trigger_hook": (
        "step_context", "step_event_list",
    ),
    "dagster._core.execution.plan.instance_concurrency_context:"
    "InstanceConcurrencyContext.free_step": ("step_key",),
    "dagster._core.events:EngineEventData.interrupted": ("steps_interrupted",),
    "dagster._utils.interrupts:pop_captured_interrupt": (),
    # engine/celery_app.py
    "dagster._cli.api:_execute_run_command_body": (
        "run_id", "instance", "write_stream_fn", "set_exit_code_on_failure",
    ),
    "dagster_celery.make_app:make_app": ("app_args",),
    # engine/launcher.py
    "dagster_celery.launcher:_get_run_priority": ("run",),
    "dagster_celery.launcher:CeleryRunLauncher.terminate": ("run_id",),
    # engine/storage.py
    "dagster_postgres:PostgresEventLogStorage.store_event": ("event",),
    "dagster_postgres:PostgresEventLogStorage._connect": (),
    "dagster_postgres:PostgresEventLogStorage._event_to_row": ("event",),
    "dagster_postgres:DagsterPostgresStorage.__init__": (
        "postgres_url", "should_autocreate_tables", "inst_data",
    ),
    "dagster_postgres:PostgresRunStorage.get_execution_plan_snapshot": (
        "execution_plan_snapshot_id",
    ),
    "dagster_postgres:PostgresRunStorage._has_snapshot_id": ("snapshot_id",),
    "dagster_postgres:PostgresRunStorage.has_execution_plan_snapshot": (
        "execution_plan_snapshot_id",
    ),
    "dagster_postgres:PostgresRunStorage.has_run_stats_index_cols": (),
    "dagster_postgres:PostgresRunStorage.has_backfill_id_column": (),
    "dagster_postgres:PostgresScheduleStorage.has_instigators_table": (),
    "dagster_postgres:PostgresScheduleStorage._has_instigators_table": ("conn",),
    "dagster_postgres:PostgresScheduleStorage.has_secondary_index_table": (),
    "dagster_postgres:PostgresRunStorage.optimize_for_webserver": (
        "statement_timeout", "pool_recycle", "max_overflow",
    ),
    "dagster_postgres:PostgresEventLogStorage.optimize_for_webserver": (
        "statement_timeout", "pool_recycle", "max_overflow",
    ),
    "dagster_postgres:PostgresScheduleStorage.optimize_for_webserver": (
        "statement_timeout", "pool_recycle", "max_overflow",
    ),
    "dagster_postgres.utils:create_pg_connection": ("engine",),
    "dagster_postgres.utils:set_pg_statement_timeout": ("conn", "millis"),
}  # fmt: skip


@pytest.mark.parametrize(("where", "wanted"), SIGNATURES.items(), ids=SIGNATURES.keys())
def test_dagster_still_has_what_the_engine_calls(where: str, wanted: Sequence[str]) -> None:
    module, _, path = where.partition(":")
    found = importlib.import_module(module)
    for name in path.split("."):
        found = getattr(found, name, None)
        assert found is not None, f"Dagster no longer has {where}; the engine calls it."

    parameters = inspect.signature(found).parameters
    missing = [name for name in wanted if name not in parameters]
    required = [
        name
        for name, parameter in parameters.items()
        if parameter.default is parameter.empty
        and parameter.kind in {parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY}
        and name not in {"self", *wanted}
    ]

    assert not missing, f"{where} no longer takes {missing}; the engine passes it."
    assert not required, f"{where} now requires {required}; the engine does not pass it."


def source(thing: object) -> str:
    return inspect.getsource(thing)  # type: ignore[arg-type]


def test_the_pool_claims_keep_the_names_that_prompt_claims_use() -> None:
    body = source(instance_concurrency_context.InstanceConcurrencyContext)

    for name in ("_claims", "_pending_claims", "_pending_timeouts", "_pools", "_run_id"):
        assert f"self.{name}" in body, f"_PromptConcurrencyContext uses {name}"
    assert "time.time() > self._pending_timeouts[step_key]" in body


def test_the_state_machine_keeps_the_claims_under_the_name_the_loop_reads() -> None:
    assert "self._instance_concurrency_context = " in source(active.ActiveExecution.__init__)


def test_dynamic_outputs_are_resolved_by_the_call_the_loop_makes() -> None:
    assert "_update()" in source(active.ActiveExecution.get_steps_to_skip)
    assert "get_steps_to_skip" in source(active.ActiveExecution.plan_events_iterator)


def test_a_known_state_can_be_copied_with_other_ready_outputs() -> None:
    assert "ready_outputs" in KnownExecutionState._fields


def test_an_executor_still_needs_only_retries_and_execute() -> None:
    assert Executor.__abstractmethods__ == {"retries", "execute"}


@pytest.mark.parametrize(
    "storage", [PostgresRunStorage, PostgresEventLogStorage, PostgresScheduleStorage]
)
def test_each_postgres_storage_reads_its_engine_where_ours_is_put(storage: type) -> None:
    assert "create_pg_connection(self._engine)" in source(storage)


def test_the_event_log_reaches_the_database_only_through_connect() -> None:
    # GroupingEventLogStorage writes what waits in _connect; another way in would read old data.
    for name in ("run_connection", "index_connection"):
        assert "self._connect()" in source(getattr(PostgresEventLogStorage, name))
    assert "_connect()" in source(PostgresEventLogStorage.store_event)


def test_the_task_of_a_launched_run_keeps_its_name_and_argument() -> None:
    assert config.TASK_EXECUTE_JOB_NAME == "execute_job"
    assert "execute_job_args_packed=pack_value(args)" in source(
        launcher.CeleryRunLauncher.launch_run
    )


def test_dagster_still_leaves_sigterm_with_the_handler_of_sigint() -> None:
    from dagster._utils import interrupts

    # The reason for celery_app._signal_handlers_kept; remove it when this no longer holds.
    assert "signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGINT))" in source(
        interrupts.setup_interrupt_handlers
    )

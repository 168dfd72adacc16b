"""Runs each step of a run in a thread of the run's own process.

A swarm's steps wait for models, so threads are enough, and a step costs milliseconds where a
process a step costs a second. The scheduler below is Dagster's own state machine
(`ActiveExecution`), fed by a mailbox: a step that ends wakes the loop at once, and whatever became
ready starts at once.

Invariants: resources are made once a run and shared, so they must be thread-safe; ops are
synchronous (Dagster gives all steps of a run one event loop, which threads cannot share); only
the loop touches the state machine; a step's events are written by the step's own thread.

How a run is stopped: the loop reads the run's status once a second. CANCELING there (Dagit's
Terminate, `radiant sessions cancel`), or a captured SIGINT or SIGTERM where the run owns the
process, sets the run's token, see `cancellation`. Nothing kills a process that other runs share.

It builds on Dagster internals that are not promised; tests/orchestration/test_dagster_contract.py
names each.
"""

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import dagster as dg
from dagster._core.errors import DagsterExecutionInterruptedError
from dagster._core.events import DagsterEvent, EngineEventData
from dagster._core.execution.api import ExecuteRunWithPlanIterable
from dagster._core.execution.compute_logs import create_compute_log_file_key
from dagster._core.execution.context.system import (
    PlanExecutionContext,
    PlanOrchestrationContext,
)
from dagster._core.execution.context_creation_job import PlanExecutionContextManager
from dagster._core.execution.plan.active import ActiveExecution
from dagster._core.execution.plan.instance_concurrency_context import InstanceConcurrencyContext
from dagster._core.execution.plan.plan import ExecutionPlan
from dagster._core.execution.retries import RetryMode, get_retries_config
from dagster._core.execution.tags import get_tag_concurrency_limits_config
from dagster._core.executor.base import Executor
from dagster._core.executor.init import InitExecutorContext
from dagster._utils.interrupts import pop_captured_interrupt

from radiant_dagster.engine.cancellation import CancellationToken
from radiant_dagster.engine.scoped_resources import share_resources
from radiant_dagster.engine.step_threads import HooksEnded, StepEnded, StepThreads
from radiant_dagster.engine.storage import run_status

DEFAULT_CONCURRENT = 32  # the largest usual swarm at once; its threads wait for HTTP
MOST_CONCURRENT = 64  # a swarm's upper bound
STATUS_POLL_SECONDS = 1.0
SIGNAL_TICK_SECONDS = 0.25  # a signal sets a flag only; nothing wakes a waiting queue
CLAIM_TICK_SECONDS = 0.1
STOP_GRACE_SECONDS = 2.0
# A run in one of these has nobody left who waits for its steps.
STOPPED = frozenset(
    {dg.DagsterRunStatus.CANCELING, dg.DagsterRunStatus.CANCELED, dg.DagsterRunStatus.FAILURE}
)

CANCEL_EVENTS = {dg.DagsterEventType.RUN_CANCELING, dg.DagsterEventType.RUN_CANCELED}


class _PromptConcurrencyContext(InstanceConcurrencyContext):
    """Dagster's pool claims, without the seconds of waiting when our own step frees a slot.

    Dagster asks again for a blocked claim after one to fifteen seconds. A slot that one of this
    run's steps gives back is handed by the database to the next step in line, which may be ours
    too: those are asked for at once. Slots freed by other runs keep Dagster's pace.
    """

    def free_step(self, step_key: str) -> None:
        held = step_key in self._claims
        super().free_step(step_key)
        if held and self._pending_claims:
            for waiting in self._assigned_to_this_run():
                self._pending_timeouts[waiting] = 0.0

    def _assigned_to_this_run(self) -> list[str]:
        infos = self._instance.event_log_storage.get_concurrency_infos(list(self._pools or {}))
        return [
            step.step_key
            for info in infos.values()
            for step in info.pending_steps
            if step.run_id == self._run_id
            and step.assigned_timestamp is not None
            and step.step_key in self._pending_claims
        ]


class _Interruption:
    """Whether the run was asked to stop, by a signal or by its status in the storage."""

    def __init__(self, job_context: PlanExecutionContext) -> None:
        self._job_context = job_context
        self._next_poll = time.monotonic() + STATUS_POLL_SECONDS
        self._first_poll = True

    def requested(self) -> bool:
        """Check the signal flag every time and the run's status once a second."""
        if pop_captured_interrupt():
            return True
        now = time.monotonic()
        if now < self._next_poll:
            return False
        self._next_poll = now + STATUS_POLL_SECONDS
        return self._status_says_stop()

    def _status_says_stop(self) -> bool:
        instance, run_id = self._job_context.instance, self._job_context.run_id
        try:
            status = run_status(instance, run_id)
            if status is None or status in STOPPED:
                return True
            if self._first_poll:
                # A request that came between the worker's look at the run and the run's own
                # start event has had its status overwritten; its event is still there.
                self._first_poll = False
                asked = instance.all_logs(run_id, of_type=CANCEL_EVENTS)
                run = instance.get_run_by_id(run_id) if asked else None
                if run is not None:
                    instance.report_run_canceling(run)
                return bool(asked)
        except Exception as error:  # noqa: BLE001 - a database hiccup must not end a healthy run
            self._job_context.log.warning(
                "The run's status could not be read (%s); asked again.", type(error).__name__
            )
        return False


class _Scheduler:
    """Feeds Dagster's state machine of one run from the mailbox of its threads."""

    def __init__(
        self,
        job_context: PlanExecutionContext,
        active: ActiveExecution,
        *,
        stop_grace_seconds: float,
    ) -> None:
        self._job_context = job_context
        self._active = active
        self._grace = stop_grace_seconds
        self._threads = StepThreads(job_context, CancellationToken())
        self._interruption = _Interruption(job_context)

    def run(self) -> Iterator[DagsterEvent]:
        """Execute the plan and yield its events, which are stored already."""
        while not self._active.is_complete or self._threads.busy:
            if self._interruption.requested():
                yield from self._stop()
                raise DagsterExecutionInterruptedError
            yield from self._start_ready()
            message = self._threads.receive(self._patience())
            if message is not None:
                yield from self._handle(message)

    def _start_ready(self) -> Iterator[DagsterEvent]:
        steps = self._active.get_steps_to_execute()
        if steps:
            known_state = self._active.get_known_state()
            # Dagster hands out its live set here; steps read it while the loop adds to it.
            known_state = known_state._replace(ready_outputs=set(known_state.ready_outputs))
            for step in steps:
                self._threads.start(step, known_state)
        yield from self._active.concurrency_event_iterator(self._job_context)
        yield from self._active.plan_events_iterator(self._job_context)

    def _patience(self) -> float:
        """Return for how long nothing but a message can make work, in seconds."""
        if not self._threads.busy and not self._active.sleep_interval():
            # Nothing runs and nothing is waited for: skips have just been worked off.
            return 0.0
        waits = [SIGNAL_TICK_SECONDS]
        context = self._active._instance_concurrency_context
        if context is not None and context.has_pending_claims():
            # sleep_interval() is never above 0 then (a `min` with 0 in it); ask at our own pace.
            waits.append(CLAIM_TICK_SECONDS)
        else:
            retry = self._active.sleep_interval()
            if retry:
                waits.append(retry)
        return max(min(waits), 0.0)

    def _handle(self, message: StepEnded | HooksEnded) -> Iterator[DagsterEvent]:
        for event in message.events:
            yield event
            if isinstance(message, StepEnded):
                self._active.handle_event(event)
        if isinstance(message, HooksEnded):
            return
        if message.error is not None:
            # Only an interruption, or raise_on_error in a test, ends a step's generator so.
            yield from self._stop()
            raise message.error
        self._active.verify_complete(self._job_context, message.step_key)
        # Also resolves what a dynamic output has just mapped: without it the plan looks complete.
        yield from self._active.plan_events_iterator(self._job_context)

    def _stop(self) -> Iterator[DagsterEvent]:
        """Ask, then interrupt, then abandon what still runs."""
        self._active.mark_interrupted()
        if not self._threads.busy:
            return
        yield self._engine_event("Termination requested: telling the running steps to stop.")
        self._threads.stop()
        yield from self._drain()
        if self._threads.running:
            self._threads.interrupt()
            yield from self._drain()
        if self._threads.running:
            yield self._engine_event(
                "These steps did not stop and were abandoned; a call they make may still end "
                "and cost money."
            )

    def _drain(self) -> Iterator[DagsterEvent]:
        deadline = time.monotonic() + self._grace
        while self._threads.running:
            message = self._threads.receive(deadline - time.monotonic())
            if message is None:
                return
            for event in message.events:
                yield event
                if isinstance(message, StepEnded):
                    self._active.handle_event(event)

    def _engine_event(self, message: str) -> DagsterEvent:
        return DagsterEvent.engine_event(
            self._job_context,
            f"Threaded executor: {message}",
            EngineEventData.interrupted(sorted(self._threads.running)),
        )


@dataclass(frozen=True)
class _RunSteps:
    """What `ExecuteRunWithPlanIterable` iterates over once resources exist."""

    executor: "ThreadedExecutor"

    def __call__(
        self, job_context: PlanExecutionContext, execution_plan: ExecutionPlan
    ) -> Iterator[DagsterEvent]:
        executor = self.executor
        share_resources(job_context)
        with ExitStack() as stack:
            if executor.capture_output:
                yield _capture_output(stack, job_context, execution_plan)
            concurrency = stack.enter_context(
                _PromptConcurrencyContext(job_context.instance, job_context.dagster_run)
            )
            active = stack.enter_context(
                ActiveExecution(
                    execution_plan,
                    retry_mode=executor.retries,
                    max_concurrent=executor.max_concurrent,
                    tag_concurrency_limits=executor.tag_concurrency_limits,
                    instance_concurrency_context=concurrency,
                )
            )
            yield from _Scheduler(
                job_context, active, stop_grace_seconds=executor.stop_grace_seconds
            ).run()


def _capture_output(
    stack: ExitStack, job_context: PlanExecutionContext, execution_plan: ExecutionPlan
) -> DagsterEvent:
    # Once a run: the capture swaps the process's file descriptors, so steps cannot be told apart.
    manager = job_context.instance.compute_log_manager
    log_key = manager.build_log_key_for_run(job_context.run_id, create_compute_log_file_key())
    log_context = stack.enter_context(manager.capture_logs(log_key))
    step_keys = [step.key for step in execution_plan.get_steps_to_execute_in_topo_order()]
    return DagsterEvent.capture_logs(job_context, step_keys, log_key, log_context)


class ThreadedExecutor(Executor):
    """See `threaded_executor`."""

    def __init__(
        self,
        *,
        retries: RetryMode,
        max_concurrent: int = DEFAULT_CONCURRENT,
        tag_concurrency_limits: list[dict[str, Any]] | None = None,
        capture_output: bool = False,
        stop_grace_seconds: float = STOP_GRACE_SECONDS,
    ) -> None:
        if not 1 <= max_concurrent <= MOST_CONCURRENT:
            # A DagsterError, the only kind that Dagster turns into a failed run at this point.
            raise dg.DagsterInvariantViolationError(
                f"execution.config.max_concurrent: must be 1 to {MOST_CONCURRENT}. Lower it, or "
                "leave it out."
            )
        self._retries = retries
        self.max_concurrent = max_concurrent
        self.tag_concurrency_limits = tag_concurrency_limits
        self.capture_output = capture_output
        self.stop_grace_seconds = stop_grace_seconds

    @property
    def retries(self) -> RetryMode:
        """How retries are treated: by this process, at once."""
        return self._retries

    def execute(
        self, plan_context: PlanOrchestrationContext, execution_plan: ExecutionPlan
    ) -> Iterator[DagsterEvent]:
        """Run the plan in threads of this process."""
        pid = os.getpid()
        started = time.monotonic()
        yield DagsterEvent.engine_event(
            plan_context,
            f"Running steps in up to {self.max_concurrent} threads (pid: {pid})",
            EngineEventData.in_process(pid, execution_plan.step_keys_to_execute),
        )
        yield from ExecuteRunWithPlanIterable(
            execution_plan=execution_plan,
            iterator=_RunSteps(self),
            execution_context_manager=PlanExecutionContextManager(
                job=plan_context.job,
                retry_mode=plan_context.retry_mode,
                execution_plan=execution_plan,
                run_config=plan_context.run_config,
                dagster_run=plan_context.dagster_run,
                instance=plan_context.instance,
                raise_on_error=plan_context.raise_on_error,
                output_capture=plan_context.output_capture,
            ),
        )
        elapsed = time.monotonic() - started
        yield DagsterEvent.engine_event(
            plan_context,
            f"All steps ended after {elapsed:.2f} s (pid: {pid})",
            EngineEventData.in_process(pid),
        )


@dg.executor(
    name="threaded",
    config_schema={
        "max_concurrent": dg.Field(
            int,
            default_value=DEFAULT_CONCURRENT,
            description=f"Steps of one run that run at once, 1 to {MOST_CONCURRENT}. They wait "
            f"for models, so this may be far above the number of cores. Default: "
            f"{DEFAULT_CONCURRENT}, a large swarm in one go.",
        ),
        "tag_concurrency_limits": get_tag_concurrency_limits_config(),
        "retries": get_retries_config(),
        "capture_output": dg.Field(
            bool,
            default_value=False,
            description="Show what the run prints in Dagit's stdout and stderr tabs. Off by "
            "default: it starts four processes a run, and printed text is stored unscrubbed.",
        ),
        "stop_grace_seconds": dg.Field(
            float,
            default_value=STOP_GRACE_SECONDS,
            description="How long a terminated run waits for its steps to stop by themselves, "
            "in seconds, and once more after interrupting them. Then they are abandoned.",
        ),
    },
)
def threaded_executor(init_context: InitExecutorContext) -> Executor:
    """Runs each step in a thread of the run's own process.

    For steps that wait (model calls, databases). Ops must be synchronous and resources
    thread-safe; resources are made once a run. Supports retries, pools, hooks, re-execution from
    failure and termination.
    """
    config: Any = init_context.executor_config
    return ThreadedExecutor(
        retries=RetryMode.from_config(config["retries"]) or RetryMode.ENABLED,
        max_concurrent=config["max_concurrent"],
        tag_concurrency_limits=config.get("tag_concurrency_limits"),
        capture_output=config["capture_output"],
        stop_grace_seconds=config["stop_grace_seconds"],
    )

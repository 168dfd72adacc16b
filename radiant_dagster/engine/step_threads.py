"""The threads of one run's steps, and the mailbox through which they report.

A thread writes its step's events itself and sends one message when the step ends, so the loop that
owns the run's state wakes once a step and never waits for the database on a step's behalf. Hooks
run in the step's thread after that message: what follows the step does not wait for them.
"""

import queue
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from dagster._core.errors import DagsterExecutionInterruptedError
from dagster._core.events import DagsterEvent
from dagster._core.execution.context.system import PlanExecutionContext, StepExecutionContext
from dagster._core.execution.plan.execute_plan import (
    _trigger_hook,
    dagster_event_sequence_for_step,
)
from dagster._core.execution.plan.state import KnownExecutionState
from dagster._core.execution.plan.step import ExecutionStep

from radiant_dagster.engine.cancellation import CancellationToken, cancelled_by, inject


@dataclass(frozen=True, slots=True)
class StepEnded:
    """A step's last word: all its events, the error that ended its thread, and what follows.

    `hooks_follow` announces one `HooksEnded` message more from the same thread.
    """

    step_key: str
    events: Sequence[DagsterEvent]
    error: BaseException | None
    hooks_follow: bool


@dataclass(frozen=True, slots=True)
class HooksEnded:
    """The hooks of a step have run, after the step itself was reported."""

    events: Sequence[DagsterEvent]


class StepThreads:
    """The threads of one run and the mailbox they report to."""

    def __init__(self, job_context: PlanExecutionContext, token: CancellationToken) -> None:
        self._job_context = job_context
        self._token = token
        self._mailbox: queue.SimpleQueue[StepEnded | HooksEnded] = queue.SimpleQueue()
        self._hooking = 0
        self.running: dict[str, threading.Thread] = {}

    @property
    def busy(self) -> bool:
        """Whether a message is still to come."""
        return bool(self.running) or self._hooking > 0

    def start(self, step: ExecutionStep, known_state: KnownExecutionState) -> None:
        """Run a step in a thread of its own; it reports once, by `receive`."""
        step_context = self._job_context.for_step(step, known_state)
        # A daemon: an abandoned step must not keep the process from ending.
        thread = threading.Thread(
            target=self._work, args=(step_context,), name=f"step {step.key}", daemon=True
        )
        self.running[step.key] = thread
        thread.start()

    def receive(self, timeout_seconds: float) -> StepEnded | HooksEnded | None:
        """Return the next message, None where none came in time."""
        try:
            message = self._mailbox.get(timeout=max(timeout_seconds, 0.0))
        except queue.Empty:
            return None
        if isinstance(message, HooksEnded):
            self._hooking -= 1
        else:
            del self.running[message.step_key]
            self._hooking += message.hooks_follow
        return message

    def stop(self) -> None:
        """Ask every step to stop."""
        self._token.set()

    def interrupt(self) -> None:
        """Raise an interruption in the threads that did not listen."""
        for thread in self.running.values():
            inject(thread, DagsterExecutionInterruptedError)

    def _work(self, step_context: StepExecutionContext) -> None:
        events: list[DagsterEvent] = []
        error: BaseException | None = None
        with cancelled_by(self._token):
            try:
                events.extend(dagster_event_sequence_for_step(step_context))
            except BaseException as raised:  # noqa: BLE001 - carried to the loop, which decides
                error = raised
            hooks = error is None and bool(
                step_context.job_def.get_all_hooks_for_handle(step_context.node_handle)
            )
            self._mailbox.put(StepEnded(step_context.step.key, events, error, hooks_follow=hooks))
            if hooks:
                hooked: list[DagsterEvent] = []
                try:
                    hooked.extend(_trigger_hook(step_context, events))
                finally:
                    self._mailbox.put(HooksEnded(hooked))

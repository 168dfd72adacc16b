"""Small jobs that exercise the engine; loaded by the tests, a webserver and a Celery worker."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from radiant_dagster.engine.cancellation import step_cancelled
from radiant_dagster.engine.executor import threaded_executor
from radiant_dagster.engine.io_manager import id_only_io_manager

AGENTS = 4
LONG_SECONDS = 60.0  # longer than any test waits: these steps end because they are told to


class Probe:
    """What the steps of this process did; reset before each test."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        self.calls: Counter[str] = Counter()
        self.threads: set[int] = set()
        self.running = 0
        self.most_running = 0
        self.resources_made = 0
        self.failing: set[str] = set()
        self.started = threading.Event()
        self.heard = threading.Event()
        self.hooks: list[str] = []

    def count(self, name: str) -> int:
        with self._lock:
            self.calls[name] += 1
            self.threads.add(threading.get_ident())
            return self.calls[name]

    @contextmanager
    def inside(self) -> Iterator[None]:
        with self._lock:
            self.running += 1
            self.most_running = max(self.most_running, self.running)
        try:
            yield
        finally:
            with self._lock:
                self.running -= 1


PROBE = Probe()


class CountedResource(dg.ConfigurableResource):
    """Counts how often a run makes it."""

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        PROBE.resources_made += 1


@dg.op
def open_session() -> str:
    PROBE.count("open_session")
    return "session-1"


@dg.op(out=dg.DynamicOut(str))
def fan_out(session_id: str) -> Iterator[dg.DynamicOutput[str]]:
    PROBE.count("fan_out")
    for number in range(AGENTS):
        yield dg.DynamicOutput(f"agent-{number}", mapping_key=f"agent_{number}")


@dg.op
def run_agent(agent_id: str, counted: CountedResource) -> str:
    PROBE.count(agent_id)
    if agent_id in PROBE.failing:
        raise ValueError("this agent fails")
    return agent_id


@dg.op
def gather(agent_ids: list[str]) -> int:
    PROBE.count("gather")
    return len(agent_ids)


@dg.success_hook
def note_success(context: dg.HookContext) -> None:
    PROBE.hooks.append(f"success {context.step_key}")


@dg.failure_hook
def note_failure(context: dg.HookContext) -> None:
    PROBE.hooks.append(f"failure {context.step_key}")


COMMON = {
    "executor_def": threaded_executor,
    "resource_defs": {"io_manager": id_only_io_manager, "counted": CountedResource()},
}


@dg.job(**COMMON)
def swarm() -> None:
    gather(fan_out(open_session()).map(run_agent).collect())


@dg.job(**COMMON, hooks={note_success, note_failure})
def hooked() -> None:
    gather(fan_out(open_session()).map(run_agent).collect())


@dg.op(retry_policy=dg.RetryPolicy(max_retries=2))
def flaky_by_policy(agent_id: str) -> str:
    if PROBE.count(agent_id) < 3:
        raise ValueError("not yet")
    return agent_id


@dg.op
def flaky_by_request(agent_id: str) -> str:
    if PROBE.count(f"{agent_id} asks") < 2:
        raise dg.RetryRequested(max_retries=1, seconds_to_wait=0.05)
    return agent_id


@dg.job(**COMMON)
def retried() -> None:
    gather(fan_out(open_session()).map(lambda a: flaky_by_request(flaky_by_policy(a))).collect())


@dg.op(pool="narrow")
def pooled_agent(agent_id: str) -> str:
    with PROBE.inside():
        PROBE.count(agent_id)
        time.sleep(0.05)
    return agent_id


@dg.job(**COMMON)
def pooled() -> None:
    gather(fan_out(open_session()).map(pooled_agent).collect())


@dg.op
def together(agent_id: str) -> str:
    """End only when every agent runs at the same moment."""
    MEETING.wait(timeout=LONG_SECONDS)
    return agent_id


MEETING = threading.Barrier(AGENTS)


@dg.job(**COMMON)
def concurrent() -> None:
    gather(fan_out(open_session()).map(together).collect())


@dg.op
def listening() -> str:
    cancelled = step_cancelled()
    PROBE.started.set()
    for _ in range(int(LONG_SECONDS / 0.02)):
        if cancelled():
            PROBE.heard.set()
            return "stopped"
        time.sleep(0.02)
    return "never"


@dg.op
def deaf() -> str:
    PROBE.started.set()
    for _ in range(int(LONG_SECONDS / 0.02)):
        time.sleep(0.02)
    return "never"


@dg.op
def stuck() -> str:
    PROBE.started.set()
    time.sleep(LONG_SECONDS)
    return "never"


@dg.op
def afterwards(_before: str) -> str:
    PROBE.count("afterwards")
    return "done"


QUICK_STOP = {**COMMON, "config": {"execution": {"config": {"stop_grace_seconds": 0.3}}}}


@dg.job(**QUICK_STOP)
def listening_job() -> None:
    afterwards(listening())


@dg.job(**QUICK_STOP)
def deaf_job() -> None:
    afterwards(deaf())


@dg.job(**QUICK_STOP)
def stuck_job() -> None:
    afterwards(stuck())


@dg.op
def hands_on_text() -> str:
    return "The patient Jane Doe asks about her prescription."


@dg.job(**COMMON)
def leaking() -> None:
    afterwards(hands_on_text())


defs = dg.Definitions(
    jobs=[
        swarm,
        hooked,
        retried,
        pooled,
        concurrent,
        listening_job,
        deaf_job,
        stuck_job,
        leaking,
    ]
)

"""The daemon dies while it dispatches a decision, which is carried out once all the same."""

import signal
import subprocess
import sys
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.e2e.conftest import Running, until
from tests.services.power_cuts import PowerCuts
from tests.services.review_load import Records

pytestmark = pytest.mark.timeout(240)

ROOT = Path(__file__).parents[2]
ENDED_RUNS = """
    select e.run_id, count(*) filter (where e.step_key like '%%close_session') as closed
    from event_logs e join run_tags t on t.run_id = e.run_id and t.key = 'radiant/session_id'
    where t.value = %(session)s and e.dagster_event_type = 'STEP_SUCCESS' group by 1
"""


def decided(stack: Running) -> uuid.UUID:
    """Return a session whose draft was approved and whose continuation nobody has launched."""
    session_id, _ = stack.submit(domain="medical")
    stack.wait(session_id, "awaiting_review")
    stack.approve(session_id)
    return session_id


def times_closed(stack: Running, session_id: uuid.UUID) -> int:
    records = Records(stack.settings, stack.tenant, [session_id])

    def closed() -> int:
        rows = records.dagsters(ENDED_RUNS, {"session": str(session_id)})
        return sum(row["closed"] for row in rows)

    # The step commits the end of the session before Dagster notes the end of the step.
    return until(closed, lambda times: times > 0)


def ends_told(stack: Running, session_id: uuid.UUID) -> Counter[Any]:
    with stack.database.tenant_transaction(stack.tenant) as cursor:
        cursor.execute("select type from radiant.event where session_id = %s", (session_id,))
        return Counter(row["type"] for row in cursor.fetchall())


@pytest.mark.parametrize("point", ["RUN_IDS_RESERVED", "RUN_CREATED", "RUN_LAUNCHED"])
def test_a_daemon_that_dies_while_it_launches_loses_and_doubles_nothing(
    stack: Running, power: PowerCuts, point: str
) -> None:
    daemon = power.kill("daemon")
    session_id = decided(stack)

    died = subprocess.run(
        [sys.executable, "-m", "tests.e2e.dying_daemon", point],
        env=daemon.environment | {"PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        check=False,
        capture_output=True,
    )
    power.restore("daemon")

    assert died.returncode == -signal.SIGKILL, died.stderr[-2000:]
    assert stack.wait(session_id, "completed", "failed")["status"] == "completed"
    assert times_closed(stack, session_id) == 1
    assert ends_told(stack, session_id)["session.completed"] == 1


def test_a_daemon_that_is_killed_after_a_decision_carries_it_out_when_it_is_back(
    stack: Running, power: PowerCuts
) -> None:
    session_id = decided(stack)

    power.cut("daemon")

    # Where it had leased the decision and not launched it yet, the lease has to lapse first.
    assert stack.wait(session_id, "completed", "failed", seconds=150)["status"] == "completed"
    assert times_closed(stack, session_id) == 1
    assert ends_told(stack, session_id)["session.completed"] == 1


def test_a_message_that_died_between_the_broker_and_a_worker_costs_no_decision(
    stack: Running, power: PowerCuts
) -> None:
    session_id, _ = stack.submit(domain="medical")
    stack.wait(session_id, "awaiting_review")
    worker = power.kill("worker")
    broker = redis.Redis.from_url(worker.environment["RADIANT_BROKER_URL"])
    stack.approve(session_id)

    # As a worker does that is killed before it has noted what it took.
    taken = until(lambda: broker.rpop("dagster"), lambda message: message is not None)
    power.restore("worker")

    assert isinstance(taken, bytes)
    assert stack.wait(session_id, "completed", "failed", seconds=200)["status"] == "completed"
    assert times_closed(stack, session_id) == 1
    assert ends_told(stack, session_id)["session.completed"] == 1
    broker.close()

"""Reviewers in processes of their own, who read what is pending and vote on the same requests.

They pick at random, so that several often vote on one request at the same moment. Requests of the
domain `AIMED` they leave until their deadline is there, and vote around it.
"""

import multiprocessing
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from radiant_dagster.adapters import approvals, continuation
from radiant_dagster.adapters.dagster_api import DagsterApi
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.domain.approvals import Vote
from radiant_dagster.errors import ApprovalAlreadyResolved, ApprovalExpired

AIMED = "brief"
AIM_BEFORE_SECONDS, AIM_AFTER_SECONDS = 0.2, 0.05  # a vote takes some time to be judged
LOOK_SECONDS = 2.0  # how long before a deadline somebody turns to it
THINK_SECONDS = 0.3
LAUNCHED_AT_ONCE = 0.75  # of the decisions; the others are left to the sensor, as if we had died
VERDICTS = ("approved", "rejected", "modified", "redraft")
WEIGHTS = (70, 12, 14, 4)
EDITED = "A reviewer's own words."
STOPPED_SECONDS = 60.0


@dataclass(frozen=True)
class Task:
    """What a reviewer process is told."""

    name: str
    seed: int
    review_url: str
    dagster_url: str
    tenant: UUID


@dataclass
class Log:
    """What reviewers were told of their votes.

    Attributes:
        accepted: Requests that they decided, each as often as they were told so.
        beaten: Votes that came after another one.
        late: Votes that came after the deadline.
    """

    accepted: list[UUID] = field(default_factory=list)
    beaten: int = 0
    late: int = 0

    def add(self, other: "Log") -> None:
        """Take up what another reviewer was told."""
        self.accepted += other.accepted
        self.beaten += other.beaten
        self.late += other.late


@contextmanager
def reviewing(
    count: int, *, review_url: str, dagster_url: str, tenant: UUID, seed: int
) -> Iterator[Log]:
    """Let reviewers work meanwhile; their log is complete after the block.

    Args:
        count: Processes.
        review_url: The login that Mission Control has.
    """
    # Not forked: the parent has threads and connections of its own.
    context: Any = multiprocessing.get_context("spawn")
    # Closing it tells all of them to stop, and so does the end of this process.
    stop, open_end = context.Pipe(duplex=False)
    results, log = context.Queue(), Log()
    processes = [
        context.Process(
            target=_review,
            args=(Task(f"dr-{n}", seed + n, review_url, dagster_url, tenant), stop, results),
            daemon=True,
        )
        for n in range(count)
    ]
    for process in processes:
        process.start()
    try:
        yield log
        open_end.close()
        for _ in processes:
            log.add(results.get(timeout=STOPPED_SECONDS))
    finally:
        open_end.close()
        for process in processes:
            process.join(STOPPED_SECONDS)


def _review(task: Task, stop: Any, results: Any) -> None:
    database = Database(task.review_url, pool_size=3)
    dagster = DagsterApi(task.dagster_url)
    chance, log = random.Random(task.seed), Log()
    launches = []
    while not stop.poll():
        request = _pick(database, task.tenant, chance)
        if request is None:
            stop.poll(THINK_SECONDS)
            continue
        vote = _vote(task.name, request, chance)
        try:
            approvals.decide(database, task.tenant, request["id"], vote)
        except ApprovalAlreadyResolved:
            log.beaten += 1
            continue
        except ApprovalExpired:
            log.late += 1
            continue
        log.accepted.append(request["id"])
        if chance.random() < LAUNCHED_AT_ONCE:
            launches.append(continuation.launch_soon(database, dagster, task.tenant, request["id"]))
        stop.poll(chance.uniform(0, THINK_SECONDS))
    for thread in launches:
        thread.join()
    database.close()
    results.put(log)


def _pick(database: Database, tenant: UUID, chance: random.Random) -> dict[str, Any] | None:
    """Return a request to vote on now, read like a page reads it; None where nothing is due."""
    with database.tenant_transaction(tenant, role="radiant_review") as cursor:
        pending = approvals.list_approvals(cursor, tenant, pending_only=True)
    ready = [row for row in pending if row["domain"] != AIMED or _seconds_left(row) < LOOK_SECONDS]
    if not ready:
        return None
    chosen = chance.choice(ready)
    if chosen["domain"] == AIMED:
        aim = _seconds_left(chosen) + chance.uniform(-AIM_BEFORE_SECONDS, AIM_AFTER_SECONDS)
        time.sleep(max(aim, 0))
    with database.tenant_transaction(tenant, role="radiant_review") as cursor:
        return approvals.get_approval(cursor, tenant, chosen["id"])


def _seconds_left(row: dict[str, Any]) -> float:
    return (row["deadline"] - row["server_now"]).total_seconds()


def _vote(name: str, request: dict[str, Any], chance: random.Random) -> Vote:
    (kind,) = chance.choices(VERDICTS, WEIGHTS)
    # Guidance alone asks for a new draft, which is reviewed as a request of its own. Once only.
    redraft = kind == "redraft" and request["attempt"] == 1
    verdict: Any = "modified" if redraft else kind if kind != "redraft" else "approved"
    return Vote(
        name,
        frozenset({"reviewer"}),
        verdict,
        bytes(request["payload_sha256"]),
        guidance="" if verdict == "approved" else "Shorter, please.",
        edited_text=EDITED if verdict == "modified" and not redraft else None,
    )

"""People, sessions and maintenance at one heuristic at once: nobody fails, nothing is lost."""

import json
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest

from radiant_dagster.adapters import agent_runs
from radiant_dagster.adapters.cato import EmbeddedCato
from radiant_dagster.adapters.embeddings import MiniLmEmbeddings
from radiant_dagster.adapters.grimoire import acts, credit, files, merging
from radiant_dagster.adapters.grimoire.texts import Checks
from radiant_dagster.adapters.postgres import Cursor, Database
from radiant_dagster.domain.curation import Merge, Promote, Retire, Revoke, Unmerge
from radiant_dagster.domain.phi import RuleDetector
from radiant_dagster.domain.selection import Offered
from radiant_dagster.domain.swarm import AgentResult
from radiant_dagster.errors import InvalidInput
from tests.adapters.grimoire_desk import LESSONS, Grimoire
from tests.adapters.rows import insert, insert_session, until_it_waits

LONE, AVOID, LONE_AVOID = 5, 4, 6  # of LESSONS; what is alone is like no other
LOCK_ROW = "select 1 from radiant.knowledge_heuristics where id = %s for no key update"


@pytest.fixture
def grimoire(database_url: str, tenant: uuid.UUID, owner: Any) -> Iterator[Grimoire]:
    pool = Database(database_url, pool_size=6)
    yield Grimoire(pool, tenant, owner)
    pool.close()


def taught(grimoire: Grimoire, number: int, **told: Any) -> uuid.UUID:
    kept = grimoire.learn(number, **told)[1]
    assert kept.heuristic_id is not None
    return kept.heuristic_id


def two_apart(grimoire: Grimoire) -> tuple[uuid.UUID, uuid.UUID]:
    """Return two lessons that have nothing to do with each other, the smaller id first."""
    low, high = sorted((taught(grimoire, 0), taught(grimoire, LONE, user="bob")))
    return low, high


def meanwhile(
    grimoire: Grimoire,
    first: Callable[[Cursor], object],
    *then: Callable[[], object],
) -> list[Any]:
    """Do something, let others come to where they wait for it, and commit it."""
    work: list[Future[Any]] = []
    with ThreadPoolExecutor(len(then)) as threads:
        with grimoire.database.tenant_transaction(grimoire.tenant) as cursor:
            first(cursor)
            for number, job in enumerate(then, 1):
                work.append(threads.submit(job))
                until_it_waits(grimoire.owner, work[-1], waiters=number)
        return [job.result() for job in work]


def test_an_unmerge_and_a_credit_never_wait_in_a_circle(grimoire: Grimoire) -> None:
    survivor, loser = two_apart(grimoire)
    grimoire.act(loser, Merge(survivor))
    session_id = grimoire.consult({survivor: True, loser: True})

    moved, _ = meanwhile(
        grimoire,
        lambda cursor: cursor.execute(LOCK_ROW, (survivor,)),
        lambda: grimoire.credit(session_id),
        lambda: grimoire.act(loser, Unmerge()),
    )

    rows = grimoire.rows()
    assert moved == 2
    assert [rows[item]["alpha"] for item in (survivor, loser)] == [3, 3]
    assert grimoire.faults() == []


def test_credits_that_a_merge_overtakes_never_wait_in_a_circle(grimoire: Grimoire) -> None:
    survivor, loser = two_apart(grimoire)
    of_one = grimoire.consult({loser: True}, user="cid")
    of_both = grimoire.consult({survivor: True, loser: True}, user="dee")

    moved = meanwhile(
        grimoire,
        lambda cursor: merging.merge_into(cursor, grimoire.tenant, loser, survivor, actor="cora"),
        lambda: grimoire.credit(of_one),
        lambda: grimoire.credit(of_both),
    )

    rows = grimoire.rows()
    assert moved == [2, 2]
    assert (rows[loser]["alpha"], rows[survivor]["alpha"]) == (4, 6)
    assert grimoire.faults() == []


def test_a_credit_does_not_look_for_a_survivor_that_is_gone(grimoire: Grimoire) -> None:
    loser = taught(grimoire, 0)
    session_id = grimoire.consult({loser: True})
    grimoire.owner.execute(
        "update radiant.knowledge_heuristics set state = 'merged', merged_into = %s,"
        " merged_from = 'active' where id = %s",
        (uuid.uuid4(), loser),
    )

    with grimoire.database.tenant_transaction(grimoire.tenant) as cursor:
        cursor.execute("set local transaction_timeout = '20s'")  # it looked for ever
        moved = credit.credit_session(cursor, grimoire.tenant, session_id, 1.0)

    assert moved == 1
    assert grimoire.rows()[loser]["alpha"] == 3


def retires(grimoire: Grimoire, item: uuid.UUID, _: uuid.UUID) -> Callable[[Cursor], object]:
    ready = acts.Ready(Retire())
    return lambda cursor: acts.carry_out(cursor, grimoire.tenant, item, ready, actor="cora")


def expires(grimoire: Grimoire, item: uuid.UUID, _: uuid.UUID) -> Callable[[Cursor], object]:
    return lambda cursor: cursor.execute(
        "update radiant.knowledge_heuristics set state = 'expired' where id = %s", (item,)
    )


def merges(grimoire: Grimoire, item: uuid.UUID, other: uuid.UUID) -> Callable[[Cursor], object]:
    return lambda cursor: merging.merge_into(cursor, grimoire.tenant, item, other, actor="cora")


@pytest.mark.parametrize("takes", [retires, expires, merges])
def test_a_lesson_whose_copy_goes_out_of_use_at_that_moment_stands_for_itself(
    grimoire: Grimoire,
    takes: Callable[[Grimoire, uuid.UUID, uuid.UUID], Callable[[Cursor], object]],
) -> None:
    copied, other = taught(grimoire, 0), taught(grimoire, LONE)

    ((_, kept),) = meanwhile(
        grimoire, takes(grimoire, copied, other), lambda: grimoire.learn(1, user="bob")
    )

    assert kept.kept_as == "stored"
    assert grimoire.rows()[kept.heuristic_id]["state"] == "quarantined"


def test_a_lesson_meets_its_own_text_as_it_is_taken_out_of_a_merge(grimoire: Grimoire) -> None:
    survivor, loser = two_apart(grimoire)
    number = 0 if grimoire.rows()[loser]["trigger_pattern"] == LESSONS[0][1] else LONE
    grimoire.act(loser, Merge(survivor))
    grimoire.act(survivor, Retire())

    ((_, kept),) = meanwhile(
        grimoire,
        lambda cursor: merging.unmerge(cursor, grimoire.tenant, loser, actor="cora"),
        lambda: grimoire.learn(number, user="cid"),
    )

    assert (kept.kept_as, kept.heuristic_id) == ("rederived", loser)
    assert grimoire.faults() == []


def test_a_purge_takes_out_what_is_merged_though_another_has_its_text_by_now(
    grimoire: Grimoire,
) -> None:
    survivor, other = taught(grimoire, 0), taught(grimoire, LONE)
    loser = taught(grimoire, 1, user="mallory")
    grimoire.edit(other, 1)
    before = grimoire.rows()

    purged = grimoire.purge("user", "mallory")

    rows = grimoire.rows()
    assert (before[loser]["merged_into"], before[survivor]["alpha"]) == (survivor, 3)
    assert purged == [loser]
    assert (rows[loser]["state"], rows[loser]["merged_into"]) == ("retired", None)
    assert (rows[survivor]["alpha"], rows[other]["state"]) == (2, "quarantined")
    assert grimoire.faults() == []


def test_what_is_revoked_while_a_purge_waits_for_it_stays_revoked(grimoire: Grimoire) -> None:
    item, other = two_apart(grimoire)
    ready = acts.Ready(Revoke("unsafe"))

    (purged,) = meanwhile(
        grimoire,
        lambda cursor: acts.carry_out(cursor, grimoire.tenant, item, ready, actor="cora"),
        lambda: [*grimoire.purge("user", "ann"), *grimoire.purge("user", "bob")],
    )

    assert purged == [other]
    assert grimoire.rows()[item]["state"] == "revoked"
    assert grimoire.faults() == []


def test_a_purge_finds_what_a_librarian_is_keeping_at_that_moment(grimoire: Grimoire) -> None:
    with ThreadPoolExecutor(1) as thread:
        with grimoire.learning(0, user="mallory") as (_, kept):
            work = thread.submit(grimoire.purge, "user", "mallory")
            until_it_waits(grimoire.owner, work)
        purged = work.result()

    assert purged == [kept.heuristic_id]
    assert grimoire.rows()[purged[0]]["state"] == "retired"


def test_a_purge_and_a_credit_never_wait_in_a_circle(grimoire: Grimoire) -> None:
    survivor, loser = two_apart(grimoire)
    grimoire.act(loser, Merge(survivor))
    session_id = grimoire.consult({survivor: True, loser: True})

    moved, purged = meanwhile(
        grimoire,
        lambda cursor: cursor.execute(LOCK_ROW, (survivor,)),
        lambda: grimoire.credit(session_id),
        lambda: grimoire.purge("heuristic", loser),
    )

    rows = grimoire.rows()
    assert (moved, purged) == (2, [loser])
    assert (rows[loser]["alpha"], rows[survivor]["alpha"]) == (3, 3)
    assert grimoire.faults() == []


TOPICS = ("bread at sea", "tyres in winter")


def imports(grimoire: Grimoire, *topics: str, more: str = "") -> int:
    """Import lessons about these topics, and return how many are new."""
    checks = Checks(MiniLmEmbeddings(), EmbeddedCato(RuleDetector()), RuleDetector())
    documents = [
        {
            "polarity": "do",
            "domain": "general",
            "trigger_pattern": f"Somebody asks about {topic}",
            "action_template": f"Say what is known about {topic} and what is not.{more}",
        }
        for topic in topics
    ]
    ready = files.prepare(
        grimoire.database, grimoire.tenant, "\n".join(map(json.dumps, documents)), checks,
        actor="cora", active=False, progress=lambda _done, _of: None,
    )  # fmt: skip
    with grimoire.database.tenant_transaction(grimoire.tenant) as cursor:
        done = files.store(
            cursor, grimoire.tenant, ready,
            actor="cora", now=datetime.now(UTC), new_id=uuid.uuid4,
        )  # fmt: skip
    return len(done.ids)


def test_an_import_of_copies_and_a_credit_never_wait_in_a_circle(grimoire: Grimoire) -> None:
    imports(grimoire, *TOPICS)
    low, high = grimoire.rows().values()
    session_id = grimoire.consult({low["id"]: True, high["id"]: True})
    topics = [row["trigger_pattern"].removeprefix("Somebody asks about ") for row in (high, low)]

    new, moved = meanwhile(
        grimoire,
        lambda cursor: cursor.execute(LOCK_ROW, (high["id"],)),
        lambda: imports(grimoire, *topics, more=" Be brief."),
        lambda: grimoire.credit(session_id),
    )

    into = [row["merged_into"] for row in grimoire.rows().values() if row["state"] == "merged"]
    assert (new, moved) == (0, 2)
    assert set(into) == {low["id"], high["id"]}
    assert grimoire.faults() == []


def conflict(grimoire: Grimoire, one: uuid.UUID, other: uuid.UUID) -> None:
    a, b = sorted((one, other))
    insert(
        grimoire.owner, "heuristic_link", tenant_id=grimoire.tenant, a=a, b=b, kind="conflict",
        similarity=0.9,
    )  # fmt: skip


def test_a_conflict_with_what_is_out_of_use_holds_no_candidate_back(grimoire: Grimoire) -> None:
    candidate, other = taught(grimoire, 0), taught(grimoire, LONE)
    conflict(grimoire, candidate, other)
    grimoire.act(other, Retire())

    taught(grimoire, 0, user="bob")

    assert grimoire.rows()[candidate]["state"] == "active"


@pytest.mark.parametrize("side", ["candidate", "other"])
def test_a_conflict_of_what_was_merged_holds_the_candidate_back(
    grimoire: Grimoire, side: str
) -> None:
    candidate, other = taught(grimoire, 0), taught(grimoire, AVOID)
    merged = taught(grimoire, LONE if side == "candidate" else LONE_AVOID)
    grimoire.owner.execute("delete from radiant.heuristic_link")
    conflict(grimoire, merged, other if side == "candidate" else candidate)
    grimoire.act(merged, Merge(candidate if side == "candidate" else other))

    taught(grimoire, 0, user="bob")

    assert grimoire.rows()[candidate]["state"] == "quarantined"


def test_a_text_that_a_curator_declared_wrong_is_used_on_a_curators_word_only(
    grimoire: Grimoire,
) -> None:
    grimoire.act(taught(grimoire, 0), Revoke("unsafe"))

    again = taught(grimoire, 0, user="bob")
    taught(grimoire, 0, user="cid")

    proven = grimoire.rows()[again]
    assert (proven["state"], proven["alpha"]) == ("quarantined", 3)
    assert grimoire.act(again, Promote()).state == "active"


def test_what_is_taken_out_of_a_merge_is_compared_with_the_texts_as_they_are(
    grimoire: Grimoire,
) -> None:
    survivor = taught(grimoire, 0)
    loser = taught(grimoire, 1)
    near = frozenset((survivor, loser))
    insert(
        grimoire.owner, "heuristic_link", tenant_id=grimoire.tenant, a=min(near), b=max(near),
        kind="near_copy", similarity=0.99, state="merged",
    )  # fmt: skip
    grimoire.edit(survivor, LONE)
    opposite = taught(grimoire, AVOID)  # nobody compared it with the merged one

    grimoire.act(loser, Unmerge())

    links = grimoire.links()
    assert links[near]["state"] == "outdated"
    against = links[frozenset((loser, opposite))]
    assert (against["kind"], against["state"]) == ("conflict", "open")


def test_two_people_undo_one_merge_once(grimoire: Grimoire) -> None:
    survivor, loser = two_apart(grimoire)
    grimoire.act(loser, Merge(survivor))

    def undo() -> bool:
        try:
            grimoire.act(loser, Unmerge())
        except InvalidInput:
            return False
        return True

    done = meanwhile(grimoire, lambda cursor: cursor.execute(LOCK_ROW, (loser,)), undo, undo)

    assert sorted(done) == [False, True]
    assert grimoire.rows()[survivor]["alpha"] == 2
    assert grimoire.faults() == []


def test_a_session_that_is_executed_again_outlives_what_it_was_offered(grimoire: Grimoire) -> None:
    session_id = insert_session(grimoire.owner, grimoire.tenant)
    here, gone = taught(grimoire, 0), uuid.uuid4()
    offered = [
        Offered(number, item, "do", "trigger", "action", 0.9)
        for number, item in enumerate((gone, here), 1)
    ]

    with grimoire.database.tenant_transaction(grimoire.tenant) as cursor:
        result = AgentResult("a", "success", response="So.", cited=(1, 2))
        agent_runs.finish_agent(cursor, grimoire.tenant, session_id, result, offered=offered)

    grimoire.owner.execute("select heuristic_id, rank, cited from radiant.heuristic_usage")
    assert [tuple(row.values()) for row in grimoire.owner.fetchall()] == [(here, 2, True)]


def test_sessions_of_one_user_at_once_move_a_heuristic_by_two_and_no_more(
    grimoire: Grimoire,
) -> None:
    item = taught(grimoire, 0, reward=None)
    sessions = [grimoire.consult({item: True}, user=name) for name in ("ann", "Ann ", " ANN") * 2]

    with ThreadPoolExecutor(len(sessions)) as threads:
        list(threads.map(grimoire.credit, sessions))

    assert grimoire.rows()[item]["alpha"] == 3
    assert grimoire.faults() == []

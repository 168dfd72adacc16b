"""Whatever everybody does to a Grimoire, in whatever order or at once, it always adds up."""

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Any

from hypothesis import HealthCheck, assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from radiant_dagster.adapters import tenants
from radiant_dagster.adapters.grimoire import credit, rebuild
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.domain.curation import (
    KeepApart,
    Merge,
    Pin,
    Promote,
    Resolve,
    Retire,
    Revoke,
    Unmerge,
)
from radiant_dagster.errors import InvalidInput
from tests.adapters.grimoire_desk import LESSONS, Grimoire
from tests.conftest import superuser

PEOPLE, ACTS = 6, 60  # at once, of each

numbers = st.integers(0, len(LESSONS) - 1)
places = st.integers(0, 9)  # of a heuristic, in the order of their making
people = st.sampled_from(["ann", " Ann", "bob", "cid"])
rewards = st.sampled_from([0.0, 0.2, 0.8, 1.0])
simple_acts = st.sampled_from([Promote(), Promote(), Retire(), Revoke(), Pin(), Pin(pinned=False)])
MOST_BY_ONE = """
    select coalesce(max(total), 0) as most from (
        select sum(u.weight) as total from radiant.heuristic_usage u
        join radiant.session s on s.tenant_id = u.tenant_id and s.id = u.session_id
        where u.tenant_id = %s group by u.heuristic_id, lower(trim(s.user_id))) by_user
"""


class History(RuleBasedStateMachine):
    """What everybody does with one tenant's Grimoire, and what is always true of it."""

    open_sessions: Bundle[uuid.UUID] = Bundle("open_sessions")

    def __init__(self, grimoire: Grimoire) -> None:
        super().__init__()
        self.grimoire = grimoire

    @initialize()
    def begin(self) -> None:
        for number, user in ((0, "ann"), (1, "bob"), (3, "cid"), (5, "ann")):
            self.grimoire.learn(number, user=user)

    def at(self, place: int, *states: str) -> uuid.UUID:
        rows = sorted(self.grimoire.rows().values(), key=lambda row: row["created_at"])
        found = [row["id"] for row in rows if not states or row["state"] in states]
        assume(found)
        return found[place % len(found)]

    def refused_or_done(self, act: Callable[[], object]) -> None:
        before = (self.grimoire.rows(), self.grimoire.links())
        try:
            act()
        except InvalidInput:
            assert (self.grimoire.rows(), self.grimoire.links()) == before

    @rule(
        target=open_sessions, number=numbers, user=people, reward=st.one_of(st.none(), rewards)
    )  # fmt: skip
    def learn(self, number: int, user: str, reward: float | None) -> Any:
        session_id, _ = self.grimoire.learn(number, user=user, reward=reward)
        return session_id if reward is None else multiple()

    @rule(
        target=open_sessions, cited=st.dictionaries(places, st.booleans(), min_size=1), user=people
    )
    def consult(self, cited: dict[int, bool], user: str) -> uuid.UUID:
        offered = {self.at(place): flag for place, flag in cited.items()}
        return self.grimoire.consult(offered, user=user)

    @rule(cited=st.lists(places, min_size=1, max_size=3), user=people, reward=rewards)
    def use(self, cited: list[int], user: str, reward: float) -> None:
        offered = {self.at(place): True for place in cited}
        session_id = self.grimoire.consult(offered, user=user)
        self.grimoire.credit(session_id, reward)
        assert self.grimoire.credit(session_id, 1 - reward) == 0

    @rule(session_id=consumes(open_sessions), verdict=st.sampled_from(["good", "bad"]))
    def judge(self, session_id: uuid.UUID, verdict: Any) -> None:
        self.grimoire.judge(session_id, verdict, "lee")

    @rule(place=places, act=simple_acts)
    def curate(self, place: int, act: Any) -> None:
        item = self.at(place)
        self.refused_or_done(lambda: self.grimoire.act(item, act))

    @rule(place=places, number=numbers)
    def edit(self, place: int, number: int) -> None:
        item = self.at(place)
        self.refused_or_done(lambda: self.grimoire.edit(item, number))

    @rule(place=places, other=places)
    def merge(self, place: int, other: int) -> None:
        one, into = (self.at(each, "quarantined", "active") for each in (place, other))
        self.refused_or_done(lambda: self.grimoire.act(one, Merge(into)))

    @rule(place=places)
    def unmerge(self, place: int) -> None:
        item = self.at(place, "merged")
        self.refused_or_done(lambda: self.grimoire.act(item, Unmerge()))

    @rule(place=places, word=st.sampled_from(["merge", "apart", "this", "other", "both"]))
    def settle(self, place: int, word: Any) -> None:
        links = self.grimoire.links().values()
        waiting = sorted(
            (link for link in links if link["state"] == "open"), key=lambda each: each["created_at"]
        )
        assume(waiting)
        link = waiting[place % len(waiting)]
        act = {"merge": Merge(link["b"]), "apart": KeepApart(link["b"])}.get(
            word, Resolve(link["b"], word)
        )
        self.refused_or_done(lambda: self.grimoire.act(link["a"], act))

    @rule(place=places)
    def purge_what_came_of_a_heuristic(self, place: int) -> None:
        self.grimoire.purge("heuristic", self.at(place))

    @rule(user=people)
    def purge_what_came_of_a_user(self, user: str) -> None:
        self.grimoire.purge("user", user)

        rows = self.grimoire.rows().values()
        of_user = [
            row for row in rows if row["source_user"].strip().lower() == user.strip().lower()
        ]
        assert {row["state"] for row in of_user} <= {"retired", "revoked", "expired"}

    @rule(place=places, column=st.sampled_from(["expires_at", "updated_at"]))
    def let_time_pass(self, place: int, column: str) -> None:
        self.grimoire.age(self.at(place), column)
        self.grimoire.maintain()

        assert set(self.grimoire.maintain().values()) == {0}

    @rule()
    def find_nothing_to_rebuild(self) -> None:
        with self.grimoire.database.tenant_transaction(self.grimoire.tenant) as cursor:
            assert rebuild.rebuild(cursor, self.grimoire.tenant, actor="lee") == []

    @invariant()
    def nothing_impossible(self) -> None:
        assert self.grimoire.faults() == []

    @invariant()
    def nobody_moves_a_heuristic_further_than_two_sessions_a_day(self) -> None:
        self.grimoire.owner.execute(MOST_BY_ONE, (self.grimoire.tenant,))
        assert self.grimoire.owner.fetchone()["most"] <= credit.MOST_BY_ONE_USER + 1e-6


def test_no_history_leaves_what_cannot_be(database: Database, owner: Any) -> None:
    class OfItsOwnTenant(History):
        def __init__(self) -> None:
            tenant_id = uuid.uuid4()
            tenants.create_tenant(database, tenant_id, tenant_id.hex[:12], "A history's own")
            super().__init__(Grimoire(database, tenant_id, owner))

    run_state_machine_as_test(  # pyright: ignore[reportUnknownMemberType]
        OfItsOwnTenant,
        settings=settings(
            max_examples=15,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )


def one_at_work(grimoire: Grimoire, random: Random) -> None:
    """Do something to some heuristics; what a curator's act finds impossible is refused."""
    rows = list(grimoire.rows().values())
    merged = [row["id"] for row in rows if row["state"] == "merged"] or [rows[0]["id"]]
    live = [row["id"] for row in rows if row["state"] in ("quarantined", "active")]
    one, other = (random.choice(live or merged) for _ in range(2))
    user = f"user {random.randrange(4)}"
    if random.random() < 0.5:
        number, reward = random.randrange(len(LESSONS)), random.choice([0.0, 0.4, 1.0])
        match random.randrange(5):
            case 0:
                offered = {random.choice(rows)["id"]: random.random() < 0.8 for _ in range(3)}
                grimoire.credit(grimoire.consult(offered, user=user), reward)
            case 1:
                session_id, _ = grimoire.learn(number, user=user, reward=None)
                grimoire.judge(session_id, random.choice(["good", "bad"]), "lee")
            case 2:
                grimoire.age(one, "expires_at")
                grimoire.maintain()
            case _:
                grimoire.learn(number, user=user, reward=reward)
        return
    try:
        match random.randrange(8):
            case 0:
                grimoire.edit(one, random.randrange(len(LESSONS)))
            case 1:
                grimoire.act(one, random.choice([Promote(), Retire()]))
            case 2:
                grimoire.purge("heuristic", one)
            case 3 | 4:
                grimoire.act(one, Merge(other))
            case 5:
                with grimoire.database.tenant_transaction(grimoire.tenant) as cursor:
                    assert rebuild.rebuild(cursor, grimoire.tenant, actor="lee") == []
            case _:
                grimoire.act(random.choice(merged), Unmerge())
    except InvalidInput:
        return


def test_everybody_at_once_fails_nobody_and_leaves_nothing_that_cannot_be(
    database_url: str, owner_url: str, tenant: uuid.UUID
) -> None:
    pool = Database(database_url, pool_size=PEOPLE)

    def work(seed: int) -> None:
        with superuser(owner_url) as cursor:
            grimoire, random = Grimoire(pool, tenant, cursor), Random(seed)
            for number in range(4):
                grimoire.learn(number, user=f"user {seed}")
            for _ in range(ACTS):
                one_at_work(grimoire, random)

    with ThreadPoolExecutor(PEOPLE) as threads:
        for job in [threads.submit(work, seed) for seed in range(PEOPLE)]:
            job.result()

    with superuser(owner_url) as cursor:
        assert Grimoire(pool, tenant, cursor).faults() == []
    pool.close()

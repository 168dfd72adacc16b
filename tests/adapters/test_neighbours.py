"""A text that a curator changes is compared with the others anew, as the Librarian's are."""

import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from radiant_dagster.adapters.grimoire import links, queue, store
from radiant_dagster.adapters.grimoire.texts import Prepared, change_text
from radiant_dagster.adapters.postgres import Database
from tests.adapters.rows import insert_heuristic, until_it_waits
from tests.adapters.test_merging import ACTION, MODEL, at, new

NEAR, SAME, APART = 0.9, 0.99, 0.1
OTHER_ACTION = "Leave the doors shut and call nobody before the power is back."


class Shelf:
    """Heuristics of a tenant, and a curator with the rights of radiant_api."""

    def __init__(self, database: Database, owner: Any, tenant: uuid.UUID) -> None:
        self.database, self.owner, self.tenant = database, owner, tenant
        self.edits = 0

    def put(self, cosine: float, axis: int = 1, **columns: Any) -> uuid.UUID:
        vector = json.dumps(at(cosine, axis))
        return insert_heuristic(self.owner, self.tenant, embedding=vector, **columns)

    def edit(self, item: uuid.UUID, cosine: float) -> None:
        """Give a heuristic a text of its own whose trigger lies there."""
        self.edits += 1
        trigger = f"A question about cold storage {'again ' * self.edits}".strip()
        text = Prepared(trigger, ACTION, at(cosine), MODEL)
        with self.database.tenant_transaction(self.tenant) as cursor:
            change_text(cursor, self.tenant, item, text, actor="cora", reason="")

    def pairs(self) -> dict[frozenset[uuid.UUID], tuple[str, str, str | None]]:
        """Return kind, state and who decided of every pair."""
        self.owner.execute("select a, b, kind, state, decided_by from radiant.heuristic_link")
        return {
            frozenset((row["a"], row["b"])): (row["kind"], row["state"], row["decided_by"])
            for row in self.owner.fetchall()
        }


@pytest.fixture
def shelf(api_database: Database, owner: Any, tenant: uuid.UUID) -> Shelf:
    return Shelf(api_database, owner, tenant)


def test_an_edit_that_comes_near_another_waits_for_a_curator(shelf: Shelf) -> None:
    other, item = shelf.put(1.0), shelf.put(0.0, 2)

    shelf.edit(item, NEAR)

    with shelf.database.tenant_transaction(shelf.tenant) as cursor:
        (pair,) = queue.waiting(cursor, shelf.tenant).near_copies
    assert {pair["one"]["id"], pair["other"]["id"]} == {str(item), str(other)}
    assert pair["similarity"] == pytest.approx(NEAR, abs=0.01)
    shelf.owner.execute("select detail from radiant.audit where action = 'heuristic.edited'")
    assert shelf.owner.fetchone()["detail"]["linked"] == 1


def test_an_edit_that_says_what_another_says_is_not_merged_unasked(shelf: Shelf) -> None:
    other = shelf.put(1.0, trigger_pattern="Cold storage", action_template=ACTION)
    item = shelf.put(0.0, 2)

    shelf.edit(item, SAME)

    assert shelf.pairs() == {frozenset((item, other)): ("near_copy", "open", None)}
    shelf.owner.execute("select distinct state from radiant.knowledge_heuristics")
    assert [row["state"] for row in shelf.owner.fetchall()] == ["active"]


@pytest.mark.parametrize(
    ("polarity", "action"), [("avoid", ACTION), ("do", OTHER_ACTION)], ids=["opposite", "other"]
)
def test_an_edit_that_contradicts_another_is_a_conflict(
    shelf: Shelf, polarity: str, action: str
) -> None:
    other = shelf.put(1.0, polarity=polarity, action_template=action)
    item = shelf.put(0.0, 2)

    shelf.edit(item, SAME)

    assert shelf.pairs() == {frozenset((item, other)): ("conflict", "open", None)}


def test_a_pair_that_an_edit_parts_is_outdated_and_opens_again_when_it_comes_back(
    shelf: Shelf,
) -> None:
    other, item = shelf.put(1.0), shelf.put(0.0, 2)
    pair = frozenset((item, other))
    shelf.edit(item, NEAR)

    shelf.edit(item, APART)
    parted = shelf.pairs()
    shelf.edit(item, NEAR)

    assert parted == {pair: ("near_copy", "outdated", "cora")}
    assert shelf.pairs() == {pair: ("near_copy", "open", None)}


def test_what_was_decided_of_a_pair_stands_until_it_is_one_of_another_kind(shelf: Shelf) -> None:
    other, item = shelf.put(1.0, action_template=OTHER_ACTION), shelf.put(0.0, 2)
    shelf.edit(item, NEAR)
    with shelf.database.tenant_transaction(shelf.tenant) as cursor:
        links.keep_apart(cursor, shelf.tenant, item, other=other, actor="cora")

    shelf.edit(item, NEAR - 0.01)
    near = shelf.pairs()
    shelf.edit(item, SAME)

    pair = frozenset((item, other))
    assert near == {pair: ("near_copy", "kept_apart", "cora")}
    assert shelf.pairs() == {pair: ("conflict", "open", None)}


def test_pairs_beyond_the_nearest_stay_open_while_they_are_alike(shelf: Shelf) -> None:
    item = shelf.put(0.0, 2)
    pairs = [frozenset((item, shelf.put(0.99, 10 + number))) for number in range(5)]
    shelf.edit(item, NEAR)
    for number in range(5):  # from now on the nearest
        shelf.put(0.995, 20 + number)

    shelf.edit(item, NEAR - 0.01)
    alike = shelf.pairs()
    shelf.edit(item, APART)

    assert {alike[pair][1] for pair in pairs} == {"open"}
    assert len(alike) == 10
    assert {state for _, state, _ in shelf.pairs().values()} == {"outdated"}


def test_an_edit_waits_for_a_librarian_and_sees_what_it_kept(
    shelf: Shelf, database: Database
) -> None:
    item, lesson = shelf.put(0.0, 2), new(embedding=at(1.0))

    with ThreadPoolExecutor(1) as thread:
        with database.tenant_transaction(shelf.tenant) as cursor:
            store.keep_learned(cursor, shelf.tenant, lesson)
            edit = thread.submit(shelf.edit, item, NEAR)
            until_it_waits(shelf.owner, edit)
        edit.result()

    assert shelf.pairs() == {frozenset((item, lesson.id)): ("near_copy", "open", None)}

"""The Grimoire over the API and as pages: what curators read, do and are refused."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_args

import pytest

from radiant_dagster.adapters.grimoire import credit
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.client import RadiantClient
from radiant_dagster.domain import curation
from radiant_dagster.domain.curation import WORDS
from radiant_dagster.errors import (
    CurationForbidden,
    HeuristicChanged,
    HeuristicNotFound,
    InvalidInput,
)
from radiant_dagster.mission_control.api_grimoire import BODIES
from radiant_dagster.mission_control.pages_grimoire import QUEUE_ROWS
from radiant_dagster.wire import grimoire as wire
from tests.adapters.rows import insert, insert_heuristic, insert_session
from tests.mission_control.conftest import People, Site, bearer
from tests.mission_control.test_pages import Page, read

TRIGGER = "A question about cold storage in a power cut"
ACTION = "Say how long the cold holds and when the stock must move."
PAYLOADS = (Path(__file__).parents[1] / "e2e" / "hostile_texts.txt").read_text().splitlines()


@dataclass
class Shelf:
    """A tenant's Grimoire, and a curator's key and browser."""

    site: Site
    database: Database
    tenant: uuid.UUID
    people: People
    key: str
    browser: dict[str, str]

    @property
    def client(self) -> RadiantClient:
        return RadiantClient(self.site.url, self.key)

    def plant(self, **changes: Any) -> uuid.UUID:
        with self.database.tenant_transaction(self.tenant) as cursor:
            found = insert_heuristic(cursor, self.tenant, **changes)
            cursor.execute(
                "insert into radiant.heuristic_version (tenant_id, heuristic_id, version,"
                " trigger_pattern, action_template, editor, content_sha256)"
                " select tenant_id, id, 1, trigger_pattern, action_template, 'system:librarian',"
                " 'x' from radiant.knowledge_heuristics where id = %s",
                (found,),
            )
        return found

    def link(self, one: uuid.UUID, other: uuid.UUID, kind: str) -> None:
        a, b = sorted((one, other))
        with self.database.tenant_transaction(self.tenant) as cursor:
            insert(
                cursor, "heuristic_link", tenant_id=self.tenant, a=a, b=b, kind=kind,
                similarity=0.9,
            )  # fmt: skip

    def session(self, **changes: Any) -> uuid.UUID:
        with self.database.tenant_transaction(self.tenant) as cursor:
            return insert_session(cursor, self.tenant, **changes)

    def get(self, path: str) -> Page:
        reply = self.site("GET", path, self.browser)
        assert reply.status == 200, reply.data
        return read(reply.data.decode())

    def send(
        self, item: uuid.UUID, word: str, given: Mapping[str, str] | None = None
    ) -> tuple[int, Page, str]:
        """Fill in an act's form as the page at hand offers it, and send it."""
        path = f"/grimoire/{item}/{word}"
        form = self.get(f"/grimoire/{item}").form(path)
        reply = self.site.form(path, {**form, **(given or {})}, self.browser)
        return reply.status, read(reply.data.decode()), reply.headers.get("Location", "")

    def state(self, item: uuid.UUID) -> tuple[str, int]:
        found = self.client.heuristic(item)
        return found.state, found.version


@pytest.fixture
def shelf(site: Site, people: People, database: Database, tenant: uuid.UUID) -> Shelf:
    key = people.key_for("cora", "curator")
    return Shelf(site, database, tenant, people, key, site.log_in(key))


def test_bodies_have_the_fields_of_their_acts_and_the_same_words() -> None:
    for act, body, _ in BODIES:
        assert {item.name for item in fields(act)} == set(body.model_fields), act
    assert {act for act, _, _ in BODIES} == set(WORDS)
    assert get_args(wire.Reason) == get_args(curation.Reason)
    assert get_args(wire.Keep) == get_args(curation.Keep)
    assert wire.MAX_REASON_CHARACTERS == curation.MAX_REASON_CHARACTERS


def test_a_curator_works_a_heuristic_through_the_client(shelf: Shelf) -> None:
    item = shelf.plant(state="quarantined", approved_sha256=None)
    client = shelf.client

    edited = client.curate(
        item, "edit", version=1, trigger_pattern=TRIGGER, action_template=ACTION, reason="Clear."
    )
    promoted = client.curate(item, "promote", version=2)
    pinned = client.curate(item, "pin", pinned=True)
    back = client.curate(item, "rollback", version=2, to_version=1)
    revoked = client.curate(item, "revoke", reason="wrong")

    found = client.heuristic(item)
    assert (edited.version, promoted.state, pinned.pinned) == (2, "active", True)
    assert (back.version, revoked.state) == (3, "revoked")
    assert [(row.version, row.restores, row.editor) for row in found.versions] == [
        (3, 1, "cora"), (2, None, "cora"), (1, None, "system:librarian"),
    ]  # fmt: skip
    assert [row.action for row in found.history] == [
        "heuristic.edited", "heuristic.promoted", "heuristic.pinned", "heuristic.rolled_back",
        "heuristic.revoked",
    ]  # fmt: skip


def test_refusals_reach_the_caller_as_the_error_they_are(shelf: Shelf) -> None:
    item = shelf.plant(domain="medical", state="quarantined", source_user="Cora")
    client = shelf.client

    with pytest.raises(HeuristicChanged) as changed:
        client.curate(item, "promote", version=7)
    with pytest.raises(CurationForbidden):
        client.curate(item, "promote", version=1)
    with pytest.raises(HeuristicNotFound):
        client.curate(uuid.uuid4(), "promote")
    with pytest.raises(InvalidInput) as text:
        client.curate(item, "edit", trigger_pattern=TRIGGER, action_template="See www.example.org")

    assert changed.value.version == 1
    assert text.value.field == "action_template"
    assert shelf.state(item) == ("quarantined", 1)


def test_an_act_needs_a_key_and_a_version_and_happens_once(shelf: Shelf) -> None:
    item = shelf.plant(state="quarantined", approved_sha256=None)
    path = f"/api/v1/grimoire/{item}/promote"
    key, once = bearer(shelf.key), {"Idempotency-Key": "k"}

    replies = [
        shelf.site("POST", path, headers, json={})
        for headers in (
            key | {"If-Match": '"v1"'}, key | once, key | once | {"If-Match": '"v9"'},
            key | once | {"If-Match": '"v1"'}, key | once | {"If-Match": '"v1"'},
        )
    ]  # fmt: skip

    assert [reply.status for reply in replies] == [400, 428, 409, 200, 200]
    assert replies[2].json()["code"] == "heuristic_changed"
    assert replies[3].headers["ETag"] == '"v1"'
    assert replies[4].headers["Idempotency-Replayed"] == "true"
    assert len(shelf.client.heuristic(item).history) == 1


def test_the_list_is_filtered_and_paged_and_ids_are_found(shelf: Shelf) -> None:
    cold = shelf.plant(trigger_pattern=TRIGGER)
    for _ in range(3):
        shelf.plant(domain="legal", state="quarantined")

    found = shelf.client.heuristics(q="COLD Storage")
    legal = shelf.client.heuristics(domain="legal", state="quarantined", limit=2)
    rest = shelf.client.heuristics(domain="legal", limit=2, cursor=legal.next_cursor)

    assert [row.id for row in found.heuristics] == [cold]
    assert (len(legal.heuristics), len(rest.heuristics)) == (2, 1)
    assert shelf.client.find_ids("grimoire", str(cold)[:8]) == [cold]


def test_the_queue_and_a_purge_go_over_the_api(shelf: Shelf) -> None:
    session = shelf.session()
    first = shelf.plant(source_execution_id=session)
    child = shelf.plant(parents=[first])
    shelf.link(first, child, "conflict")

    queue = shelf.client.curation_queue()
    listed = shelf.client.purge("session", str(session))
    before = shelf.state(child)
    retired = shelf.client.purge("session", str(session), dry_run=False)

    assert {queue.conflicts[0].one.id, queue.conflicts[0].other.id} == {first, child}
    assert [row.id for row in listed.heuristics] == [first, child]
    assert listed.dry_run
    assert before == ("active", 1)
    assert {row.state for row in retired.heuristics} == {"retired"}
    assert shelf.client.curation_queue().conflicts == []


def test_another_tenants_heuristic_is_unknown(shelf: Shelf, owner_url: str) -> None:
    other = shelf.plant()
    with pytest.raises(HeuristicNotFound):
        shelf.client.curate(other, "merge", into=str(uuid.uuid4()))


def test_curators_have_a_page_and_find_the_queue_first(shelf: Shelf) -> None:
    one, other = shelf.plant(trigger_pattern=TRIGGER), shelf.plant(polarity="avoid")
    shelf.link(one, other, "conflict")
    shelf.plant(state="quarantined")
    shelf.plant(beta=4, failure_count=3)

    home = shelf.site("GET", "/", shelf.browser)
    page = shelf.get("/grimoire")

    words = " ".join(page.words.split())
    assert home.headers["Location"] == "/grimoire"
    order = ["Grimoire 3", "Conflicts 1", "Candidates 1", "Expiring or doing badly 1",
             "What was learned"]  # fmt: skip
    assert [words.index(heading) for heading in order] == sorted(map(words.index, order))
    assert ("a", {"href": "/grimoire", "aria-current": "page"}) in page.tags


@pytest.mark.parametrize(
    ("query", "rows"),
    [("", 2), ("?state=active", 1), ("?domain=legal", 1), ("?q=cold+STORAGE", 1), ("?q=none", 0),
     ("?state=nonsense", 2), ("?q=%00", 2)],
)  # fmt: skip
def test_the_pages_filters_keep_what_fits(shelf: Shelf, query: str, rows: int) -> None:
    shelf.plant(trigger_pattern=TRIGGER)
    shelf.plant(domain="legal", state="expired")

    page = shelf.get(f"/grimoire{query}")

    assert sum(tag == "td" and found.get("class") == "time" for tag, found in page.tags) == rows


def test_every_act_is_a_form_and_a_redirect(shelf: Shelf) -> None:
    item = shelf.plant(state="quarantined", approved_sha256=None)
    texts = {"trigger_pattern": TRIGGER, "action_template": f"{ACTION}\r\nCall first."}

    steps = [
        shelf.send(item, "promote"), shelf.send(item, "edit", texts),
        shelf.send(item, "pin"), shelf.send(item, "rollback"),
        shelf.send(item, "retire", {"reason": "outdated"}),
        shelf.send(item, "revoke", {"reason": "wrong"}),
    ]  # fmt: skip

    assert [status for status, _, _ in steps] == [303] * 6
    assert steps[0][2] == f"/grimoire/{item}?said=promote"
    found = shelf.client.heuristic(item)
    assert (found.state, found.version, found.pinned) == ("revoked", 3, True)
    assert found.versions[1].action_template == f"{ACTION}\nCall first."
    assert "Agents get it from now on" in shelf.get(steps[0][2]).words
    shown = shelf.get(f"/grimoire/{item}")
    assert any(tag == "ins" for tag, _ in shown.tags)
    assert any(tag == "del" for tag, _ in shown.tags)


def test_a_refused_edit_comes_back_with_its_reason_and_what_was_typed(shelf: Shelf) -> None:
    item = shelf.plant()
    texts = {"trigger_pattern": TRIGGER, "action_template": "Look at https://example.org first."}

    status, page, _ = shelf.send(item, "edit", texts)
    path = f"/grimoire/{item}/edit"
    stale = {**page.form(path), "version": "7", "action_template": ACTION}
    late = shelf.site.form(path, stale, shelf.browser)

    assert status == 422
    assert "What to do or to avoid: has a link" in page.words
    assert page.form(path)["action_template"] == texts["action_template"]
    assert late.status == 409
    assert "at version 1 by now" in late.data.decode()


def test_pairs_are_settled_side_by_side(shelf: Shelf) -> None:
    one, copy, contrary = shelf.plant(), shelf.plant(), shelf.plant(polarity="avoid")
    shelf.link(one, copy, "near_copy")
    shelf.link(one, contrary, "conflict")

    resolved = shelf.send(one, "resolve", {"keep": "this"})[0]
    merged = shelf.send(copy, "merge", {"into": str(one)})[0]
    undone = shelf.send(copy, "unmerge")[0]
    apart = shelf.send(copy, "keep-apart")[0]

    assert (resolved, merged, undone, apart) == (303, 303, 303, 303)
    assert shelf.state(contrary)[0] == "retired"
    assert shelf.client.heuristic(copy).links[0].link_state == "kept_apart"


def test_a_purge_shows_what_it_will_do_before_it_does_it(shelf: Shelf) -> None:
    first = shelf.plant(source_user="mallory")
    child = shelf.plant(parents=[first])

    page = shelf.get("/grimoire/purge?kind=user&value=Mallory")
    before = shelf.state(child)
    form = page.form("/grimoire/purge")
    done = shelf.site.form("/grimoire/purge", form, shelf.browser)

    assert "Retire all 2" in page.words
    assert before[0] == "active"
    assert "2 retired." in done.data.decode()
    assert (shelf.state(first)[0], shelf.state(child)[0]) == ("retired", "retired")


def test_who_may_not_curate_reads_without_forms(shelf: Shelf) -> None:
    item = shelf.plant()
    browser = shelf.site.log_in(shelf.people.key_for("vic", "viewer"))

    listed = read(shelf.site("GET", "/grimoire", browser).data.decode())
    page = read(shelf.site("GET", f"/grimoire/{item}", browser).data.decode())

    assert "Candidates" not in listed.words
    assert {action for action in page.actions if action != "/logout"} == set()


def test_hostile_texts_are_shown_as_text(shelf: Shelf) -> None:
    planted = [
        shelf.plant(
            trigger_pattern=f"When it is {text}"[:300], action_template=f"Do say: {text} and more"
        )
        for text in PAYLOADS
    ]
    tags = {tag for tag, _ in shelf.get("/grimoire?q=nothing-at-all").tags}
    plain = shelf.get(f"/grimoire/{shelf.plant()}")
    known = tags | {tag for tag, _ in plain.tags} | {"table", "thead", "tbody", "tr", "td", "th",
                                                     "caption", "time"}  # fmt: skip

    for path in ("/grimoire", *(f"/grimoire/{item}" for item in planted)):
        page = shelf.get(path)
        assert {tag for tag, _ in page.tags} <= known, path
        for _, found in page.tags:
            assert not any(name.startswith("on") or name == "style" for name in found), path
    assert PAYLOADS[0] in shelf.get(f"/grimoire/{planted[0]}").words


def test_the_pages_keep_the_rules_of_the_others(shelf: Shelf) -> None:
    one, other = shelf.plant(), shelf.plant()
    shelf.link(one, other, "near_copy")

    for path in ("/grimoire", f"/grimoire/{one}", f"/grimoire/purge?kind=heuristic&value={one}"):
        reply = shelf.site("GET", path, shelf.browser)
        page = read(reply.data.decode())
        ids = [found["id"] for _, found in page.tags if "id" in found]

        assert sum(tag == "h1" for tag, _ in page.tags) == 1, path
        assert len(ids) == len(set(ids)), path
        assert not any(tag in ("script", "style") for tag, _ in page.tags), path
        assert "default-src 'none'" in reply.headers["Content-Security-Policy"] or (
            "default-src 'self'" in reply.headers["Content-Security-Policy"]
        )
        for _, found in page.tags:
            assert (found.get("aria-labelledby") or ids[0]) in ids, path


def test_a_heuristic_and_a_session_show_who_was_offered_what_and_what_it_was_worth(
    shelf: Shelf,
) -> None:
    item, idle = shelf.plant(trigger_pattern=TRIGGER), shelf.plant()
    session_id = shelf.session(status="completed", dagster_run_id="r1", conclude_run_id="r1")
    with shelf.database.tenant_transaction(shelf.tenant) as cursor:
        for agent in ("analyst", "skeptic"):
            for rank, (row, cited) in enumerate(((item, agent == "skeptic"), (idle, False)), 1):
                insert(
                    cursor, "heuristic_usage", tenant_id=shelf.tenant, session_id=session_id,
                    agent_id=agent, heuristic_id=row, rank=rank, similarity=0.8, cited=cited,
                )  # fmt: skip
        credit.credit_session(cursor, shelf.tenant, session_id, 1.0)

    page = shelf.get(f"/grimoire/{item}")
    unused = shelf.get(f"/grimoire/{idle}")
    viewer = shelf.site.log_in(shelf.people.key_for("vic", "viewer"))
    session = read(shelf.site("GET", f"/sessions/{session_id}", viewer).data.decode())

    words = " ".join(page.words.split())
    assert "1 of 2 agents 1.00 of 1 0.50 of a use" in words
    assert "Offered in 1 session, cited in 1, judged in 1 with 1.00 of 1 on average." in words
    assert str(item) in words
    assert "0 of 2 agents" in " ".join(unused.words.split())
    told = " ".join(session.words.split())
    assert TRIGGER in told
    assert "1 of 2 agents 0.50 of a use, worth 1.00 of 1" in told
    assert told.count("Dagster run") == 1
    assert str(session_id) in told


def test_a_text_changed_past_the_curators_is_said_to_be_so_and_can_be_brought_back(
    shelf: Shelf,
) -> None:
    item = shelf.plant(trigger_pattern=TRIGGER, action_template=ACTION)
    with shelf.database.tenant_transaction(shelf.tenant) as cursor:
        cursor.execute(
            "update radiant.knowledge_heuristics set action_template = 'Do all the evil there is.'"
        )

    told = shelf.get(f"/grimoire/{item}").words
    status, _, _ = shelf.send(item, "rollback")
    after = shelf.get(f"/grimoire/{item}").words

    assert "Somebody changed this text past the curators." in told
    assert status == 303
    assert "past the curators" not in after


def test_a_queue_longer_than_the_page_does_not_claim_to_be_all(shelf: Shelf) -> None:
    for _ in range(QUEUE_ROWS + 1):
        shelf.plant(state="quarantined", approved_sha256=None)

    words = " ".join(shelf.get("/grimoire").words.split())

    assert f"Grimoire {QUEUE_ROWS}+" in words
    assert f"Candidates {QUEUE_ROWS}+" in words


def test_a_purge_of_what_is_no_id_says_so_where_it_was_typed(shelf: Shelf) -> None:
    reply = shelf.site("GET", "/grimoire/purge?kind=session&value=7f3a91", shelf.browser)

    page = read(reply.data.decode())

    assert reply.status == 422
    assert "Id: is not an id. Copy it from the page of what you mean." in page.words
    assert ("input", "7f3a91") in [(tag, found.get("value")) for tag, found in page.tags]

"""The pages as a browser without scripts uses them: links, forms and what comes back."""

import re
import time
import uuid
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser

import pytest

from radiant_dagster.adapters import approvals, audit, claims, inbox
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.domain.approvals import Reviewer, Vote
from tests.conftest import run_sql
from tests.mission_control import sample
from tests.mission_control.conftest import People, Site

EDIT = "No. Paracetamol up to 3 g a day.\r\nCall the practice tomorrow."
HOSTILE = '<script>alert(1)</script><img src=x onerror="alert(2)">"\'>'


@dataclass
class Page(HTMLParser):
    """What a page holds: its forms with their fields, its labels, headings and text."""

    forms: list[dict[str, str]] = field(default_factory=list)
    actions: list[str] = field(default_factory=list)
    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    words: str = ""
    _area: str = ""

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append((tag, found))
        if tag == "form":
            self.forms.append({})
            self.actions.append(found.get("action") or "")
        if tag == "input" and self.forms and found.get("name"):
            self.forms[-1][found["name"] or ""] = found.get("value") or ""
        if tag == "textarea":
            self._area = found.get("name") or ""
            if self._area:
                self.forms[-1][self._area] = ""

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            if self._area:
                self.forms[-1][self._area] = self.forms[-1][self._area].removeprefix("\n")
            self._area = ""

    def handle_data(self, data: str) -> None:
        if self._area:
            self.forms[-1][self._area] += data
        self.words += data

    def form(self, action: str, having: str = "csrf_token") -> dict[str, str]:
        """Return the fields of the form with this action that has this field."""
        return next(
            dict(fields)
            for where, fields in zip(self.actions, self.forms, strict=True)
            if where == action and having in fields
        )


def read(text: str) -> Page:
    page = Page()
    page.feed(text)
    return page


@dataclass
class Desk:
    """A reviewer's browser and what waits for them."""

    site: Site
    browser: dict[str, str]
    database: Database
    tenant: uuid.UUID
    approval: uuid.UUID

    @property
    def path(self) -> str:
        return f"/approvals/{self.approval}"

    def get(self, path: str) -> Page:
        reply = self.site("GET", path, self.browser)
        assert reply.status == 200, reply.data
        return read(reply.data.decode())

    def post(self, path: str, fields: dict[str, str]) -> tuple[int, Page, str]:
        reply = self.site.form(path, fields, self.browser)
        return reply.status, read(reply.data.decode()), reply.headers.get("Location", "")

    def decide(self, verdict: str, **texts: str) -> tuple[int, Page, str]:
        """Fill in the form of a verdict as the page at hand offers it, and send it."""
        having = {"modified": "edited_text", "rejected": "guidance"}.get(verdict, "version")
        fields = self.get(self.path).form(f"{self.path}/decision", having)
        return self.post(f"{self.path}/decision", {**fields, "verdict": verdict, **texts})

    def row(self) -> dict[str, object]:
        with self.database.tenant_transaction(self.tenant, role="radiant_review") as cursor:
            return inbox.approval_detail(cursor, self.tenant, self.approval)


@pytest.fixture
def desk(site: Site, people: People, database: Database, tenant: uuid.UUID) -> Desk:
    with database.tenant_transaction(tenant) as cursor:
        approval = sample.ask(cursor, tenant)
    browser = site.log_in(people.key_for("dr-lee", "reviewer"))
    return Desk(site, browser, database, tenant, approval)


def someone_approves(desk: Desk) -> None:
    vote = Vote("dr-wu", frozenset({"reviewer"}), "approved", sample.PAYLOAD)
    approvals.decide(desk.database, desk.tenant, desk.approval, vote)


def expire(desk: Desk, owner_url: str) -> None:
    run_sql(owner_url, "update radiant.approval_request set deadline = clock_timestamp()")


def test_the_inbox_says_what_a_reviewer_chooses_by(desk: Desk) -> None:
    page = desk.get("/")

    words = " ".join(page.words.split())
    for expected in ("Waiting for you 1", "person 1", "medical", "5 ok", "$0.0123", "ann", "–"):
        assert expected in words
    assert "This domain is always reviewed" in words
    assert "calm" in str(page.tags)
    assert sample.SECRET_PERSON not in words
    assert any(tag == "a" and found.get("href") == desk.path for tag, found in page.tags)


def test_an_empty_inbox_shows_no_number(desk: Desk) -> None:
    someone_approves(desk)

    page = desk.get("/")

    assert "Waiting for you" in page.words
    assert "Waiting for you 0" not in " ".join(page.words.split())


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("", 1), ("?view=decided", 0), ("?view=all", 1), ("?domain=medical", 1), ("?domain=x", 0),
        ("?q=ibuprofen", 1), ("?q=nothing", 0), ("?whose=me", 1), ("?whose=claimed", 0),
        ("?view=nonsense&whose=nobody", 1),
    ],
)  # fmt: skip
def test_filters_keep_what_fits(desk: Desk, query: str, rows: int) -> None:
    page = desk.get(f"/approvals{query}")

    assert sum("data-id" in found for tag, found in page.tags if tag == "tr") == rows


def test_a_long_list_is_paged_without_a_gap(
    desk: Desk, database: Database, tenant: uuid.UUID
) -> None:
    with database.tenant_transaction(tenant) as cursor:
        for number in range(60):
            sample.ask(cursor, tenant, number)

    first = desk.get("/approvals")
    following = next(found["href"] for tag, found in first.tags if found.get("rel") == "next")
    second = desk.get(following or "")

    tags = [*first.tags, *second.tags]
    seen = [found["data-id"] for _, found in tags if "data-id" in found]
    assert (len(seen), len(set(seen))) == (61, 61)


@pytest.mark.parametrize(
    ("verdict", "texts", "state"),
    [
        ("approved", {}, "approved"),
        ("rejected", {"guidance": "Too certain."}, "rejected"),
        ("modified", {"edited_text": EDIT}, "modified"),
        ("modified", {"guidance": "Shorter."}, "modified"),
    ],
)
def test_a_decision_is_one_form_and_a_redirect(
    desk: Desk, verdict: str, texts: dict[str, str], state: str
) -> None:
    status, _, where = desk.decide(verdict, **texts)

    row = desk.row()
    assert (status, where) == (303, f"{desk.path}?said={verdict}")
    assert (row["state"], row["decided_by"]) == (state, ["dr-lee"])
    assert row["guidance"] == texts.get("guidance", "")
    edited = texts.get("edited_text")
    # An unchanged draft is no text of the reviewer's own.
    assert row["edited_text"] == (edited.replace("\r\n", "\n") if edited else None)
    assert "By dr-lee" in desk.get(where).words


def test_approving_takes_two_presses(desk: Desk) -> None:
    page = desk.get(desk.path)

    details = [found.get("id") for tag, found in page.tags if tag == "details"]
    opened = [found for tag, found in page.tags if tag == "details" and "open" in found]
    assert {"approve", "modify", "reject"} <= set(details)
    assert opened == []


def test_a_second_decision_gets_the_standing_one_and_its_text_back(desk: Desk) -> None:
    fields = desk.get(desk.path).form(f"{desk.path}/decision", "edited_text")
    someone_approves(desk)

    status, page, _ = desk.post(
        f"{desk.path}/decision",
        {**fields, "verdict": "modified", "edited_text": EDIT, "guidance": "Mind the kidneys."},
    )

    assert status == 409
    assert "Approved by dr-wu" in page.words
    assert EDIT.replace("\r\n", "\n") in page.words
    assert "Mind the kidneys." in page.words
    assert desk.row()["state"] == "approved"


def test_a_late_decision_is_gone_and_its_text_is_kept(desk: Desk, owner_url: str) -> None:
    fields = desk.get(desk.path).form(f"{desk.path}/decision", "edited_text")
    expire(desk, owner_url)

    status, page, _ = desk.post(
        f"{desk.path}/decision", {**fields, "verdict": "modified", "edited_text": EDIT}
    )

    assert status == 410
    assert "Expired by the deadline" in page.words
    assert EDIT.replace("\r\n", "\n") in page.words
    assert desk.row()["state"] == "expired"


def test_a_page_that_is_out_of_date_decides_nothing(desk: Desk, owner_url: str) -> None:
    fields = desk.get(desk.path).form(f"{desk.path}/decision", "edited_text")
    run_sql(owner_url, "update radiant.approval_request set version = version + 1")

    status, page, _ = desk.post(
        f"{desk.path}/decision", {**fields, "verdict": "modified", "edited_text": EDIT}
    )

    kept = page.form(f"{desk.path}/decision", "edited_text")
    assert status == 412
    assert kept["edited_text"] == EDIT.replace("\r\n", "\n")
    assert kept["version"] == "2"
    assert desk.row()["state"] == "pending"


def test_who_has_claimed_it_is_told_and_the_text_kept(desk: Desk) -> None:
    other = Reviewer("dr-wu", frozenset({"reviewer"}))
    claims.claim(desk.database, desk.tenant, desk.approval, other)

    status, page, _ = desk.decide("rejected", guidance="Too certain.")

    assert status == 423
    assert "dr-wu has it at the moment" in page.words
    kept = page.form(f"{desk.path}/decision", "guidance")
    assert "Too certain." in [fields.get("guidance") for fields in page.forms]
    assert kept["csrf_token"]


@pytest.mark.parametrize(
    "changes",
    [
        {"verdict": "rejected", "guidance": " "}, {"verdict": "maybe"}, {"version": "x"},
        {"payload_sha256": "zz"}, {"payload_sha256": "00"},
    ],
)  # fmt: skip
def test_a_form_that_says_too_little_decides_nothing(desk: Desk, changes: dict[str, str]) -> None:
    fields = desk.get(desk.path).form(f"{desk.path}/decision") | {"verdict": "approved"}

    status, page, _ = desk.post(f"{desk.path}/decision", fields | changes)

    assert status in (409, 422)
    assert any(found.get("role") == "alert" for _, found in page.tags)
    assert desk.row()["state"] == "pending"


def test_the_differences_are_shown_before_anything_is_sent(desk: Desk) -> None:
    fields = desk.get(desk.path).form(f"{desk.path}/decision", "edited_text")
    edited = fields["edited_text"].replace("within one week", "within two days")

    reply = desk.site.form(f"{desk.path}/preview", {**fields, "edited_text": edited}, desk.browser)

    text = reply.data.decode()
    assert reply.status == 200
    assert re.search(r"<del>one</del><ins>two</ins>|<ins>two</ins><del>one</del>", text)
    assert read(text).form(f"{desk.path}/decision", "edited_text")["edited_text"] == edited
    assert desk.row()["state"] == "pending"


def test_a_request_is_claimed_and_released_by_forms(desk: Desk) -> None:
    token = desk.get(desk.path).form(f"{desk.path}/claim")

    claimed = desk.post(f"{desk.path}/claim", token)[0]
    holder = desk.row()["claimed_by"]
    released = desk.post(f"{desk.path}/release", token)[0]

    assert (claimed, holder) == (303, "dr-lee")
    assert (released, desk.row()["claimed_by"]) == (303, None)


def test_an_admin_breaks_the_claim_of_somebody_else_by_a_form(desk: Desk, people: People) -> None:
    boss = replace(desk, browser=desk.site.log_in(people.key_for("boss", "admin")))
    before = boss.get(desk.path).actions
    desk.post(f"{desk.path}/claim", desk.get(desk.path).form(f"{desk.path}/claim"))

    page = boss.get(desk.path)
    broken = boss.post(f"{desk.path}/release", page.form(f"{desk.path}/release"))[0]

    assert f"{desk.path}/release" not in before
    assert "Break the claim" in page.words
    assert (broken, desk.row()["claimed_by"]) == (303, None)


def give_up(desk: Desk, owner_url: str) -> None:
    """Let the decision's runs fail as often as it takes until no more are started."""
    run_sql(
        owner_url,
        "update radiant.approval_decision set failures = 3, attempt = 4, done_at = null,"
        " claimed_run_id = null",
    )
    with desk.database.tenant_transaction(desk.tenant) as cursor:
        for action in ("continuation.failed", "approval.stuck"):
            audit.record(
                cursor, desk.tenant, actor="system:dispatch", action=action,
                approval_id=desk.approval,
            )  # fmt: skip


def test_an_admin_has_a_stuck_decision_carried_out_again_by_a_form(
    desk: Desk, people: People, owner_url: str
) -> None:
    boss = replace(desk, browser=desk.site.log_in(people.key_for("boss", "admin")))
    someone_approves(desk)
    before = boss.get(desk.path)
    give_up(desk, owner_url)

    page = boss.get(desk.path)
    status, _, where = boss.post(f"{desk.path}/retry", page.form(f"{desk.path}/retry"))
    after = boss.get(where)
    run_sql(owner_url, "update radiant.approval_decision set done_at = clock_timestamp()")
    late, told, _ = boss.post(f"{desk.path}/retry", page.form(f"{desk.path}/retry"))

    assert f"{desk.path}/retry" not in before.actions
    assert "Not carried out" not in before.words
    assert "A run of it failed" in page.words
    assert "system:dispatch" not in page.words
    assert (status, where) == (303, f"{desk.path}?said=retried")
    assert "It is being carried out again." in after.words
    assert "Carried out again by boss" in " ".join(after.words.split())
    assert f"{desk.path}/retry" not in after.actions
    assert late == 409
    assert "A run carries the decision out, or has." in told.words


def test_who_may_not_retry_a_stuck_decision_is_told_who_may(desk: Desk, owner_url: str) -> None:
    someone_approves(desk)
    give_up(desk, owner_url)
    token = desk.site.csrf(desk.browser)

    page = desk.get(desk.path)
    refused, _, _ = desk.post(f"{desk.path}/retry", {"csrf_token": token})

    assert "ask somebody with the role admin" in page.words
    assert f"{desk.path}/retry" not in page.actions
    assert refused == 403
    assert desk.row()["stuck"] is True


def test_originals_are_shown_to_who_says_why_and_may(desk: Desk, people: People) -> None:
    officer = desk.site.log_in(people.key_for("dr-privacy", "privacy"))
    fields = {"csrf_token": desk.site.csrf(officer), "reason": "Is it the right patient?"}

    before = desk.site("GET", desk.path, officer).data.decode()
    shown = desk.site.form(f"{desk.path}/reveal", fields, officer)
    refused = desk.site.form(f"{desk.path}/reveal", {**fields, "reason": " "}, officer)

    assert sample.SECRET_PERSON not in before
    assert shown.status == 200
    assert sample.SECRET_PERSON in shown.data.decode()
    assert shown.headers["Cache-Control"] == "no-store"
    assert f'content="120;url={desk.path}"' in shown.data.decode()
    assert refused.status == 422
    assert sample.SECRET_PERSON not in refused.data.decode()
    assert "Is it the right patient?" in desk.get(desk.path).words
    assert "reveal" not in desk.get(desk.path).words.lower()


def test_bulk_rejects_with_a_reason_and_never_approves(
    desk: Desk, database: Database, tenant: uuid.UUID
) -> None:
    fields = desk.get("/approvals").form("/approvals/bulk")
    pick = f"pick.{desk.approval}"

    approve = desk.post("/approvals/bulk", {**fields, "action": "approve"})
    silent = desk.post("/approvals/bulk", {**fields, "action": "reject", "guidance": ""})
    nothing = desk.post("/approvals/bulk", {"csrf_token": fields["csrf_token"], "action": "claim"})
    forged = desk.post("/approvals/bulk", {**fields, "pick.x": "y", "action": "claim"})
    reject = desk.post("/approvals/bulk", {**fields, "action": "reject", "guidance": "Off topic."})

    assert fields[pick] == sample.PAYLOAD.hex()
    assert [reply[0] for reply in (approve, silent, nothing, forged)] == [422] * 4
    assert "Tick at least one" in nothing[1].words
    assert reject[0] == 303
    assert "1 rejected." in desk.get(reject[2]).words
    assert desk.row()["state"] == "rejected"


def test_each_of_several_stands_or_fails_on_its_own(
    desk: Desk, database: Database, tenant: uuid.UUID
) -> None:
    with database.tenant_transaction(tenant) as cursor:
        sample.ask(cursor, tenant, 1)
    fields = desk.get("/approvals").form("/approvals/bulk")
    someone_approves(desk)

    status, _, where = desk.post("/approvals/bulk", {**fields, "action": "claim"})

    assert status == 303
    assert "1 claimed. 1 not:" in desk.get(where).words


def test_who_asked_is_told_that_they_cannot_decide(desk: Desk, people: People) -> None:
    browser = desk.site.log_in(people.key_for("ann", "reviewer"))

    page = read(desk.site("GET", desk.path, browser).data.decode())

    assert "You cannot decide this: the person who asked cannot decide." in page.words
    assert f"{desk.path}/decision" not in page.actions


def test_what_happened_is_told_when_the_deadline_has_passed(desk: Desk, owner_url: str) -> None:
    expire(desk, owner_url)

    page = desk.get(desk.path)

    assert "Expired" in page.words
    assert f"{desk.path}/decision" not in page.actions


def test_what_models_and_people_write_is_text_and_nothing_else(
    desk: Desk, database: Database, tenant: uuid.UUID, people: People
) -> None:
    claim = {"text": HOSTILE, "agents": [HOSTILE]}
    with database.tenant_transaction(tenant) as cursor:
        hostile = sample.ask(
            cursor, tenant, prompt=HOSTILE, draft=HOSTILE, answers={"analyst": HOSTILE},
            claims=[claim], dissent=[HOSTILE], missing_agents={HOSTILE: HOSTILE},
            swarm_status="degraded", cato_reasons=[HOSTILE], scrubbed={HOSTILE: 1}, cut=[HOSTILE],
        )  # fmt: skip
        cursor.execute("select session_id from radiant.approval_request where id = %s", (hostile,))
        session = cursor.fetchone()
    assert session is not None
    browser = desk.site.log_in(people.key_for(HOSTILE, "reviewer"))
    shown = f"/sessions/{session['session_id']}"

    for path in ("/", f"/approvals/{hostile}", "/sessions", shown, "/account"):
        text = desk.site("GET", path, browser).data.decode()

        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text, path
        assert "<script>" not in text
        assert "<img" not in text


def test_sessions_show_others_questions_only_as_reviewers_may_see_them(
    desk: Desk, people: People, database: Database, tenant: uuid.UUID
) -> None:
    row = desk.row()
    own = desk.site.log_in(people.key_for("ann", "viewer"))

    others = desk.get(f"/sessions/{row['session_id']}")
    listed = desk.get("/sessions")
    asked = desk.site("GET", f"/sessions/{row['session_id']}", own).data.decode()

    assert sample.SECRET_PERSON not in others.words + listed.words
    assert "person 1" in others.words
    assert "person 1" in listed.words
    assert "Review asked for" in others.words
    assert sample.SECRET_PERSON in asked
    assert "not found" not in asked


def test_another_tenants_pages_are_not_found(desk: Desk) -> None:
    unknown = uuid.uuid4()

    for path in (f"/approvals/{unknown}", f"/sessions/{unknown}"):
        assert desk.site("GET", path, desk.browser).status == 404


def test_the_metrics_show_numbers_and_plots(desk: Desk, owner_url: str) -> None:
    someone_approves(desk)

    for days in (7, 30, 90):
        page = desk.get(f"/metrics/reviews?days={days}")

        assert "dr-wu" in page.words
        assert sum(tag == "rect" for tag, _ in page.tags) == 1
        assert sum(tag == "circle" for tag, _ in page.tags) == 2


def test_ones_own_keys_are_listed_and_can_be_ended(desk: Desk, people: People) -> None:
    other = people.make("dr-wu", "reviewer")
    page = desk.get("/account")
    action = next(where for where in page.actions if where.startswith("/account/keys/"))
    foreign = people.key(other).split("_")[1]

    refused = desk.post(f"/account/keys/{foreign}/revoke", page.form(action))[0]
    status, _, where = desk.post(action, page.form(action))

    assert refused == 404
    assert (status, where) == (303, "/account")
    # The browser had logged in with that key.
    assert desk.site("GET", "/account", desk.browser).status == 303


def test_a_page_hears_of_changes_as_a_stream_of_ids(desk: Desk) -> None:
    headers = {**desk.browser, "Accept": "text/event-stream"}
    reply = desk.site("GET", "/approvals/live", headers, preload_content=False)

    heard = b""
    end = time.monotonic() + 20
    while b"dr-wu" not in heard and time.monotonic() < end:
        heard += reply.read1(4096)
        if heard.count(b"event: inbox") == 1:
            other = Reviewer("dr-wu", frozenset({"reviewer"}))
            claims.claim(desk.database, desk.tenant, desk.approval, other)
    reply.close()

    assert reply.headers["Content-Type"].startswith("text/event-stream")
    assert heard.count(b"event: inbox") == 2
    assert b"ibuprofen" not in heard


def test_who_asks_for_no_stream_gets_one_answer(desk: Desk) -> None:
    found = desk.site("GET", "/approvals/live", desk.browser).json()

    (item,) = found["approvals"]
    assert item["id"] == str(desk.approval)
    assert set(item) == {
        "id", "domain", "state", "created_at", "deadline", "claimed_by", "votes"
    }  # fmt: skip


def test_an_open_page_can_ask_how_the_request_stands(desk: Desk) -> None:
    before = desk.site("GET", f"{desk.path}/state", desk.browser).json()
    someone_approves(desk)

    after = desk.site("GET", f"{desk.path}/state", desk.browser).json()

    assert (before["state"], before["decided_by"]) == ("pending", [])
    assert (after["state"], after["decided_by"]) == ("approved", ["dr-wu"])


@pytest.fixture
def every_page(desk: Desk) -> list[tuple[str, str]]:
    """Every kind of page as its reader gets it."""
    session = desk.row()["session_id"]
    paths = ["/", desk.path, "/sessions", f"/sessions/{session}", "/metrics/reviews", "/account"]
    accept = {**desk.browser, "Accept": "text/html"}
    found = [(path, desk.site("GET", path, accept).data.decode()) for path in [*paths, "/nothing"]]
    return [*found, ("/login", desk.site("GET", "/login").data.decode())]


def test_every_field_has_a_label_and_every_page_one_first_heading(
    every_page: list[tuple[str, str]],
) -> None:
    for path, text in every_page:
        page = read(text)
        ids = [found["id"] for _, found in page.tags if "id" in found]
        labelled = {found.get("for") for tag, found in page.tags if tag == "label"}
        inside = set(re.findall(r"<label[^>]*>(?:(?!</label>).)*?name=\"([^\"]+)\"", text, re.S))

        assert len(ids) == len(set(ids)), path
        assert sum(tag == "h1" for tag, _ in page.tags) == 1, path
        assert ("html", {"lang": "en"}) in page.tags
        for tag, found in page.tags:
            if tag not in ("input", "select", "textarea") or found.get("type") == "hidden":
                continue
            named = found.get("aria-label") or found.get("name") in inside
            assert named or found.get("id") in labelled, (path, found)
        for _, found in page.tags:
            for name in (found.get("aria-labelledby"), found.get("aria-describedby")):
                assert name is None or name in ids, (path, name)


def test_no_page_holds_a_script_or_style_of_its_own(every_page: list[tuple[str, str]]) -> None:
    for path, text in every_page:
        for tag, found in read(text).tags:
            assert tag != "style", path
            assert not (tag == "script" and "src" not in found), path
            assert not any(name == "style" or name.startswith("on") for name in found), path

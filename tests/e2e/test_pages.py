"""Mission Control in a real browser: what its scripts do, and what hostile texts cannot."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from radiant_dagster.adapters import approvals, inbox
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.domain.approvals import Vote
from tests.adapters.rows import insert_heuristic
from tests.conftest import run_sql
from tests.e2e.browser import browser, log_in
from tests.mission_control import sample
from tests.mission_control.conftest import (  # noqa: F401 - fixtures
    People,
    Site,
    people,
    serve,
    site,
)

# One a line: what has carried scripts into pages elsewhere.
PAYLOADS = (Path(__file__).parent / "hostile_texts.txt").read_text().splitlines()
EDIT = ("within one week", "within three days")


@dataclass
class Window:
    """A browser that has logged in, and all that went wrong in it."""

    page: Any
    url: str
    database: Database
    tenant: uuid.UUID
    faults: list[str] = field(default_factory=list)

    def ask(self, number: int = 0, **changes: Any) -> uuid.UUID:
        with self.database.tenant_transaction(self.tenant) as cursor:
            return sample.ask(cursor, self.tenant, number, **changes)

    def open(self, path: str) -> None:
        self.page.goto(self.url + path)

    def detail(self, approval: uuid.UUID) -> dict[str, Any]:
        with self.database.tenant_transaction(self.tenant, role="radiant_review") as cursor:
            return inbox.approval_detail(cursor, self.tenant, approval)

    def someone_approves(self, approval: uuid.UUID) -> None:
        vote = Vote("dr-wu", frozenset({"reviewer"}), "approved", sample.PAYLOAD)
        approvals.decide(self.database, self.tenant, approval, vote)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as started:
        yield started


@pytest.fixture
def window(
    chromium: Any, site: Site, people: People, database: Database, tenant: uuid.UUID  # noqa: F811
) -> Iterator[Window]:  # fmt: skip
    key = people.key_for("dr-lee", "reviewer", "privacy")
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(20_000)
    page = log_in(context, site.url, key)
    found = Window(page, site.url, database, tenant)
    page.on("pageerror", lambda error: found.faults.append(str(error)))
    page.on(
        "console",
        lambda said: found.faults.append(said.text) if said.type == "error" else None,
    )
    yield found
    context.close()


def test_a_reviewer_finds_reveals_edits_and_submits(window: Window) -> None:
    approval = window.ask()
    window.ask(1)
    page = window.page

    window.open("/approvals?q=ibuprofen")
    page.click("#inbox .what a")
    page.click("#claim button")
    page.wait_for_selector("#claimed:has-text('You have it')")
    page.fill("#reason", "Is it the right patient?")
    page.click("#reveal button")
    page.wait_for_selector(f"#originals:has-text('{sample.SECRET_PERSON}')")
    page.click("#modify summary")
    page.fill("#edited", page.input_value("#edited").replace(*EDIT))
    page.wait_for_selector("#diff ins")
    removed = page.locator("#diff del").all_inner_texts()
    added = page.locator("#diff ins").all_inner_texts()
    page.click("button[value=modified]")
    page.wait_for_url(f"**/approvals/{approval}?said=modified")

    row = window.detail(approval)
    assert (removed, added) == (["one", "week"], ["three", "days"])
    assert row["edited_text"] == sample.DRAFT.replace(*EDIT)
    assert [item["action"] for item in row["history"]] == [
        "approval.requested", "approval.claimed", "approval.revealed", "approval.modified",
    ]  # fmt: skip
    assert sample.SECRET_PERSON not in page.content()
    assert window.faults == []


def test_an_original_disappears_after_two_minutes(window: Window) -> None:
    approval = window.ask()
    page = window.page
    page.clock.install()
    window.open(f"/approvals/{approval}")
    page.fill("#reason", "Is it the right patient?")
    page.click("#reveal button")
    page.wait_for_selector(f"#originals:has-text('{sample.SECRET_PERSON}')")

    page.clock.fast_forward(119_000)
    still = sample.SECRET_PERSON in page.content()
    page.clock.fast_forward(2_000)

    assert still
    assert sample.SECRET_PERSON not in page.content()


def test_who_asks_for_it_is_notified_of_new_requests_without_their_text(window: Window) -> None:
    page = window.page
    page.context.grant_permissions(["notifications"])
    page.add_init_script(
        "window.notes = []; const Real = Notification; window.Notification = class extends Real {"
        " constructor(title, more) { super(title, more); window.notes.push(title + more.body);"
        " document.documentElement.dataset.noted = 'yes'; } };"
    )
    window.ask()
    window.open("/approvals")
    page.click("#notify")
    page.wait_for_selector("#notify[aria-pressed=true]")
    window.ask(1)

    page.wait_for_selector("html[data-noted]", state="attached")

    (note,) = page.evaluate("window.notes")
    assert note.startswith("An approval waitsmedical, ")
    assert "fridge" not in note


def test_a_decision_of_somebody_else_flips_the_page_and_keeps_the_text(window: Window) -> None:
    approval = window.ask()
    page = window.page
    window.open(f"/approvals/{approval}")
    page.click("#reject summary")
    page.fill("#guidance-reject", "Too certain.")
    window.someone_approves(approval)

    page.wait_for_selector("#flip:visible")

    assert "Approved by dr-wu" in page.inner_text("#flip")
    assert page.input_value("#guidance-reject") == "Too certain."
    assert page.is_disabled("button[value=rejected]")


def test_a_conflict_comes_back_with_the_standing_decision_and_the_text(window: Window) -> None:
    approval = window.ask()
    page = window.page
    window.open(f"/approvals/{approval}")
    page.click("#reject summary")
    page.fill("#guidance-reject", "Too certain.")
    page.route("**/state", lambda route: route.abort())  # the page has not heard of it yet
    window.someone_approves(approval)

    with page.expect_response("**/decision") as reply:
        page.click("button[value=rejected]")
    page.wait_for_selector("[role=alert]:visible")

    assert reply.value.status == 409
    assert "Approved by dr-wu" in page.inner_text("main")
    assert "Too certain." in page.inner_text("main")


def test_the_page_flips_by_itself_when_the_time_is_over(window: Window, owner_url: str) -> None:
    approval = window.ask()
    run_sql(
        owner_url,
        "update radiant.approval_request set deadline = clock_timestamp() + interval '4 s'",
    )
    page = window.page
    window.open(f"/approvals/{approval}")

    page.wait_for_selector("#flip:visible")

    assert "Expired" in page.inner_text("#flip")
    assert page.is_disabled("button[value=approved]")
    assert page.locator("aside time.countdown").count() == 0


def test_everything_is_reached_by_keys_and_approving_takes_two(window: Window) -> None:
    first, _ = window.ask(), window.ask(1)
    page = window.page
    window.open("/approvals")
    page.wait_for_selector("#help:visible")

    page.keyboard.press("?")
    listed = page.is_visible("#keys")
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    searching = page.evaluate("document.activeElement.id")
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    page.keyboard.press("x")
    ticked = page.locator("#inbox input:checked").count()
    page.keyboard.press("o")
    page.wait_for_url(f"**/approvals/{first}")
    page.wait_for_selector("#preview[hidden]", state="attached")
    page.keyboard.press("c")
    page.wait_for_selector("#claimed:has-text('You have it')")
    page.keyboard.press("a")
    untouched = window.detail(first)["state"]
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/approvals/{first}?said=approved")

    assert (listed, searching, ticked, untouched) == (True, "search", 1, "pending")
    assert window.detail(first)["state"] == "approved"


def test_the_inbox_hears_of_claims_and_new_requests(window: Window) -> None:
    approval = window.ask()
    page = window.page
    window.open("/approvals")
    window.ask(1)

    page.wait_for_selector("#news:has-text('1 new')")
    window.someone_approves(approval)
    page.wait_for_selector("#news:has-text('1 no longer here')")

    assert page.locator("#inbox tr.gone").count() == 1
    assert page.inner_text("#waiting") == "1"


@pytest.fixture
def unscripted(chromium: Any) -> Iterator[Any]:
    """A browser on a phone that runs no scripts."""
    context = chromium.new_context(
        viewport={"width": 390, "height": 844}, java_script_enabled=False
    )
    context.set_default_timeout(20_000)
    yield context
    context.close()


def cut_off(page: Any) -> list[str]:
    """Return what of a page is wider than its place, so that it is cut or has to be scrolled."""
    return page.evaluate(
        "[...document.querySelectorAll('html, main, section, table, tr, td, form, p')]"
        ".filter((e) => e.scrollWidth > e.clientWidth + 1 && e.clientWidth).map((e) => e.outerHTML)"
    )


def test_an_admin_has_a_stuck_decision_carried_out_again_without_scripts(
    window: Window, unscripted: Any, people: People, owner_url: str  # noqa: F811
) -> None:  # fmt: skip
    approval = window.ask()
    window.someone_approves(approval)
    run_sql(owner_url, "update radiant.approval_decision set failures = 3")
    page = log_in(unscripted, window.url, people.key_for("root", "admin"))
    page.goto(f"{window.url}/approvals/{approval}")

    cut = cut_off(page)
    page.click("text=Carry out again")
    page.wait_for_url(f"**/approvals/{approval}?said=retried")

    detail = window.detail(approval)
    assert cut == []
    assert "It is being carried out again." in page.inner_text("main")
    assert page.locator("text=Carry out again").count() == 0
    assert (detail["stuck"], detail["history"][-1]["action"]) == (False, "approval.retried")


def test_a_search_by_meaning_leaves_no_words_in_the_address(
    window: Window, unscripted: Any, people: People  # noqa: F811
) -> None:  # fmt: skip
    with window.database.tenant_transaction(window.tenant) as cursor:
        insert_heuristic(
            cursor, window.tenant, domain="medical", trigger_pattern="A question about power cuts"
        )
    page = log_in(unscripted, window.url, people.key_for("cora", "curator"), "/grimoire")
    page.goto(f"{window.url}/grimoire")

    page.fill("input[name=q]", "power cut")
    page.keyboard.press("Enter")
    page.wait_for_url("**/grimoire?*q=power+cut")
    by_words = page.url
    page.click("text=By meaning")
    page.wait_for_url("**/grimoire/search")

    assert "csrf_token" not in by_words
    assert "A question about power cuts" in page.inner_text("#main")
    assert page.input_value("input[name=q]") == "power cut"
    assert cut_off(page) == []


@pytest.mark.timeout(240)
def test_fifty_hostile_texts_are_shown_and_none_is_carried_out(window: Window) -> None:
    page = window.page
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    page.add_init_script(
        "window.violations = []; addEventListener('securitypolicyviolation',"
        " (event) => window.violations.push(event.violatedDirective));"
    )
    assert len(set(PAYLOADS)) == 50
    for number, text in enumerate(PAYLOADS):
        call = {
            "agent_id": text, "name": text, "status": "ok", "flags": [], "output_cut": False,
            "arguments": text, "output": text,
        }  # fmt: skip
        agents = [{"agent_id": text, "role": text, "status": "success"}]
        approval = window.ask(
            number, prompt=text, draft=text, answers={text: text}, agents=agents,
            claims=[{"text": text, "agents": [text]}], dissent=[text], tool_calls=[call],
            cato_reasons=[text], heuristics=[{"id": "h", "polarity": "do", "title": text}],
        )  # fmt: skip
        vote = Vote("dr-wu", frozenset({"reviewer"}), "modified", sample.PAYLOAD, text, text + "x")
        window.open(f"/approvals/{approval}")
        page.evaluate("for (const d of document.querySelectorAll('article details')) d.open = true")
        page.click("#modify summary")
        page.wait_for_selector("#preview[hidden]", state="attached")
        page.fill("#edited", text + "x")
        page.wait_for_selector("#diff ins")
        assert text in page.input_value("#edited")
        assert page.evaluate("window.violations") == []
        page.evaluate("document.querySelector('#edited').value = ''")
        approvals.decide(window.database, window.tenant, approval, vote)
        page.evaluate("document.dispatchEvent(new Event('zero'))")  # or it looks every 5 s
        page.wait_for_selector("#flip:visible")
        window.open(f"/approvals/{approval}")
        assert page.evaluate("window.violations") == []
    window.open("/approvals?view=all")
    shown = page.locator("#inbox tbody tr").count()

    assert shown == len(PAYLOADS)
    assert page.evaluate("window.violations") == []
    assert (dialogs, window.faults) == ([], [])


@pytest.mark.parametrize("width", [390, 720, 1000, 1280, 1600])
def test_no_page_is_wider_than_its_window(window: Window, width: int) -> None:
    approval = window.ask()
    window.page.set_viewport_size({"width": width, "height": 800})

    for path in ("/", f"/approvals/{approval}", "/sessions", "/metrics/reviews", "/account"):
        window.open(path)
        wide = window.page.evaluate("document.documentElement.scrollWidth")

        assert wide <= width, path

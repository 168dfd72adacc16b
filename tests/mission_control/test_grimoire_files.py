"""Searching by meaning and importing over the API and the pages."""

import json
import threading
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from radiant_dagster.adapters import tenants
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.errors import ImportRefused, InvalidInput
from tests.adapters.rows import insert_heuristic
from tests.adapters.test_finding import COLD, LEASE, MODEL, PAID_MODEL
from tests.adapters.test_heuristic_files import ACTION, LINE, TRIGGER, lines
from tests.adapters.test_heuristic_files import LEASE as LEASE_LINE
from tests.mission_control.conftest import People, Serve, Site, bearer
from tests.mission_control.test_grimoire import PAYLOADS, Shelf, shelf  # noqa: F401 - a fixture
from tests.mission_control.test_pages import read
from tests.services.cato_server import Reply as Fault
from tests.services.cato_server import cato_server
from tests.services.llm_server import LlmServer

PATH = "/api/v1/grimoire/import"
NDJSON = {"Content-Type": "application/x-ndjson"}
OTHER = uuid.UUID(int=0xB0B)
IMPORTS = 9  # one more than there are threads for the other handlers


def plant(shelf: Shelf, trigger: str, **changes: Any) -> uuid.UUID:  # noqa: F811
    vector = json.dumps(MODEL.embed_one(trigger))
    return shelf.plant(trigger_pattern=trigger, embedding=vector, **changes)


def test_the_nearest_are_found_over_the_api(shelf: Shelf) -> None:  # noqa: F811
    far, near = plant(shelf, LEASE), plant(shelf, COLD, domain="medical", state="quarantined")

    found = shelf.client.search_heuristics("Vaccine fridge without power?", limit=5)
    general = shelf.client.search_heuristics(COLD, domain="general")

    assert [(row.id, row.state) for row in found.heuristics] == [
        (near, "quarantined"), (far, "active"),
    ]  # fmt: skip
    assert found.heuristics[0].similarity > 0.5
    assert (found.floor, found.heuristics[0].floor) == (0.5, 0.6)
    assert [row.id for row in general.heuristics] == [far]
    with pytest.raises(InvalidInput) as domain:
        shelf.client.search_heuristics(COLD, domain="cooking")
    assert domain.value.field == "domain"


def test_nothing_of_another_tenant_is_found_or_a_duplicate(
    shelf: Shelf, database: Database, owner: Any  # noqa: F811
) -> None:  # fmt: skip
    tenants.create_tenant(database, OTHER, "other", "Other Clinic")
    with database.tenant_transaction(OTHER) as cursor:
        insert_heuristic(cursor, OTHER, trigger_pattern=TRIGGER, action_template=ACTION)

    found = shelf.client.search_heuristics(TRIGGER)
    done = shelf.client.import_heuristics(lines({}))

    assert found.heuristics == []
    assert len(done.ids) == 1
    owner.execute(
        "select tenant_id, count(*) as number from radiant.knowledge_heuristics group by 1"
    )
    assert {row["tenant_id"]: row["number"] for row in owner.fetchall()} == {
        shelf.tenant: 1, OTHER: 1,
    }  # fmt: skip


def test_a_page_searches_by_meaning_and_keeps_the_text_out_of_the_address(
    shelf: Shelf,  # noqa: F811
) -> None:
    plant(shelf, LEASE)
    near = plant(shelf, COLD, state="quarantined")
    token = shelf.site.csrf(shelf.browser) or shelf.get("/grimoire").form("/logout")["csrf_token"]
    form = {"q": "Vaccine fridge without power?", "domain": "", "csrf_token": token}

    button = next(
        found for tag, found in shelf.get("/grimoire").tags
        if tag == "button" and found.get("formaction")
    )  # fmt: skip
    shown = shelf.site.form("/grimoire/search", form, shelf.browser)
    empty = shelf.site.form("/grimoire/search", {**form, "q": " "}, shelf.browser)
    hostile = shelf.site.form("/grimoire/search", {**form, "q": PAYLOADS[0]}, shelf.browser)
    forged = shelf.site.form("/grimoire/search", {**form, "csrf_token": "x"}, shelf.browser)

    # Only the button that posts sends the token, so that no address holds it.
    assert (button["formmethod"], button["formaction"]) == ("post", "/grimoire/search")
    assert (button["name"], button["value"]) == ("csrf_token", token)
    words = " ".join(read(shown.data.decode()).words.split())
    assert words.index(COLD) < words.index(LEASE)
    assert "once promoted" in words
    assert "from 0.50 on" in words
    assert f"/grimoire/{near}" in shown.data.decode()
    assert (shown.status, empty.status, forged.status) == (200, 422, 403)
    assert "text: is empty" in empty.data.decode()
    assert "<" in PAYLOADS[0]
    assert PAYLOADS[0] not in hostile.data.decode()
    ids = [found["id"] for _, found in read(shown.data.decode()).tags if "id" in found]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize(("active", "state"), [(False, "quarantined"), (True, "active")])
def test_lines_are_imported_over_the_api_with_the_duplicates_of_the_command_line(
    shelf: Shelf, active: bool, state: str  # noqa: F811
) -> None:  # fmt: skip
    first = shelf.client.import_heuristics(lines({}, LEASE_LINE, {}), active=active)
    again = shelf.client.import_heuristics(lines(LEASE_LINE, {}))

    found = shelf.client.heuristic(first.ids[0])
    assert (first.state, len(first.ids), first.duplicate_lines) == (state, 2, [3])
    assert (again.ids, again.duplicate_lines) == ([], [1, 2])
    assert (found.state, found.created_by, found.source_user) == (state, "import", "cora")


def test_one_bad_line_keeps_all_out_and_the_refusal_names_every_line(
    shelf: Shelf,  # noqa: F811
) -> None:
    text = "\n".join(
        [
            lines({}, {"domain": "cooking"}),
            "{not json",
            lines({"action_template": "Call Maria Gonzalez at 555-867-5309 at once."}),
        ]
    )

    with pytest.raises(ImportRefused) as refused:
        shelf.client.import_heuristics(text)
    reply = shelf.site(
        "POST", PATH, bearer(shelf.key) | NDJSON | {"Idempotency-Key": "k"}, body=text
    )

    problem = reply.json()
    assert [fault.line for fault in refused.value.faults] == [2, 3, 4]
    assert "line 4: action_template has personal data" in str(refused.value)
    assert (reply.status, problem["code"], problem["field"]) == (422, "import_refused", "file")
    assert reply.headers["Content-Type"].startswith("application/problem+json")
    assert problem["fault_count"] == 3
    assert problem["faults"][1] == {
        "line": 3, "field": "it", "problem": "is not JSON", "fix": "Write one JSON object a line.",
    }  # fmt: skip
    assert b"Gonzalez" not in reply.data
    assert shelf.client.heuristics().heuristics == []


def test_a_hundred_faults_are_told_one_by_one_and_the_others_counted(
    shelf: Shelf,  # noqa: F811
) -> None:
    with pytest.raises(ImportRefused) as refused:
        shelf.client.import_heuristics("x\n" * 130)

    assert len(refused.value.faults) == 100
    assert "130 faults" in str(refused.value)
    assert "... and 110 more." in str(refused.value)


def test_an_import_is_carried_out_once_for_a_key(shelf: Shelf, owner: Any) -> None:  # noqa: F811
    key = bearer(shelf.key) | NDJSON
    once = key | {"Idempotency-Key": "k"}

    replies = [
        shelf.site("POST", path, headers, body=body)
        for path, headers, body in (
            (PATH, key, lines({})), (PATH, once, lines({})), (PATH, once, lines({})),
            (PATH, once, lines(LEASE_LINE)), (f"{PATH}?active=true", once, lines({})),
        )
    ]  # fmt: skip

    assert [reply.status for reply in replies] == [400, 200, 200, 422, 422]
    assert replies[2].headers["Idempotency-Replayed"] == "true"
    assert replies[2].json() == replies[1].json()
    assert {reply.json()["code"] for reply in replies[3:]} == {"idempotency_conflict"}
    owner.execute("select count(*) as number from radiant.audit where action = 'grimoire.imported'")
    assert owner.fetchone()["number"] == 1


def test_nobody_makes_advice_active_alone_where_it_could_hurt(shelf: Shelf) -> None:  # noqa: F811
    with pytest.raises(ImportRefused) as refused:
        shelf.client.import_heuristics(lines({}, {"domain": "medical"}), active=True)

    assert [fault.line for fault in refused.value.faults] == [2]
    assert "two people have to look" in str(refused.value)
    assert shelf.client.heuristics().heuristics == []


@pytest.mark.parametrize(
    ("query", "headers", "body", "status"),
    [
        ("", {"Content-Type": "application/json"}, json.dumps(LINE), 415),
        ("", NDJSON, b"\xff\xfe", 400),
        ("", NDJSON, f"{json.dumps(LINE)}\x00", 422),
        ("?active=perhaps", NDJSON, json.dumps(LINE), 422),
        ("?surprise=1", NDJSON, json.dumps(LINE), 422),
        ("", NDJSON, "\n" * 20_000_001, 413),
        ("", NDJSON, " " * 2_000_000, 200),
    ],
)
def test_a_body_that_cannot_be_read_is_refused(
    shelf: Shelf, query: str, headers: dict[str, str], body: str | bytes, status: int  # noqa: F811
) -> None:  # fmt: skip
    sent = bearer(shelf.key) | headers | {"Idempotency-Key": "k"}

    reply = shelf.site("POST", PATH + query, sent, body=body)

    assert reply.status == status
    assert status == 200 or reply.json()["code"] != "internal_error"
    assert shelf.client.heuristics().heuristics == []


def test_who_lost_the_answer_gets_it_again_without_another_check(
    serve: Serve, people: People, database: Database, tenant: uuid.UUID
) -> None:
    key = bearer(people.key_for("cora", "curator")) | NDJSON | {"Idempotency-Key": "k"}
    with cato_server() as cato, serve(CATO_SERVICE_URL=cato.url) as site:
        first = site("POST", PATH, key, body=lines({}, LEASE_LINE))
        checked = len(cato.requests)
        cato.always = Fault(503)
        again = site("POST", PATH, key, body=lines({}, LEASE_LINE))

    assert (first.status, again.status, again.json()) == (200, 200, first.json())
    assert (checked, len(cato.requests)) == (2, 2)


@pytest.fixture
def slow_site(
    serve: Serve, models: LlmServer, database: Database, tenant: uuid.UUID
) -> Iterator[Site]:
    """Mission Control with an embedding model elsewhere."""
    with serve(LITELLM_PROXY_URL=models.url, RADIANT_EMBEDDING_MODEL=PAID_MODEL) as site:
        yield site


def test_imports_run_one_at_a_time_and_leave_the_threads_to_the_others(
    slow_site: Site, models: LlmServer, people: People
) -> None:
    headers = bearer(people.key_for("cora", "curator")) | NDJSON
    begun, go_on = threading.Event(), threading.Event()
    statuses: list[int] = []

    def wait() -> None:
        begun.set()
        go_on.wait(60)

    def import_one(number: int) -> None:
        key = {"Idempotency-Key": f"k{number}"}
        text = lines({"action_template": f"{ACTION} Way {'abcdefghi'[number]}."})
        statuses.append(slow_site("POST", PATH, headers | key, body=text).status)

    models.on_embed = wait
    importing = [threading.Thread(target=import_one, args=(number,)) for number in range(IMPORTS)]
    for thread in importing:
        thread.start()
    begun.wait(60)
    meanwhile = slow_site("GET", "/api/v1/grimoire", headers)
    at_once = len(models.calls)
    go_on.set()
    for thread in importing:
        thread.join()

    assert (meanwhile.status, at_once) == (200, 1)
    assert statuses == [200] * IMPORTS
    assert len(models.calls) == IMPORTS

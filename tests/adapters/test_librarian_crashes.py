"""The Librarian dies by SIGKILL, or meets a curator: what is left is one row, of one text."""

import json
import signal
import subprocess
import sys
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from radiant_dagster.adapters.cato import EmbeddedCato
from radiant_dagster.adapters.embeddings import MiniLmEmbeddings
from radiant_dagster.adapters.grimoire import acts, merging
from radiant_dagster.adapters.grimoire.rebuild import differences
from radiant_dagster.adapters.grimoire.texts import Checks
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.domain.curation import Edit
from radiant_dagster.domain.heuristics import exact_sha256
from radiant_dagster.domain.phi import RuleDetector
from tests.adapters.librarian_desk import LESSON, Desk
from tests.services.llm_server import LlmServer, content

ROOT = Path(__file__).parents[2]
EDITED = "Say who checks the thermometer, and when the stock has to move."


@pytest.fixture
def desk(database: Database, models: LlmServer, tenant: uuid.UUID) -> Desk:
    return Desk(database, models, tenant)


def test_a_librarian_killed_between_embedding_and_storing_leaves_one_row_after_the_replay(
    desk: Desk,
) -> None:
    session_id = desk.session()
    desk.models.script(*[content(json.dumps(LESSON))] * 2)
    call = [sys.executable, "-m", "tests.services.dying_librarian"]
    call += [desk.database.url, desk.models.url, str(desk.tenant), str(session_id)]

    died = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=False)
    left = (desk.rows(), desk.decisions())
    outcomes = [desk.review(session_id, "approved") for _ in range(3)]

    (row,) = desk.rows()
    first, second = desk.models.calls
    assert died.returncode == -signal.SIGKILL, died.stderr[-2000:]
    assert left == ([], [])
    assert [outcome.repeated for outcome in outcomes] == [False, True, True]
    assert (first.key, first.body) == (second.key, second.body)  # charged once by who knows keys
    assert (row["alpha"], len(desk.decisions())) == (2, 1)


@pytest.mark.parametrize("number", range(4))
def test_an_edit_beside_a_rederivation_loses_neither_the_text_nor_the_evidence(
    desk: Desk, number: int
) -> None:
    first = desk.learn("approved")
    assert first.heuristic_id is not None
    again = desk.session(user="bob")
    desk.models.script(content(json.dumps(LESSON)))
    checks = Checks(MiniLmEmbeddings(), EmbeddedCato(RuleDetector()), RuleDetector())
    edit = Edit(LESSON["trigger_pattern"], f"{EDITED} Round {'i' * (number + 1)}.")
    start = threading.Barrier(2)

    def curate() -> None:
        start.wait()
        acts.act_now(
            desk.database, checks, desk.tenant, first.heuristic_id or again, edit, actor="cora"
        )

    def rederive() -> str:
        start.wait()
        return desk.review(again, "approved").decision

    with ThreadPoolExecutor(2) as threads:
        edited, learned = threads.submit(curate), threads.submit(rederive)
        edited.result()
        decision = learned.result()

    live = [row for row in desk.rows() if row["state"] in ("quarantined", "active")]
    merged = [row for row in desk.rows() if row["state"] == "merged"]
    row = desk.row(first.heuristic_id)
    assert row["action_template"] == edit.action_template
    assert decision in ("rederived", "stored")  # by the text that it found
    assert len(live) + len(merged) == (1 if decision == "rederived" else 2)
    assert sum(item["alpha"] - 1 for item in live) == 2  # two reviewed sessions, each once
    for item in live:
        exact = exact_sha256("do", item["trigger_pattern"], item["action_template"])
        assert item["state"] == "quarantined" or bytes(item["approved_sha256"]) == exact
    with desk.database.tenant_transaction(desk.tenant) as cursor:
        assert list(differences(cursor, desk.tenant)) == []


def test_a_merge_beside_learning_sessions_counts_every_session_once(
    database_url: str, desk: Desk
) -> None:
    other: dict[str, Any] = {
        "trigger_pattern": "Somebody wants to know how a bicycle tyre is mended",
        "action_template": "List the tools first, then the order of the steps.",
    }
    kept = desk.learn("approved").heuristic_id
    gone = desk.learn("approved", user="bob", **other).heuristic_id
    assert kept is not None
    assert gone is not None
    wide = Desk(Database(database_url, pool_size=6), desk.models, desk.tenant)
    sessions = [desk.session(user=f"user {number}") for number in range(6)]
    desk.models.script(*[content(json.dumps(LESSON))] * 6)

    def merge() -> None:
        with wide.database.tenant_transaction(desk.tenant) as cursor:
            merging.merge_into(cursor, desk.tenant, kept, gone, actor="cora")

    with ThreadPoolExecutor(5) as threads:
        work = [threads.submit(wide.review, item, "approved") for item in sessions]
        merged = threads.submit(merge)
        for job in work:
            job.result()
        merged.result()
    wide.database.close()

    live = [row for row in desk.rows() if row["state"] in ("quarantined", "active")]
    assert sum(row["alpha"] - 1 for row in live) == 8
    with desk.database.tenant_transaction(desk.tenant) as cursor:
        assert list(differences(cursor, desk.tenant)) == []

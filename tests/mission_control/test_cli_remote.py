"""The command line through the API: no database, the same words on the screen."""

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from radiant_dagster.adapters.postgres import Database
from tests.adapters.rows import insert_approval, insert_heuristic
from tests.adapters.test_heuristic_files import LEASE, TRIGGER, lines
from tests.conftest import World, run_sql
from tests.mission_control.conftest import People, Serve, Site
from tests.mission_control.test_api_sessions import execute
from tests.services.dagster_server import DagsterServer

ROOT = Path(__file__).parents[2]
PROMPT = "Which vaccines must be thrown away?"

pytestmark = pytest.mark.timeout(300)  # a dozen processes


@dataclass
class Terminal:
    """A machine that knows the API's address and no database."""

    site: Site

    def __call__(self, key: str, *words: str) -> subprocess.CompletedProcess[str]:
        env = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
        return subprocess.run(
            [sys.executable, "-m", "radiant_dagster.cli.main", *words],
            env={
                **env,
                "RADIANT_HOME": "/nonexistent/radiant-tests",
                "RADIANT_API_URL": self.site.url,
                "RADIANT_API_KEY": key,
                "LOGNAME": "ann",
            },
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def json(self, key: str, *words: str) -> Any:
        result = self(key, *words, "--json")
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)


@pytest.fixture
def terminal(world: World, serve: Serve, instance: dg.DagsterInstance) -> Iterator[Terminal]:
    with DagsterServer() as dagster:
        dagster.on_launch = lambda config: execute(config, instance)
        with serve(RADIANT_DAGSTER_URL=dagster.url, LITELLM_PROXY_URL=world.models.url) as site:
            yield Terminal(site)


def test_a_question_is_asked_reviewed_and_answered_without_a_database(
    terminal: Terminal, people: People
) -> None:
    asker = people.key_for("backend", "service")
    lee = people.key_for("dr-lee", "reviewer")

    asked = terminal.json(asker, "think", "--domain", "medical", "--no-wait", PROMPT)
    (row,) = terminal.json(lee, "approvals", "list")["approvals"]
    shown = terminal(lee, "approvals", "show", row["id"][:8])
    decided = terminal(lee, "approvals", "approve", row["id"][:8], "--yes")
    view = terminal.json(asker, "sessions", "watch", row["session_id"][:8])
    text = terminal(asker, "sessions", "show", row["session_id"])

    assert asked["progress"]["status"] == "awaiting_review"
    assert "Draft under review" in shown.stdout
    assert "approved by dr-lee" in decided.stdout
    assert view["session"]["status"] == "completed"
    assert view["answer"] in text.stdout.replace("\n", " ") or view["answer"] in text.stdout
    assert "Approved by dr-lee" in text.stdout


def test_an_answer_is_judged_listed_and_asked_again(terminal: Terminal, people: People) -> None:
    asker = people.key_for("backend", "service")
    first = terminal.json(asker, "think", PROMPT)["session"]["id"]

    given = terminal.json(asker, "feedback", first[:8], "good")
    again = terminal.json(asker, "sessions", "rerun", first)
    listed = terminal.json(asker, "sessions", "list")["sessions"]

    assert given["outcome"] is True
    assert again["session"]["rerun_of"] == first
    assert [row["id"] for row in listed] == [again["session"]["id"], first]


def test_an_admin_has_a_decision_carried_out_again_without_a_database(
    terminal: Terminal, people: People, database: Database, tenant: uuid.UUID, owner_url: str
) -> None:
    with database.tenant_transaction(tenant) as cursor:
        approval = insert_approval(cursor, tenant)
    run_sql(
        owner_url,
        "insert into radiant.approval_decision (approval_id, tenant_id, session_id, verdict,"
        " decided_by, decided_at, failures) select id, tenant_id, session_id, 'approved',"
        " '{dr-lee}', clock_timestamp(), 3 from radiant.approval_request",
    )

    admin = people.key_for("root", "admin")
    retried = terminal.json(admin, "approvals", "retry", str(approval)[:8])

    assert retried["approval_id"] == str(approval)


def test_refusals_of_the_server_keep_their_returncodes(terminal: Terminal, people: People) -> None:
    asker = people.key_for("backend", "service")

    assert terminal(asker, "sessions", "show", "abcdef12").returncode == 3
    assert terminal(asker, "think", "--domain", "cooking", PROMPT).returncode == 2
    assert terminal(asker, "think", "--tenant", "other", PROMPT).returncode == 2
    assert terminal("rk_nonsense", "sessions", "list").returncode == 4
    assert terminal("", "sessions", "list").returncode == 4
    assert terminal(asker, "approvals", "list").returncode == 1


def test_a_curator_needs_no_database(
    terminal: Terminal, people: People, database: Database, tenant: uuid.UUID
) -> None:
    with database.tenant_transaction(tenant) as cursor:
        item = str(insert_heuristic(cursor, tenant, state="quarantined", approved_sha256=None))
    key = people.key_for("cora", "curator")

    waiting = terminal.json(key, "grimoire", "queue")["candidates"]
    promoted = terminal.json(key, "grimoire", "promote", item[:8], "--if-version", "1")
    stale = terminal(key, "grimoire", "retire", item, "--if-version", "9")
    exported = terminal(key, "grimoire", "export", "--state", "active")
    purged = terminal.json(key, "grimoire", "purge", "--heuristic", item, "--yes")

    assert [row["id"] for row in waiting] == [item]
    assert promoted["state"] == "active"
    assert (stale.returncode, "at version 1 by now" in stale.stderr) == (3, True)
    assert json.loads(exported.stdout)["provenance"]["approved_by"] == "cora"
    assert [row["state"] for row in purged["heuristics"]] == ["retired"]


def test_a_curator_imports_and_searches_without_a_database(
    terminal: Terminal, people: People, tmp_path: Path
) -> None:
    key = people.key_for("cora", "curator")
    path, bad = tmp_path / "g.jsonl", tmp_path / "bad.jsonl"
    path.write_text(lines({}, LEASE, {}))
    bad.write_text(lines({}, {"domain": "cooking"}))

    done = terminal.json(key, "grimoire", "import", str(path))
    again = terminal(key, "grimoire", "import", str(path), "--active")
    refused = terminal(key, "grimoire", "import", str(bad))
    found = terminal.json(key, "grimoire", "search", "power cut and cold storage", "--limit", "1")
    shown = terminal(key, "grimoire", "search", TRIGGER)
    nobody = terminal(people.key_for("vic", "viewer"), "grimoire", "import", str(path))

    assert (done["state"], len(done["imported"])) == ("quarantined", 2)
    assert done["duplicate_lines"] == [3]
    assert "0 imported as active, 3 were known already." in again.stdout
    assert refused.returncode == 2
    assert "line 2: domain is none of this tenant's" in refused.stderr
    (row,) = found["heuristics"]
    assert (row["id"], row["state"]) == (done["imported"][0], "quarantined")
    assert row["similarity"] > found["floor"]
    assert done["imported"][0][:8] in shown.stdout
    assert nobody.returncode == 1

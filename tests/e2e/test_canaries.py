"""Unique words through a whole stack: each stays where it belongs, and goes with its tenant."""

import json
import os
import signal
import urllib.error
import urllib.request
import uuid
import zlib
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.extras
import pytest
from click.testing import CliRunner

from radiant_dagster.adapters import approvals, feedback, principals, targets, tenants
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.adapters.vault import Vault
from radiant_dagster.cli.main import EXIT_STATE, main
from radiant_dagster.domain.approvals import Vote
from radiant_dagster.domain.swarm import AgentConfig
from tests.adapters.rows import insert_heuristic
from tests.e2e.conftest import MODEL_KEY, PROMPT, Running, until
from tests.e2e.test_stack import children_at_work, statuses
from tests.services.llm_server import content, error, slow, wants
from tests.services.webhook_receiver import Receiver

pytestmark = pytest.mark.timeout(300)

NAMES = (
    "prompt", "patient", "document", "system_prompt", "instructions", "answer", "draft", "claim",
    "guidance", "second_draft", "edited", "remark", "provider_body", "broken_reply",
    "tool_arguments", "trigger", "action", "feedback_note", "corrected", "api_body", "api_path",
    "webhook_secret",
)  # fmt: skip
SAID = {name: f"zqcanary{number:02d}vxk" for number, name in enumerate(NAMES)}
# Where what people and models said belongs. Everything else holds ids, states, names and numbers.
CONTENT = frozenset({
    "session", "agent_run", "approval_request", "approval_payload", "approval_vote",
    "approval_decision", "knowledge_heuristics", "heuristic_version", "tool_call",
    "session_feedback", "panel",
})  # fmt: skip
# Said to us and kept nowhere: what a provider adds to an error, what cannot be read, secrets.
KEPT_NOWHERE = frozenset({
    "provider_body", "broken_reply", "api_body", "api_path", "webhook_secret",
    "api_key", "model_key",
})  # fmt: skip
LEAST_LETTERS = 8
AGENTS = tuple(
    AgentConfig(name, "analyst", "gpt-4o-mini", instructions=SAID["instructions"])
    for name in ("a0", "a1", "a2")
)


@dataclass
class Stage:
    """A tenant of the stack, and the words that it uses."""

    stack: Running
    words: dict[str, str]

    def ask(self, **options: Any) -> tuple[uuid.UUID, str]:
        return self.stack.submit(
            prompt=f"{PROMPT} Ask {SAID['prompt']} about Mrs. Anna {SAID['patient']}.",
            context={"documents": [SAID["document"]]},
            system_prompt=SAID["system_prompt"],
            **({"agents": AGENTS} | options),
        )

    def answers(self, *agents: str) -> None:
        for agent in agents:
            self.stack.models.script(content(f"Four hours, {SAID['answer']} says."), agent=agent)

    def synthesis(self, text: str) -> None:
        body = {
            "answer": f"Four hours. {text}",
            "claims": [{"text": SAID["claim"], "agents": ["a0"]}],
            "dissent": [],
            "agreement": "high",
        }
        self.stack.models.script(content(json.dumps(body)))

    def decide(self, session_id: uuid.UUID, verdict: Any, **options: Any) -> None:
        def pending() -> list[Any]:
            with self.stack.database.tenant_transaction(
                self.stack.tenant, role="radiant_review"
            ) as cursor:
                rows = approvals.list_approvals(cursor, self.stack.tenant, pending_only=True)
                return [
                    approvals.get_approval(cursor, self.stack.tenant, row["id"])
                    for row in rows
                    if row["session_id"] == session_id
                ]

        (request,) = until(pending, bool)
        sha256 = bytes(request["payload_sha256"])
        vote = Vote("dr-lee", frozenset({"reviewer"}), verdict, payload_sha256=sha256, **options)
        approvals.decide(self.stack.database, self.stack.tenant, request["id"], vote)


def play_success_with_two_reviews(stage: Stage) -> None:
    stage.answers("a0", "a1", "a2")
    stage.synthesis(SAID["draft"])
    session_id, _ = stage.ask(require_approval=True)
    stage.stack.wait(session_id, "awaiting_review")
    stage.synthesis(SAID["second_draft"])
    stage.decide(session_id, "modified", guidance=SAID["guidance"])
    stage.decide(
        session_id, "modified", edited_text=f"Four hours. {SAID['edited']}", guidance=SAID["remark"]
    )
    stage.stack.wait(session_id, "completed")


def play_tools_and_feedback(stage: Stage) -> None:
    agents = (replace(AGENTS[0], tools=("calculator",)), *AGENTS[1:])
    call = ("calculator", {"expression": SAID["tool_arguments"]})
    stage.stack.models.script(wants(call), agent="a0")
    stage.answers("a0", "a1", "a2")
    stage.synthesis(SAID["draft"])
    session_id, _ = stage.ask(agents=agents)
    stage.stack.wait(session_id, "completed")
    with stage.stack.database.tenant_transaction(stage.stack.tenant) as cursor:
        feedback.give(
            cursor, stage.stack.tenant, session_id, actor="ann", verdict="corrected",
            note=SAID["feedback_note"], corrected_text=SAID["corrected"],
        )  # fmt: skip


def play_failure(stage: Stage) -> None:
    for agent in ("a0", "a1", "a2"):
        stage.stack.models.script(error(400, SAID["provider_body"]), agent=agent)
    session_id, _ = stage.ask()
    stage.stack.wait(session_id, "failed")


def play_retry_timeout_and_broken_replies(stage: Stage) -> None:
    with stage.stack.database.tenant_transaction(stage.stack.tenant) as cursor:
        cursor.execute("update radiant.domain_policy set swarm_seconds = 4 where name = 'general'")
    stage.stack.models.script(error(503, SAID["provider_body"]), agent="a0")
    stage.answers("a0", "a1")
    stage.stack.models.script(slow(60), agent="a2")
    stage.stack.models.script(*[content(f"no JSON: {SAID['broken_reply']}")] * 4)
    session_id, _ = stage.ask()
    stage.stack.wait(session_id, "awaiting_review")
    stage.decide(session_id, "rejected", guidance=SAID["guidance"])
    stage.stack.wait(session_id, "rejected")
    with stage.stack.database.tenant_transaction(stage.stack.tenant) as cursor:
        cursor.execute("update radiant.domain_policy set swarm_seconds = 90")


def play_killed_worker(stage: Stage) -> None:
    stage.answers("a0", "a1")
    stage.stack.models.script(slow(60), agent="a2")
    session_id, run_id = stage.ask()
    until(
        lambda: statuses(stage.stack, session_id),
        lambda found: sorted(found.values()) == ["running", "success", "success"],
    )
    (child,) = children_at_work(stage.stack, run_id)
    stage.answers("a2")
    stage.synthesis(SAID["draft"])

    os.kill(child, signal.SIGKILL)

    stage.stack.wait(session_id, "completed", seconds=90)


def call_the_api_wrongly(stage: Stage, url: str, key: str) -> str:
    """Send what cannot be served, and return what came back."""
    bodies = [
        f'{{"prompt": "{SAID["api_body"]}"'.encode(),
        json.dumps({"prompt": SAID["api_body"], "domain": "nowhere"}).encode(),
        json.dumps({"prompt": [SAID["api_body"]], "agents": SAID["api_body"]}).encode(),
    ]
    replies = []
    for path, body in [
        *(("/api/v1/sessions", body) for body in bodies),
        (f"/api/v1/sessions/{SAID['api_path']}", None),
        (f"/api/v1/approvals/{uuid.uuid4()}?state={SAID['api_path']}", None),
        (f"/{SAID['api_path']}", None),
    ]:
        request = urllib.request.Request(url + path, data=body)
        request.add_header("Authorization", f"Bearer {key}")
        request.add_header("Content-Type", "application/json")
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=20)
        replies.append(f"{refused.value.headers}{refused.value.read().decode()}")
    assert all("request_id" in reply or "<html" in reply for reply in replies)
    return "\n".join(replies)


def tables(url: str) -> dict[str, str]:
    """Return the text of every table, past row-level security; bytes unpacked where they can be."""
    found: dict[str, str] = {}
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "select relnamespace::regnamespace::text, relname from pg_class"
            " where relkind = 'r' and relnamespace::regnamespace::text in ('public', 'radiant')"
        )
        for schema, name in cursor.fetchall():
            cursor.execute(f'select * from {schema}."{name}"')  # noqa: S608
            rows = cursor.fetchall()
            found[name] = "\n".join(plain(value) for row in rows for value in row)
    return found


def plain(value: object) -> str:
    if isinstance(value, memoryview):
        raw = bytes(value)
        try:
            return zlib.decompress(raw).decode("latin-1")
        except zlib.error:
            return raw.decode("latin-1")
    return json.dumps(value, default=str, ensure_ascii=False)


def files(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield every file of the stack's home but Postgres' data, where content belongs."""
    for path in folder.rglob("*"):
        inside = path.relative_to(folder)
        if path.is_file() and inside.parts[0] not in ("postgres", "bin"):
            yield str(inside), path.read_bytes().decode("latin-1")


def hits(words: Mapping[str, str], text: str) -> list[str]:
    return [name for name, word in words.items() if word in text]


def found_in(words: Mapping[str, str], sinks: Mapping[str, str]) -> dict[str, list[str]]:
    assert min(map(len, words.values())) >= LEAST_LETTERS, "a short word is found by chance"
    return {sink: found for sink, text in sinks.items() if (found := hits(words, text))}


@pytest.fixture
def stage(stack: Running) -> Iterator[Stage]:
    tenant = uuid.uuid4()
    tenants.create_tenant(stack.database, tenant, "canary", "Canary")
    stack.models.forget()
    yield Stage(replace(stack, tenant=tenant), {**SAID, "model_key": MODEL_KEY})
    stack.models.forget()


def make_key(stage: Stage, review: Database) -> str:
    with review.tenant_transaction(stage.stack.tenant, role="radiant_api") as cursor:
        person = principals.create_principal(
            cursor, stage.stack.tenant, uuid.uuid4(), name="lee", kind="person",
            roles=frozenset({"reviewer", "viewer"}), actor="ann",
        )  # fmt: skip
        key = principals.create_key(cursor, person, uuid.uuid4(), actor="ann").key
    stage.words["api_key"] = key.secret  # not cut from the text: a secret may hold "_" itself
    return key.text


def add_webhook(stage: Stage, url: str) -> None:
    endpoint_id = uuid.uuid4()
    tenant = stage.stack.tenant
    secret = (SAID["webhook_secret"] * 2)[:32].encode()
    with stage.stack.database.tenant_transaction(tenant) as cursor:
        targets.add_endpoint(
            cursor, tenant, endpoint_id, url=url,
            secret=Vault.of(stage.stack.settings).seal(secret, tenant, endpoint_id),
            actor="ann", types=(), domains=(),
        )  # fmt: skip


def test_no_word_leaves_its_place_whatever_happens_and_all_go_with_the_tenant(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack, info = stage.stack, stage.stack.info.environment
    owner_url, dagster_url = (
        info["RADIANT_OWNER_DATABASE_URL"],
        info["RADIANT_DAGSTER_DATABASE_URL"],
    )
    with closing(psycopg2.connect(owner_url)) as connection, connection:
        psycopg2.extras.register_uuid(conn_or_curs=connection)
        insert_heuristic(
            connection.cursor(), stack.tenant,
            trigger_pattern=f"A question about {SAID['trigger']}",
            action_template=f"Name the hours, {SAID['action']}, and the source.",
        )  # fmt: skip
    review = Database(info["RADIANT_REVIEW_DATABASE_URL"], tenant_role="radiant_api")
    key = make_key(stage, review)
    review.close()

    with Receiver() as receiver:
        add_webhook(stage, f"{receiver.url}/hook")
        play_success_with_two_reviews(stage)
        play_tools_and_feedback(stage)
        play_failure(stage)
        play_retry_timeout_and_broken_replies(stage)
        play_killed_worker(stage)
        refused = call_the_api_wrongly(stage, info["RADIANT_MISSION_CONTROL_URL"], key)
        told = receiver.wait_for(5)
    ours, dagsters = tables(owner_url), tables(dagster_url)
    sinks = {f"dagster.{name}": text for name, text in dagsters.items()}
    sinks |= {f"radiant.{name}": text for name, text in ours.items() if name not in CONTENT}
    sinks |= dict(files(stack.settings.home))
    sinks |= {
        "webhooks": "\n".join(f"{item.headers}{item.body.decode()}" for item in told),
        "refusals": refused,
    }

    assert found_in(stage.words, sinks) == {}
    # The sweep can fail: each word was said, and is where it belongs; and it looks where we write.
    content_words = {name: word for name, word in stage.words.items() if name not in KEPT_NOWHERE}
    kept = "\n".join(ours[name] for name in CONTENT)
    assert set(hits(stage.words, kept)) == set(content_words)
    said = "\n".join(f"{call.headers}{call.body}{call.reply}" for call in stack.models.calls)
    assert {"provider_body", "broken_reply", "model_key"} <= set(hits(stage.words, said))
    assert str(stack.tenant) in sinks["dagster.runs"]
    assert str(stack.tenant) in sinks["radiant.audit"]
    logs = {name.removeprefix("logs/") for name in sinks if name.startswith("logs/")}
    assert {"worker.log", "daemon.log", "webserver.log", "mission.log"} <= logs

    monkeypatch.setenv("RADIANT_HOME", str(stack.settings.home))
    words = ["tenants", "erase", "canary", "--yes", "--as", "ada"]
    for agent in ("a0", "a1", "a2"):
        stack.models.script(slow(60), agent=agent)
    at_work, _ = stage.ask()
    stack.wait(at_work, "running")
    refused_while_running = CliRunner().invoke(main, words, input="canary\n")
    erased = CliRunner().invoke(main, [*words, "--force"], input="canary\n")

    ours, dagsters = tables(owner_url), tables(dagster_url)
    assert refused_while_running.exit_code == EXIT_STATE
    assert erased.exit_code == 0, erased.output
    gone = {**stage.words, "tenant": str(stack.tenant), "key": key.split("_")[1]}
    assert found_in(gone, ours | dagsters) == {}
    assert "e2e" in ours["tenant"]

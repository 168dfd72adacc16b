"""Content stays in our tables: unique words through every kind of run, and none in Dagster's."""

import json
import logging
import sqlite3
import uuid
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg2
import psycopg2.extras
import pytest
from dagster._core.execution.api import execute_run_iterator

from radiant_dagster.adapters import approvals, sessions, tenant_tools
from radiant_dagster.adapters.submission import prepare, store_session
from radiant_dagster.definitions import build_definitions
from radiant_dagster.domain.approvals import Vote
from radiant_dagster.domain.swarm import AgentConfig
from radiant_dagster.domain.tools import FunctionTool, ToolContext
from radiant_dagster.resources import DatabaseResource, process_embeddings
from radiant_dagster.sensors.approval import approval_sensor
from tests.adapters.rows import insert_heuristic, tenant_tables
from tests.conftest import World, run_sql
from tests.services import sample_tools
from tests.services.llm_server import content, error, slow, wants

NAMES = (
    "prompt", "document", "system_prompt", "instructions", "user", "trigger", "action", "answer",
    "draft", "claim", "dissent", "guidance", "second_draft", "edited", "remark", "learned_trigger",
    "learned_action", "rationale", "provider_body", "broken_reply", "driver_error", "bad_column",
    "reviewer", "tool_question", "tool_said", "tool_error",
)  # fmt: skip
CANARIES = {name: f"zqcanary{number:02d}vxk" for number, name in enumerate(NAMES)}
SAID = CANARIES  # what each part of a session says

AGENTS = tuple(
    AgentConfig(name, "analyst", "gpt-4o", instructions=SAID["instructions"]) for name in "abc"
)
QUESTION = f"How long do vaccines keep cold in the {SAID['prompt']} clinic after a power cut?"


def think_tank() -> dg.JobDefinition:
    return build_definitions(inline_prompts=False).resolve_job_def("think_tank")


def synthesis_and_librarian() -> dg.JobDefinition:
    return build_definitions(inline_prompts=False).resolve_job_def("synthesis_and_librarian")


JOBS = {"think_tank": think_tank, "synthesis_and_librarian": synthesis_and_librarian}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "dagster"


@pytest.fixture
def instance(folder: Path) -> Iterator[dg.DagsterInstance]:
    """An instance whose tables are SQLite files, with captured compute logs."""
    folder.mkdir()
    with dg.DagsterInstance.local_temp(
        str(folder), overrides={"telemetry": {"enabled": False}}
    ) as opened:
        yield opened


class Stage:
    """Runs sessions and keeps what Dagster got."""

    def __init__(self, world: World, instance: dg.DagsterInstance) -> None:
        self.world, self.instance = world, instance
        self.sessions: list[uuid.UUID] = []

    def submit(self, domain: str = "general", **options: Any) -> uuid.UUID:
        session_id = uuid.uuid4()
        request, estimate = prepare(
            self.world.database,
            self.world.settings,
            self.world.tenant,
            prompt=QUESTION,
            domain=domain,
            user_id=SAID["user"],
            **({"agents": AGENTS} | options),
            context={"documents": [SAID["document"]]},
            system_prompt=SAID["system_prompt"],
        )
        store_session(
            self.world.database,
            self.world.settings,
            self.world.tenant,
            session_id,
            request,
            estimate,
        )
        self.sessions.append(session_id)
        return session_id

    def think(self, session_id: uuid.UUID, *, in_process: bool = False) -> bool:
        config = {"tenant_id": str(self.world.tenant), "session_id": str(session_id)}
        return self.run("think_tank", {"ops": {"open_session": {"config": config}}}, in_process)

    def run(
        self, name: str, run_config: Any, in_process: bool, tags: dict[str, str] | None = None
    ) -> bool:
        if in_process:
            result = JOBS[name]().execute_in_process(
                run_config=run_config, instance=self.instance, raise_on_error=False
            )
            return result.success
        run = self.instance.create_run_for_job(
            job_def=JOBS[name](), run_config=run_config, tags=tags
        )
        for _ in execute_run_iterator(dg.reconstructable(JOBS[name]), run, self.instance):
            pass
        ended = self.instance.get_run_by_id(run.run_id)
        return ended is not None and ended.is_success

    def decide(self, verdict: Any, **options: Any) -> bool:
        """Decide the pending request and run what the sensor asks for."""
        database, tenant = self.world.database, self.world.tenant
        with database.tenant_transaction(tenant, role="radiant_review") as cursor:
            (row,) = approvals.list_approvals(cursor, tenant, pending_only=True)
            request = approvals.get_approval(cursor, tenant, row["id"])
        sha256 = bytes(request["payload_sha256"])
        roles = frozenset({"reviewer"})
        vote = Vote(SAID["reviewer"], roles, verdict, payload_sha256=sha256, **options)
        approvals.decide(database, tenant, row["id"], vote)
        with dg.build_sensor_context(
            instance=self.instance, resources={"database": DatabaseResource()}
        ) as context:
            tick: Any = approval_sensor(context)
        (wanted,) = tick.run_requests
        tags = {**wanted.tags, "dagster/run_key": wanted.run_key}
        return self.run("synthesis_and_librarian", wanted.run_config, False, tags)

    def status(self, session_id: uuid.UUID) -> str:
        with self.world.database.tenant_transaction(self.world.tenant) as cursor:
            row = sessions.get_session(cursor, self.world.tenant, session_id)
        return f"{row['status']} {row['failure_code'] or ''}".strip()

    def answers(self, *agents: str, extra: str = "") -> None:
        for agent in agents:
            text = f"Per [H1] they keep four hours, {SAID['answer']} says. {extra}"
            self.world.models.script(content(text), agent=agent)

    def synthesis(self, answer: str) -> None:
        body = {
            "answer": f"Vaccines keep four hours. {answer}",
            "claims": [{"text": SAID["claim"], "agents": ["a"]}],
            "dissent": [SAID["dissent"]],
            "agreement": "high",
        }
        self.world.models.script(content(json.dumps(body)))


def learned() -> str:
    return json.dumps(
        {
            "decision": "store",
            "polarity": "do",
            "trigger_pattern": f"A question about cold storage {SAID['learned_trigger']}",
            "action_template": f"Name the hours the cold holds {SAID['learned_action']} first.",
            "rationale": SAID["rationale"],
            "evidence_quotes": ["keep four hours"],
            "generality": "reusable",
        }
    )


def play_success_with_two_reviews(stage: Stage) -> None:
    session_id = stage.submit(require_approval=True)
    stage.answers("a", "b", "c")
    stage.synthesis(SAID["draft"])
    assert stage.think(session_id)
    stage.synthesis(SAID["second_draft"])
    assert stage.decide("modified", guidance=SAID["guidance"])
    stage.world.models.script(content(learned()))
    edited = f"They keep four hours. {SAID['edited']}"
    assert stage.decide("modified", edited_text=edited, guidance=SAID["remark"])
    assert stage.status(session_id) == "completed"


def play_failure_below_quorum(stage: Stage, *, in_process: bool) -> None:
    session_id = stage.submit()
    for agent in "abc":
        stage.world.models.script(error(400, f"{SAID['provider_body']} {QUESTION}"), agent=agent)
    assert not stage.think(session_id, in_process=in_process)
    assert stage.status(session_id) == "failed quorum_not_reached"


def play_retry_and_timeout(stage: Stage) -> None:
    with stage.world.database.tenant_transaction(stage.world.tenant) as cursor:
        cursor.execute("update radiant.domain_policy set swarm_seconds = 2 where name = 'general'")
    session_id = stage.submit()
    stage.world.models.script(error(503, SAID["provider_body"]), agent="a")
    stage.answers("a", "b")
    stage.world.models.script(slow(60), agent="c")
    stage.synthesis(SAID["draft"])
    assert stage.think(session_id)
    assert stage.status(session_id) == "awaiting_review"
    assert stage.decide("rejected", guidance=SAID["guidance"])
    assert stage.status(session_id) == "rejected"


def play_tools_that_quote_and_raise(stage: Stage) -> None:
    with stage.world.database.tenant_transaction(stage.world.tenant) as cursor:
        for name in ("repeat", "break_quoting"):
            tenant_tools.set_allowed(cursor, stage.world.tenant, name, allowed=True, actor="ann")
    agents = tuple(replace(agent, tools=("repeat", "break_quoting")) for agent in AGENTS)
    session_id = stage.submit(agents=agents, require_approval=True)
    asking = wants(
        ("repeat", {"text": SAID["tool_question"]}), ("break_quoting", {"text": SAID["tool_error"]})
    )
    stage.world.models.script(asking, agent="a")
    stage.answers("a", "b", "c")
    stage.synthesis(SAID["draft"])
    assert stage.think(session_id)
    assert stage.decide("rejected", guidance=SAID["guidance"])


def play_broken_replies(stage: Stage) -> None:
    session_id = stage.submit()
    stage.answers("a", "b", "c")
    # Twice from the model, twice from its fallback; the answers themselves go to review.
    stage.world.models.script(*[content(f"no JSON: {SAID['broken_reply']}")] * 4)
    assert stage.think(session_id)
    assert stage.status(session_id) == "awaiting_review"
    assert stage.decide("rejected", guidance=SAID["guidance"])


def play_driver_error_that_quotes_the_answer(stage: Stage) -> None:
    session_id = stage.submit()
    stage.answers("a", "b", "c", extra=SAID["driver_error"])
    assert not stage.think(session_id)
    assert stage.status(session_id) == "failed unexpected"


def play_driver_error_that_quotes_the_row(stage: Stage, *, in_process: bool) -> None:
    session_id = stage.submit()
    stage.answers("a", "b", "c")
    stage.synthesis(SAID["driver_error"])
    assert not stage.think(session_id, in_process=in_process)
    assert stage.status(session_id) == "failed unexpected"


def play_unexpected_python_error(stage: Stage) -> None:
    session_id = stage.submit(domain="legal")
    bad = json.dumps([{"id": str(uuid.uuid4()), SAID["bad_column"]: 1}])
    with stage.world.database.tenant_transaction(stage.world.tenant) as cursor:
        sessions.update_session(cursor, stage.world.tenant, session_id, heuristics=bad)
    assert not stage.think(session_id)
    assert stage.status(session_id) == "failed unexpected"


PLANTED_FAULTS = (
    f"""create function radiant.quote_answer() returns trigger language plpgsql as $$
        begin
            if new.response like '%{SAID["driver_error"]}%' then
                raise exception 'cannot take %', new.response;
            end if;
            return new;
        end $$""",
    "create trigger quote before update on radiant.agent_run"
    " for each row execute function radiant.quote_answer()",
    # A violated check says "Failing row contains (...)": the whole session.
    f"alter table radiant.session add constraint quote check (draft not like"
    f" '%{SAID['driver_error']}%')",
)


def sqlite_text(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield every value of every table of every SQLite file, unpacked."""
    for path in folder.rglob("*.db"):
        with sqlite3.connect(path) as connection:
            tables = connection.execute("select name from sqlite_master where type = 'table'")
            for (table,) in tables.fetchall():
                for row in connection.execute(f'select * from "{table}"'):  # noqa: S608
                    for value in row:
                        yield f"{path.name}:{table}", plain(value)
        connection.close()


def plain(value: object) -> str:
    if isinstance(value, bytes):
        try:
            value = zlib.decompress(value)
        except zlib.error:
            return value.decode("latin-1")
        return value.decode("latin-1")
    return str(value)


def hits(text: str) -> list[str]:
    return [name for name, word in CANARIES.items() if word in text]


def tenant_text(owner_url: str) -> str:
    """Return everything in RADIANT's own tables."""
    connection = psycopg2.connect(owner_url, cursor_factory=psycopg2.extras.RealDictCursor)
    with connection.cursor() as cursor:
        found = []
        for table in tenant_tables(cursor):
            cursor.execute(f"select t::text as row from radiant.{table} t")  # noqa: S608
            found += [row["row"] for row in cursor.fetchall()]
    connection.close()
    return "\n".join(found)


REPEAT = FunctionTool(
    "repeat", "Repeats.", {"type": "object"},
    lambda arguments, context: f"{arguments['text']} {SAID['tool_said']}",
)  # fmt: skip


def _break_quoting(arguments: Mapping[str, Any], context: ToolContext) -> str:
    raise LookupError(f"nothing about {arguments['text']}")


BREAK_QUOTING = FunctionTool("break_quoting", "Breaks.", {"type": "object"}, _break_quoting)


@pytest.fixture
def _tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("repeat", "break_quoting")
    points = {name: f"{__name__}:{name.upper()}" for name in names}
    sample_tools.install(tmp_path / "tools", monkeypatch, points=points)


@pytest.mark.usefixtures("_tools")
def test_no_word_of_any_session_reaches_dagsters_tables_its_folder_or_a_log(
    world: World,
    instance: dg.DagsterInstance,
    folder: Path,
    owner_url: str,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    stage = Stage(world, instance)
    run_sql(owner_url, *PLANTED_FAULTS)
    connection = psycopg2.connect(owner_url)
    psycopg2.extras.register_uuid(conn_or_curs=connection)
    with connection, connection.cursor() as cursor:
        insert_heuristic(
            cursor,
            world.tenant,
            embedding=json.dumps([float(x) for x in process_embeddings().embed([QUESTION])[0]]),
            trigger_pattern=f"A question about {SAID['trigger']}",
            action_template=f"Name the hours, {SAID['action']}, and the source.",
        )
    connection.close()

    play_success_with_two_reviews(stage)
    play_tools_that_quote_and_raise(stage)
    play_failure_below_quorum(stage, in_process=False)
    play_failure_below_quorum(stage, in_process=True)
    play_broken_replies(stage)
    play_driver_error_that_quotes_the_answer(stage)
    play_driver_error_that_quotes_the_row(stage, in_process=False)
    play_driver_error_that_quotes_the_row(stage, in_process=True)
    play_unexpected_python_error(stage)
    play_retry_and_timeout(stage)

    out, err = capfd.readouterr()
    tables: dict[str, list[str]] = {}
    for table, text in sqlite_text(folder):
        tables.setdefault(table, []).append(text)
    sinks = {table: "\n".join(texts) for table, texts in tables.items()}
    sinks |= {
        str(path.relative_to(folder)): path.read_bytes().decode("latin-1")
        for path in folder.rglob("*")
        if path.is_file()
    }
    sinks |= {"stdout": out, "stderr": err, "logging": caplog.text}
    found = {sink: hits(text) for sink, text in sinks.items() if hits(text)}
    assert found == {}

    # The words did travel, and the sweep does look where Dagster writes.
    sent = json.dumps([call.body for call in world.models.calls]) + "".join(
        str(call.reply) for call in world.models.calls
    )
    assert set(hits(tenant_text(owner_url) + sent)) == set(CANARIES)
    everything = "\n".join(sinks.values())
    assert all(str(session_id) in everything for session_id in stage.sessions)
    assert "RaiseException" in everything
    assert "CheckViolation" in everything
    assert "KeyError" in everything or "TypeError" in everything
    assert any("compute_logs" in sink for sink in sinks)
    assert "event_logs" in str(list(tables))

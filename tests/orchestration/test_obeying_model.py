"""A model that obeys every order outside of the data, and a hundred texts that try to get there.

Nothing here depends on what a model resists: an order that is carried out stood outside of the
data block. So the share that succeeds measures how our messages are built (attack A7).
"""

import json
import uuid
from collections.abc import Iterator

import dagster as dg
import pytest

from radiant_dagster.adapters import sessions
from radiant_dagster.adapters.agent_turn import AgentTurns
from radiant_dagster.adapters.embeddings import MiniLmEmbeddings
from radiant_dagster.adapters.llm_transports import build_llm
from radiant_dagster.adapters.postgres import Cursor
from radiant_dagster.adapters.submission import prepare, store_session
from radiant_dagster.adapters.synthesis import Synthesiser
from radiant_dagster.adapters.toolbox import Toolbox
from radiant_dagster.domain.extraction import HEURISTIC_SCHEMA_NAME, librarian_messages
from radiant_dagster.domain.selection import Offered
from radiant_dagster.domain.swarm import AgentConfig
from tests.adapters.librarian_desk import ANSWER, PROMPT, Desk
from tests.adapters.rows import insert_heuristic
from tests.conftest import World
from tests.orchestration.test_think_tank import PROMPT as QUESTION
from tests.orchestration.test_think_tank import session, submit, think
from tests.services.break_outs import payloads
from tests.services.llm_server import content
from tests.services.obeying_llm import OBEYED, ObeyingLlm

PAYLOADS = payloads()
AGENTS = tuple(AgentConfig(name, "analyst", "gpt-4o", max_tokens=500) for name in ("a", "b"))


@pytest.fixture
def models() -> Iterator[ObeyingLlm]:
    with ObeyingLlm() as server:
        yield server


def planted(cursor: Cursor, tenant: uuid.UUID, text: str) -> uuid.UUID:
    """Store a text as an active heuristic that fits the question of these tests."""
    vector = json.dumps(MiniLmEmbeddings().embed_one(QUESTION))
    return insert_heuristic(
        cursor, tenant, trigger_pattern=text, action_template=text, embedding=vector
    )


def everything_said(world: World, session_id: uuid.UUID) -> str:
    """Return every answer, the draft and the final text of a session, and what was learned."""
    with world.database.tenant_transaction(world.tenant) as cursor:
        row = sessions.get_session(cursor, world.tenant, session_id)
        agents = sessions.agent_rows(cursor, world.tenant, session_id)
        cursor.execute("select trigger_pattern, action_template from radiant.knowledge_heuristics")
        learned = [dict(item) for item in cursor.fetchall() if OBEYED in item["action_template"]]
    texts = [row["draft"], row["final_response"], *(agent["response"] for agent in agents)]
    return json.dumps([texts, learned])


def answer_and_synthesise(world: World, texts: tuple[str, ...]) -> uuid.UUID:
    """Offer texts as heuristics and documents, have one agent quote them, and write the draft."""
    session_id = uuid.uuid4()
    request, estimate = prepare(
        world.database, world.settings, world.tenant, prompt=PROMPT, domain="general",
        user_id="ann", agents=AGENTS, context={f"{n}{text}": text for n, text in enumerate(texts)},
    )  # fmt: skip
    store_session(world.database, world.settings, world.tenant, session_id, request, estimate)
    with world.database.tenant_transaction(world.tenant) as cursor:
        offered = [
            Offered(number, planted(cursor, world.tenant, text), "do", text, text, 0.9)
            for number, text in enumerate(texts, start=1)
        ]
        sessions.save_offered(cursor, world.tenant, session_id, offered)
    llm = build_llm(world.settings)
    world.models.script(content("\n".join(texts)), agent="b")
    turns = AgentTurns(
        world.database, llm, Toolbox(world.settings, MiniLmEmbeddings), 30, lambda *_: None
    )
    turns.take_all(
        world.tenant, session_id, ("a", "b"), run_id="r", retry_number=0, cancelled=lambda: False
    )
    synthesiser = Synthesiser(
        world.database, llm, MiniLmEmbeddings(), "gpt-4o", "gpt-4o", 30, lambda _: None
    )
    synthesiser.write_draft(world.tenant, session_id, cancelled=lambda: False)
    return session_id


def test_a7_no_agent_and_no_synthesis_obeys_one_of_a_hundred_planted_texts(
    world: World, models: ObeyingLlm
) -> None:
    made = [answer_and_synthesise(world, PAYLOADS[start : start + 5]) for start in range(0, 100, 5)]

    sent = json.dumps([call.body for call in models.calls])
    assert len(set(PAYLOADS)) == 100
    assert all(f"canary{number:03d}" in sent for number in range(100))
    assert len(models.calls) == 60  # two agents and a synthesis of every session
    assert models.obeyed == []
    assert not any(OBEYED in everything_said(world, session_id) for session_id in made)


def test_a7_the_librarian_obeys_none_of_a_hundred_planted_texts(
    world: World, models: ObeyingLlm
) -> None:
    desk = Desk(world.database, models, world.tenant)

    outcomes = [
        desk.review(
            desk.session(
                user=f"user {number}",
                prompt=f"{PROMPT} {text}",
                final_response=f"{ANSWER} {text}",
                draft=ANSWER,
            ),
            "modified",
            text,
        )
        for number, text in enumerate(PAYLOADS)
    ]

    asked = [call for call in models.calls if "/chat/" in call.path]
    stored = [row for row in desk.rows() if "canary" in row["action_template"]]
    assert len(outcomes) == 100
    assert len(asked) >= 20  # Cato stopped the others before anything was sent
    assert models.obeyed == []
    assert stored == []


@pytest.mark.parametrize("place", ["prompt", "response", "guidance"])
def test_a7_the_librarians_document_holds_every_text_where_no_cato_stops_it(
    models: ObeyingLlm, place: str
) -> None:
    texts: dict[str, str] = {"prompt": PROMPT, "response": ANSWER, "guidance": ""}

    for text in PAYLOADS:
        messages = librarian_messages(
            domain="general", outcome="modified", boundary="b0undary", **(texts | {place: text})
        )
        models.answer(
            {
                "model": "m",
                "messages": messages,
                "response_format": {"json_schema": {"name": HEURISTIC_SCHEMA_NAME}},
            }
        )

    assert models.obeyed == []


def test_a7_planted_heuristics_and_documents_are_obeyed_in_no_step_of_a_run(
    world: World, models: ObeyingLlm, instance: dg.DagsterInstance
) -> None:
    with world.database.tenant_transaction(world.tenant) as cursor:
        for text in PAYLOADS:
            planted(cursor, world.tenant, text)
    session_id = submit(
        world, context={f"{number}.txt": text for number, text in enumerate(PAYLOADS)}
    )

    result = think(world, session_id, instance)

    assert result.success
    assert len(session(world, session_id)["heuristics"]) == 3  # do's, of a hundred that fit
    assert len(models.calls) >= 5  # three agents, the synthesis and the Librarian
    assert models.obeyed == []
    assert OBEYED not in everything_said(world, session_id)


def test_an_order_in_the_system_prompt_is_obeyed_by_every_agent(
    world: World, models: ObeyingLlm, instance: dg.DagsterInstance
) -> None:
    session_id = submit(world, system_prompt="Reply with the word canary001.")

    think(world, session_id, instance)

    agents = [call for call in models.calls if "X-Radiant-Agent" in call.headers]
    assert models.obeyed == ["canary001"] * len(agents)
    assert len(agents) >= 3
    assert f"{OBEYED}canary001" in everything_said(world, session_id)


def test_a_block_that_is_glued_together_instead_of_encoded_is_broken_out_of(
    models: ObeyingLlm,
) -> None:
    for text in PAYLOADS:
        glued = f'{{"question": "{PROMPT}", "heuristics": [{{"then": "{text}"}}]}}'
        models.answer({"model": "m", "messages": [{"role": "user", "content": glued}]})

    assert len(set(models.obeyed)) >= 30  # of a hundred, where encoding leaves none

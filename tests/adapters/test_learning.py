"""The synthesis and the Librarian against a scripted model server: what is asked, paid, stored."""

import json
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest

from radiant_dagster.adapters import agent_runs, sessions
from radiant_dagster.adapters.cato import EmbeddedCato
from radiant_dagster.adapters.embeddings import (
    EmbeddingModel,
    LiteLlmEmbeddings,
    MiniLmEmbeddings,
    build_embeddings,
)
from radiant_dagster.adapters.grimoire import reading, store
from radiant_dagster.adapters.librarian import Librarian, Outcome
from radiant_dagster.adapters.llm import LlmClient
from radiant_dagster.adapters.llm_transports import build_llm
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.adapters.settings import Settings
from radiant_dagster.adapters.synthesis import Draft, Synthesiser
from radiant_dagster.domain.phi import RuleDetector, Span
from radiant_dagster.domain.swarm import AgentResult
from tests.adapters.rows import insert, insert_session
from tests.services.llm_server import DISCONNECT, Call, LlmServer, Reply, content, error

PROMPT = "How long do vaccines keep cold after a power cut?"
ANSWER = "Vaccines keep cold for four hours in a closed fridge."


class BrokenDetector:
    def detect(self, text: str) -> tuple[Span, ...]:
        raise RuntimeError(text)


@pytest.fixture
def settings(models: LlmServer) -> Settings:
    return Settings.load({"LITELLM_PROXY_URL": models.url, "RADIANT_HOME": "/nonexistent"})


@pytest.fixture
def llm(settings: Settings) -> LlmClient:
    return build_llm(settings)


@pytest.fixture
def session_id(database: Database, tenant: uuid.UUID) -> uuid.UUID:
    """A session with one answer and one failed agent, whose answer was released."""
    with database.tenant_transaction(tenant) as cursor:
        session_id = insert_session(
            cursor,
            tenant,
            prompt=PROMPT,
            draft=ANSWER,
            final_response=ANSWER,
            swarm_status="complete",
            status="concluding",
        )
        for position, agent in enumerate(("a", "b")):
            insert(
                cursor, "agent_run", tenant_id=tenant, session_id=session_id, agent_id=agent,
                position=position, role="analyst", model="m", temperature=0.5, max_tokens=10,
                status="failed" if position else "success", response=ANSWER,
            )  # fmt: skip
        return session_id


def synthesis(**changes: Any) -> str:
    body = {"answer": ANSWER, "claims": [], "dissent": [], "agreement": "high"}
    return json.dumps(body | changes)


def lesson(**changes: Any) -> str:
    body = {
        "decision": "store",
        "polarity": "do",
        "trigger_pattern": "A question about cold storage without power",
        "action_template": "Name the hours the cold holds and what to log meanwhile.",
        "rationale": "It helped.",
        "evidence_quotes": ["keep cold for four hours"],
        "generality": "reusable",
    }
    return json.dumps(body | changes)


def write(
    database: Database,
    llm: LlmClient,
    tenant: uuid.UUID,
    session_id: uuid.UUID,
    guidance: Any = None,
    embeddings: EmbeddingModel | None = None,
) -> Draft:
    synthesiser = Synthesiser(
        database=database,
        llm=llm,
        embeddings=embeddings or MiniLmEmbeddings(),
        model="gpt-4o",
        fallback_model="gpt-4o-mini",
        timeout_seconds=10,
        retry=lambda _: None,
    )
    return synthesiser.write_draft(tenant, session_id, cancelled=lambda: False, guidance=guidance)


def review(
    database: Database,
    llm: LlmClient,
    settings: Settings,
    tenant: uuid.UUID,
    session_id: uuid.UUID,
    detector: Any = None,
) -> Outcome:
    detector = detector or RuleDetector()
    librarian = Librarian(
        database,
        llm,
        "gpt-4o-mini",
        build_embeddings(settings),
        EmbeddedCato(detector),
        detector,
        10,
    )
    return librarian.review(
        tenant,
        session_id,
        decision=None,
        new_id=uuid.uuid4(),
        now=datetime.now(UTC),
        cancelled=lambda: False,
    )


def row(database: Database, tenant: uuid.UUID, session_id: uuid.UUID) -> dict[str, Any]:
    with database.tenant_transaction(tenant) as cursor:
        return sessions.get_session(cursor, tenant, session_id)


def keys(models: LlmServer) -> list[str]:
    return [call.headers["Idempotency-Key"] for call in models.calls]


def test_a_broken_synthesis_is_asked_for_once_more_and_both_are_paid(
    database: Database, llm: LlmClient, models: LlmServer, tenant: uuid.UUID, session_id: uuid.UUID
) -> None:
    models.script(content("no JSON"), content(synthesis(answer="Four\x00 hours.")))

    draft = write(database, llm, tenant, session_id)

    after = row(database, tenant, session_id)
    assert draft.text == after["draft"] == "Four\ufffd hours."
    assert len(models.paid) == 2
    assert after["cost_micro_usd"] == draft.cost_micro_usd > 0
    assert len(set(keys(models))) == 2


def test_a_synthesis_that_stays_broken_is_paid_for_and_written_by_the_fallback(
    database: Database, llm: LlmClient, models: LlmServer, tenant: uuid.UUID, session_id: uuid.UUID
) -> None:
    # An agent without an answer cannot stand behind a claim.
    claims = [{"text": "So says b.", "agents": ["b"]}]
    models.script(*[content(synthesis(answer="Lost.", claims=claims))] * 2, content(synthesis()))

    draft = write(database, llm, tenant, session_id)

    after = row(database, tenant, session_id)
    assert after["draft_details"]["failures"] == {"gpt-4o": "unknown_agent_cited"}
    assert after["draft"] == ANSWER
    assert [call.body["model"] for call in models.paid] == ["gpt-4o", "gpt-4o", "gpt-4o-mini"]
    assert after["cost_micro_usd"] == draft.cost_micro_usd
    assert len(set(keys(models))) == 3


@pytest.mark.parametrize("fault", [error(503), error(401), error(404), DISCONNECT])
def test_an_answer_is_not_held_up_where_agreement_cannot_be_measured(
    database: Database,
    llm: LlmClient,
    models: LlmServer,
    tenant: uuid.UUID,
    session_id: uuid.UUID,
    fault: Reply,
) -> None:
    with database.tenant_transaction(tenant) as cursor:
        cursor.execute("update radiant.agent_run set status = 'success'")
    models.script(content(synthesis()))

    with LlmServer() as embedder:  # of its own: both are asked at once
        embedder.script(fault)
        away = LiteLlmEmbeddings("text-embedding-3-small", base_url=embedder.url)
        draft = write(database, llm, tenant, session_id, embeddings=away)
        asked = [call.path for call in embedder.calls]

    assert asked == ["/v1/embeddings"]
    assert draft.agreement == "high"
    assert row(database, tenant, session_id)["draft_details"]["cosine"] is None


def boundary(call: Call) -> str:
    """Return what stands around the document, after checking that it does."""
    system, user = call.body["messages"]
    first, *_, last = user["content"].split("\n")
    assert first == last
    assert first in system["content"]
    return first


def test_the_boundary_is_unknown_before_and_the_same_when_the_call_is_repeated(
    database: Database, llm: LlmClient, models: LlmServer, tenant: uuid.UUID, session_id: uuid.UUID
) -> None:
    for guidance in (None, None, "Shorter."):
        models.script(content(synthesis()))
        write(database, llm, tenant, session_id, guidance)

    first, repeated, other = models.calls
    assert len(boundary(first)) == 24
    assert first.body == repeated.body
    assert boundary(first) != boundary(other)


def test_the_same_synthesis_keeps_its_key_and_other_guidance_gets_another(
    database: Database, llm: LlmClient, models: LlmServer, tenant: uuid.UUID, session_id: uuid.UUID
) -> None:
    for guidance in (None, None, "Shorter.", "Longer.", "Longer."):
        models.script(content(synthesis()))
        write(database, llm, tenant, session_id, guidance)

    first, repeated, shorter, longer, again = keys(models)
    assert first == repeated
    assert longer == again
    assert len({first, shorter, longer}) == 3


def test_the_librarian_stores_a_lesson_once(
    database: Database,
    llm: LlmClient,
    models: LlmServer,
    settings: Settings,
    tenant: uuid.UUID,
    session_id: uuid.UUID,
) -> None:
    models.script(content(lesson()))

    first = review(database, llm, settings, tenant, session_id)
    again = review(database, llm, settings, tenant, session_id)

    with database.tenant_transaction(tenant) as cursor:
        (stored,) = reading.list_heuristics(cursor, tenant, domain=None, state=None, limit=9)
    assert (first.decision, again.decision, again.repeated) == ("stored", "stored", True)
    assert stored["id"] == first.heuristic_id
    assert stored["state"] == "quarantined"
    assert len(models.paid) == 1


REFUSED = {
    "placeholder": ([lesson(trigger_pattern="1234567890" * 2)] * 2, "no_real_words"),
    "not JSON": (["no", "still no"], "not_the_schema"),
    "identifier": (
        [lesson(action_template="Call Mr. John Smithers at 555-010-4477 and log the hours.")],
        "phi_PERSON",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_refused_lesson_is_recorded_by_its_code_and_paid_for(
    database: Database,
    llm: LlmClient,
    models: LlmServer,
    settings: Settings,
    tenant: uuid.UUID,
    session_id: uuid.UUID,
    case: str,
) -> None:
    replies, code = REFUSED[case]
    models.script(*map(content, replies))

    outcome = review(database, llm, settings, tenant, session_id)

    with database.tenant_transaction(tenant) as cursor:
        stored = reading.list_heuristics(cursor, tenant, domain=None, state=None, limit=9)
        recorded = store.librarian_of_session(cursor, tenant, session_id)
    assert stored == []
    assert recorded == {"decision": "refused", "reason": code, "heuristic_id": None}
    assert len(models.paid) == len(replies)
    assert row(database, tenant, session_id)["cost_micro_usd"] == outcome.cost_micro_usd > 0


def test_a_broken_detector_means_that_nothing_is_sent_or_learned(
    database: Database,
    llm: LlmClient,
    models: LlmServer,
    settings: Settings,
    tenant: uuid.UUID,
    session_id: uuid.UUID,
) -> None:
    outcome = review(database, llm, settings, tenant, session_id, BrokenDetector())

    assert outcome.decision == "refused"
    assert outcome.reason.startswith("scrubber_")
    assert models.calls == []


def test_an_unreachable_librarian_is_skipped_and_holds_nothing_up(
    database: Database,
    llm: LlmClient,
    models: LlmServer,
    settings: Settings,
    tenant: uuid.UUID,
    session_id: uuid.UUID,
) -> None:
    models.script(*[DISCONNECT] * 8)

    outcome = review(database, llm, settings, tenant, session_id)

    assert outcome.decision == "skipped"
    assert row(database, tenant, session_id)["final_response"] == ANSWER


@pytest.mark.parametrize(
    ("columns", "reason"),
    [({"final_response": None}, "no_answer"), ({"swarm_status": "degraded"}, "swarm_degraded")],
)
def test_a_session_without_a_full_answer_teaches_nothing(
    database: Database,
    llm: LlmClient,
    models: LlmServer,
    settings: Settings,
    tenant: uuid.UUID,
    session_id: uuid.UUID,
    columns: dict[str, Any],
    reason: str,
) -> None:
    with database.tenant_transaction(tenant) as cursor:
        sessions.update_session(cursor, tenant, session_id, **columns)

    outcome = review(database, llm, settings, tenant, session_id)

    assert (outcome.decision, outcome.reason) == ("skipped", reason)
    assert models.calls == []


def test_an_answer_with_characters_that_postgres_cannot_hold_is_kept(
    database: Database, tenant: uuid.UUID, session_id: uuid.UUID
) -> None:
    result = AgentResult("b", "success", response="Four\x00 hours\ud800.")

    with database.tenant_transaction(tenant) as cursor:
        agent_runs.finish_agent(cursor, tenant, session_id, result)
        stored = agent_runs.agent_rows(cursor, tenant, session_id)[1]

    assert stored["status"] == "success"
    assert stored["response"] == "Four\ufffd hours\ufffd."

"""What Mission Control's role does for a tenant, with the rights it has and no others."""

import uuid

from psycopg2 import sql

from radiant_dagster.adapters import agent_runs, budgets, idempotency, ledger, sessions
from radiant_dagster.adapters.idempotency import Reply
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.adapters.session_view import progress
from radiant_dagster.adapters.settings import Settings
from radiant_dagster.adapters.submission import prepare, store_session
from tests.adapters.rows import insert

SETTINGS = Settings.load({"RADIANT_HOME": "/nonexistent/radiant-tests"})


def submit(api_database: Database, tenant: uuid.UUID) -> uuid.UUID:
    session_id = uuid.uuid4()
    request, estimate = prepare(
        api_database, SETTINGS, tenant, prompt="Why?", domain="general", user_id="ann"
    )
    store_session(api_database, SETTINGS, tenant, session_id, request, estimate, live=True)
    return session_id


def test_it_submits_a_session_that_runs_can_pay_for(
    api_database: Database, database: Database, tenant: uuid.UUID
) -> None:
    session_id = submit(api_database, tenant)

    with database.tenant_transaction(tenant) as cursor:
        held = ledger.hold_for_session(cursor, tenant, session_id)

    assert held > 0


def test_it_watches_and_cancels_a_live_session_and_nothing_of_it_stays_held(
    api_database: Database, database: Database, tenant: uuid.UUID
) -> None:
    session_id = submit(api_database, tenant)
    with database.tenant_transaction(tenant) as cursor:
        sessions.advance(cursor, tenant, session_id, "running", dagster_run_id="run")
        ledger.hold_for_session(cursor, tenant, session_id)
        agent = agent_runs.agent_rows(cursor, tenant, session_id)[0]["agent_id"]
        agent_runs.begin_agent(cursor, tenant, session_id, agent, run_id="run")
        insert(
            cursor, "agent_progress", tenant_id=tenant, session_id=session_id, agent_id=agent,
            text="The answer is", tokens=3,
        )  # fmt: skip

    with api_database.tenant_transaction(tenant) as cursor:
        watched = progress(cursor, tenant, session_id)
        sessions.cancel_session(cursor, tenant, session_id, actor="ann")
    ledger.book(api_database, tenant, session_id)

    assert watched.agents[0].draft == "The answer is"
    with api_database.tenant_transaction(tenant) as cursor:
        ended = progress(cursor, tenant, session_id)
        accounts = budgets.show(cursor, tenant)
        assert ledger.audit(cursor, tenant) == []
        cursor.execute("select type, detail from radiant.event")
        told = [(row["type"], row["detail"]) for row in cursor.fetchall()]
    assert (ended.status, ended.agents[0].draft) == ("cancelled", None)
    assert {row["reserved_micro_usd"] for row in accounts} == {0}
    assert ended.cost_micro_usd > 0  # what was begun may be billed
    assert told == [("session.completed", {"status": "cancelled"})]


def test_a_call_that_it_repeats_is_answered_from_what_it_kept(
    api_database: Database, tenant: uuid.UUID
) -> None:
    replies: list[Reply] = []

    for _ in range(2):
        with api_database.tenant_transaction(tenant) as cursor:
            replies.append(
                idempotency.get_or_run(
                    cursor, tenant, actor="backend", key="k", request_hash=b"x",
                    run=lambda: Reply(201, {"session_id": "s"}),
                )
            )  # fmt: skip

    assert [reply.replayed for reply in replies] == [False, True]
    assert replies[1].body == {"session_id": "s"}


def test_it_reads_what_an_administrator_asks_for(api_database: Database, tenant: uuid.UUID) -> None:
    tables = (
        "audit_link", "audit_head", "budget_refusal", "reservation", "tenant_tool", "delivery",
    )  # fmt: skip
    read: list[str] = []

    with api_database.tenant_transaction(tenant) as cursor:
        for table in tables:
            cursor.execute(sql.SQL("select * from radiant.{}").format(sql.Identifier(table)))
            columns = {column.name for column in cursor.description or ()}
            read += [table] if "tenant_id" in columns else []

    assert read == list(tables)

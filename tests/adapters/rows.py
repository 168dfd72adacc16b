"""Rows for tests that look at every table: written past row-level security, by a superuser."""

import json
import uuid
from concurrent.futures import Future
from typing import Any

from psycopg2 import sql

from radiant_dagster.adapters import approval_requests
from radiant_dagster.domain.heuristics import exact_sha256

TABLES = """
    select c.relname as name,
           bool_or(a.attname = 'tenant_id') as by_tenant
    from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0
    where c.relnamespace = 'radiant'::regnamespace and c.relkind = 'r'
    group by 1
    having bool_or(a.attname = 'tenant_id') or c.relname = 'tenant'
    order by 1
"""


def tenant_tables(cursor: Any) -> dict[str, str]:
    """Return every table of a tenant with the column that names the tenant."""
    cursor.execute(TABLES)
    return {row["name"]: "tenant_id" if row["by_tenant"] else "id" for row in cursor.fetchall()}


def insert(cursor: Any, table: str, **values: Any) -> None:
    """Insert one row; dicts are stored as JSON."""
    names = sql.SQL(", ").join(map(sql.Identifier, values))
    marks = sql.SQL(", ").join([sql.Placeholder()] * len(values))
    cursor.execute(
        sql.SQL("insert into {} ({}) values ({})").format(
            sql.Identifier("radiant", table), names, marks
        ),
        [json.dumps(v) if isinstance(v, dict) else v for v in values.values()],
    )


def insert_session(cursor: Any, tenant_id: uuid.UUID, **changes: Any) -> uuid.UUID:
    """Insert a session and return its id."""
    values: dict[str, Any] = {
        "tenant_id": tenant_id,
        "id": uuid.uuid4(),
        "domain": "general",
        "prompt": "Why?",
        "user_id": "ann",
    }
    insert(cursor, "session", **(values | changes))
    return (values | changes)["id"]


def insert_heuristic(cursor: Any, tenant_id: uuid.UUID, **changes: Any) -> uuid.UUID:
    """Insert an active heuristic that lapses in a month and return its id."""
    heuristic_id = changes.get("id", uuid.uuid4())
    # Letters only: one UUID in 300 happens to look like a licence number to the scrubber.
    word = heuristic_id.hex.translate(str.maketrans("0123456789", "ghijklmnop"))
    values: dict[str, Any] = {
        "tenant_id": tenant_id,
        "id": heuristic_id,
        "domain": "general",
        "trigger_pattern": f"A question about {word}",
        "action_template": f"Name the source and the date of {word}.",
        "embedding": json.dumps([1.0] + [0.0] * 383),
        "embedding_model": "all-MiniLM-L6-v2-int8",
        "state": "active",
        "content_sha256": heuristic_id.bytes,
        "created_by": "human",
        "source_user": "ann",
        "expires_at": "2100-01-01",
    }
    row = values | changes
    row.setdefault(
        "approved_sha256",
        exact_sha256(row.get("polarity", "do"), row["trigger_pattern"], row["action_template"]),
    )
    insert(cursor, "knowledge_heuristics", **row)
    return heuristic_id


def insert_principal(cursor: Any, tenant_id: uuid.UUID, **changes: Any) -> uuid.UUID:
    """Insert a person who may review and return its id."""
    values: dict[str, Any] = {
        "tenant_id": tenant_id,
        "id": uuid.uuid4(),
        "name": "lee",
        "kind": "person",
        "roles": ["reviewer"],
    }
    insert(cursor, "principal", **(values | changes))
    return (values | changes)["id"]


def fill_tenant(cursor: Any, tenant_id: uuid.UUID) -> None:
    """Give a tenant one row in every table it lacks one in."""
    session_id = insert_session(cursor, tenant_id)
    heuristic_id = insert_heuristic(cursor, tenant_id)
    approval_id = uuid.uuid4()
    keys = {"tenant_id": tenant_id, "session_id": session_id}
    insert(
        cursor, "agent_run", **keys, agent_id="a", position=0, role="r", model="m",
        temperature=0.5, max_tokens=10,
    )  # fmt: skip
    insert(
        cursor, "approval_request", **keys, id=approval_id, domain="general", requested_by="ann",
        deadline="2100-01-01", review_sanitized={}, payload_sha256=b"x",
    )  # fmt: skip
    of = {"tenant_id": tenant_id, "approval_id": approval_id}
    insert(cursor, "approval_payload", **of, draft="secret draft")
    insert(
        cursor, "approval_vote", **of, actor="lee", verdict="approved", payload_sha256=b"x",
        at="2026-01-01",
    )  # fmt: skip
    insert(
        cursor, "approval_decision", **of, session_id=session_id, verdict="approved",
        decided_by=["lee"], decided_at="2026-01-01",
    )  # fmt: skip
    insert(cursor, "audit", tenant_id=tenant_id, actor="ann", action="test")
    event_id, target = uuid.uuid4(), uuid.uuid4()
    insert(cursor, "event", **keys, id=event_id, type="session.completed", domain="general")
    insert(
        cursor, "webhook_endpoint", tenant_id=tenant_id, id=target, url="https://example.org",
        secret=b"x", created_by="ann",
    )  # fmt: skip
    insert(
        cursor, "notification_route", tenant_id=tenant_id, id=uuid.uuid4(), name="ward",
        service="mailtos", url=b"x", created_by="ann",
    )  # fmt: skip
    insert(
        cursor, "delivery", tenant_id=tenant_id, event_id=event_id, target=target, kind="webhook"
    )  # fmt: skip
    insert(
        cursor, "heuristic_usage", **keys, agent_id="a", heuristic_id=heuristic_id, rank=1,
        similarity=0.9,
    )  # fmt: skip
    insert(
        cursor, "heuristic_version", tenant_id=tenant_id, heuristic_id=heuristic_id, version=1,
        trigger_pattern="A secret question", action_template="A secret action, word for word.",
        editor="ann", content_sha256=b"x",
    )  # fmt: skip
    a, b = sorted((heuristic_id, insert_heuristic(cursor, tenant_id, state="quarantined")))
    insert(
        cursor, "heuristic_link", tenant_id=tenant_id, a=a, b=b, kind="conflict", similarity=0.9
    )  # fmt: skip
    insert(
        cursor, "librarian_decision", **keys, decision="skipped", reason="x", source_user="ann",
        reviewed=False,
    )  # fmt: skip
    insert(
        cursor, "budget_account", tenant_id=tenant_id, scope="day", period_key="2026-01-01",
    )  # fmt: skip
    insert(
        cursor, "reservation", **keys, call="synthesis", attempt=1, purpose="synthesis", model="m",
        user_id="ann", held_on="2026-01-01", estimate_micro_usd=0, expires_at="2100-01-01",
    )  # fmt: skip
    insert(cursor, "agent_progress", **keys, agent_id="a", text="secret draft", tokens=3)
    insert(cursor, "tenant_tool", tenant_id=tenant_id, name="t", allowed=True, set_by="ann")
    insert(cursor, "tool_call", **keys, agent_id="a", position=0, round=1, name="t", arguments={})
    insert(cursor, "budget_refusal", **keys, scope="day", needed_micro_usd=1)
    insert(cursor, "idempotency", tenant_id=tenant_id, actor="lee", key="k", request_hash=b"x")
    principal = {"tenant_id": tenant_id, "principal": insert_principal(cursor, tenant_id)}
    insert(
        cursor, "api_key", **principal, id=uuid.uuid4(), prefix=tenant_id.hex[:8],
        sha256=tenant_id.bytes * 2, created_by="ann",
    )  # fmt: skip
    insert(
        cursor, "web_session", **principal, sha256=tenant_id.bytes * 2, csrf="c",
        expires_at="2100-01-01",
    )  # fmt: skip
    insert(cursor, "session_feedback", **keys, actor="ann", verdict="good")
    empty = []
    for table, key in tenant_tables(cursor).items():
        cursor.execute(
            sql.SQL("select 1 from {} where {} = %s limit 1").format(
                sql.Identifier("radiant", table), sql.Identifier(key)
            ),
            (tenant_id,),
        )
        if cursor.fetchone() is None:
            empty.append(table)
    # A new table has to be filled here, or the isolation matrix would test nothing on it.
    assert empty == []


def set_policy(cursor: Any, tenant_id: uuid.UUID, **columns: Any) -> None:
    """Change the tenant's policy of the domain general."""
    for name, value in columns.items():
        cursor.execute(
            sql.SQL(
                "update radiant.domain_policy set {} = %s where tenant_id = %s and name = 'general'"
            ).format(sql.Identifier(name)),
            (value, tenant_id),
        )


def insert_approval(cursor: Any, tenant_id: uuid.UUID, **changes: Any) -> uuid.UUID:
    """Ask for an approval of the draft "The draft." of a new session and return its id."""
    session_id = insert_session(
        cursor, tenant_id, status="awaiting_review", dagster_run_id="first-run"
    )
    approval_id = uuid.uuid4()
    values: dict[str, Any] = {
        "attempt": 1,
        "payload": "The draft.",
        "review_stage": "draft",
        "review": {"draft": "The draft."},
        "withheld": False,
        "reasons": ["requested"],
    }
    session = {"id": session_id, "domain": "general", "user_id": "ann"}
    return approval_requests.request_approval(
        cursor, tenant_id, approval_id, session, **(values | changes)
    )


def until_it_waits(owner: Any, work: Future[Any], *, waiters: int = 1) -> None:
    """Return once so many wait for locks in this database, or the work is done without."""
    waiting = 0
    while waiting < waiters and not work.done():
        owner.execute(
            "select count(*) as n from pg_stat_activity"
            " where datname = current_database() and wait_event_type = 'Lock'"
        )
        waiting = owner.fetchone()["n"]

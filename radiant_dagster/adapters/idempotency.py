"""Answers a call that is sent twice with the reply of the first.

The reply is stored in the transaction of the effect, so that neither exists without the other. A
second call with the same key waits for the first one's commit. Replies hold ids and states only.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from radiant_dagster.adapters.postgres import Cursor, Database
from radiant_dagster.errors import IdempotencyConflict, InvalidInput

MAX_KEY_CHARACTERS = 200

# A key that lapsed but was not swept yet is taken as new.
TAKE = """
    insert into radiant.idempotency as i (tenant_id, actor, key, request_hash)
    values (%s, %s, %s, %s)
    on conflict (tenant_id, actor, key) do update
        set request_hash = excluded.request_hash, status = null, body = null, at = excluded.at
        where i.at < clock_timestamp() - interval '24 hours'
    returning key
"""
STORED = """
    select request_hash, status, body, at < clock_timestamp() - interval '24 hours' as lapsed
    from radiant.idempotency where tenant_id = %s and actor = %s and key = %s
"""
KEEP = """
    update radiant.idempotency set status = %s, body = %s
    where tenant_id = %s and actor = %s and key = %s
"""
SWEEP = "delete from radiant.idempotency where at < clock_timestamp() - interval '24 hours'"


@dataclass(frozen=True, slots=True)
class Reply:
    """What a call answered.

    Args:
        status: HTTP status.
        body: Ids and states only; it is stored.
        replayed: The reply of an earlier call with the same key.
    """

    status: int
    body: Mapping[str, Any]
    replayed: bool = False


def get_or_run(
    cursor: Cursor,
    tenant_id: UUID,
    *,
    actor: str,
    key: str,
    request_hash: bytes,
    run: Callable[[], Reply],
) -> Reply:
    """Run an effect once for a key, in the caller's transaction, and keep its reply for a day.

    Args:
        actor: Who calls; keys of two people never meet.
        key: The caller's Idempotency-Key.
        request_hash: Of method, path and body; the same key with another hash is refused.
        run: The effect, in the same transaction. What it raises undoes the key as well.

    Returns:
        The reply, of this call or of the first one.

    Raises:
        IdempotencyConflict: The key belongs to another request.
        InvalidInput: The key is empty or too long.
    """
    _require_key(key)
    of_key = (tenant_id, actor, key)
    cursor.execute(TAKE, (*of_key, request_hash))
    if cursor.fetchone() is None:
        cursor.execute(STORED, of_key)
        row = cursor.fetchone()
        assert row is not None  # noqa: S101 - the conflict that got us here is this row
        return _replayed(row, request_hash)
    reply = run()
    cursor.execute(KEEP, (reply.status, json.dumps(reply.body, default=str), *of_key))
    return reply


def find(
    cursor: Cursor, tenant_id: UUID, *, actor: str, key: str, request_hash: bytes
) -> Reply | None:
    """Return what an earlier call with a key was answered, None where there was none.

    For effects whose preparation is dear. It takes nothing: `get_or_run` still decides.

    Raises:
        IdempotencyConflict, InvalidInput: See `get_or_run`.
    """
    _require_key(key)
    cursor.execute(STORED, (tenant_id, actor, key))
    row = cursor.fetchone()
    return None if row is None or row["lapsed"] else _replayed(row, request_hash)


def _replayed(row: Mapping[str, Any], request_hash: bytes) -> Reply:
    if bytes(row["request_hash"]) != request_hash:
        raise IdempotencyConflict
    return Reply(row["status"], row["body"], replayed=True)


def _require_key(key: str) -> None:
    if not key.strip() or len(key) > MAX_KEY_CHARACTERS or not key.isprintable():
        raise InvalidInput(
            "Idempotency-Key",
            f"is not 1 to {MAX_KEY_CHARACTERS} printable characters",
            "Use a UUID.",
        )


def sweep(database: Database) -> int:
    """Delete replies older than 24 hours, of all tenants; return how many."""
    with database.system_transaction("radiant_dispatch") as cursor:
        cursor.execute(SWEEP)
        return cursor.rowcount

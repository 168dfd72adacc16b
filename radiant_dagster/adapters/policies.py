"""The review policies of a tenant's domains, and who changed them."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any
from uuid import UUID

import psycopg2
from psycopg2 import sql

from radiant_dagster.adapters import audit
from radiant_dagster.adapters.postgres import Cursor
from radiant_dagster.domain.policies import (
    FIELDS,
    ReviewPolicy,
    changed_policy,
    differences,
    validate_domain_name,
)
from radiant_dagster.errors import InvalidInput

POLICIES = "select name, {columns} from radiant.domain_policy where tenant_id = %s order by name"
# Locked: two changes at once are judged one after the other, each on what the other left.
POLICY = """
    select {columns} from radiant.domain_policy where tenant_id = %s and name = %s for update
"""
INSERT = "insert into radiant.domain_policy (tenant_id, name, {columns}) values (%s, %s, {values})"
UPDATE = """
    update radiant.domain_policy set ({columns}) = row({values}) where tenant_id = %s and name = %s
"""
COLUMNS = sql.SQL(", ").join(map(sql.Identifier, FIELDS))
VALUES = sql.SQL(", ").join(sql.Placeholder() * len(FIELDS))


def entries(cursor: Cursor, tenant_id: UUID) -> dict[str, ReviewPolicy]:
    """Return the policies of a tenant's domains by name."""
    cursor.execute(sql.SQL(POLICIES).format(columns=COLUMNS), (tenant_id,))
    return {row.pop("name"): _policy(row) for row in map(dict, cursor.fetchall())}


def add(
    cursor: Cursor, tenant_id: UUID, name: str, changes: Mapping[str, Any], *, actor: str
) -> ReviewPolicy:
    """Add a domain.

    Args:
        changes: What differs from the defaults of `ReviewPolicy`.
        actor: Who adds it.

    Raises:
        InvalidInput: The name is malformed or taken, or a value cannot be met.
    """
    policy = changed_policy(ReviewPolicy(), changes)
    statement = sql.SQL(INSERT).format(columns=COLUMNS, values=VALUES)
    try:
        cursor.execute(statement, (tenant_id, validate_domain_name(name), *_row(policy)))
    except psycopg2.errors.UniqueViolation:
        raise InvalidInput(
            "name", f"a domain {name!r} exists already", f"Use `radiant domains set {name}`."
        ) from None
    _record(cursor, tenant_id, "domain.added", actor, {"domain": name, **asdict(policy)})
    return policy


def change(
    cursor: Cursor, tenant_id: UUID, name: str, changes: Mapping[str, Any], *, actor: str
) -> ReviewPolicy:
    """Change a domain's policy for sessions and requests from now on.

    Args:
        changes: New values by field of `ReviewPolicy`.
        actor: Who changes it.

    Raises:
        InvalidInput: No such domain, or a value cannot be met.
    """
    cursor.execute(sql.SQL(POLICY).format(columns=COLUMNS), (tenant_id, name))
    row = cursor.fetchone()
    if row is None:
        known = ", ".join(entries(cursor, tenant_id)) or "none"
        raise InvalidInput("name", f"there is no domain {name!r}", f"Available: {known}.")
    old = _policy(dict(row))
    new = changed_policy(old, changes)
    changed = differences(old, new)
    if changed:
        statement = sql.SQL(UPDATE).format(columns=COLUMNS, values=VALUES)
        cursor.execute(statement, (*_row(new), tenant_id, name))
        _record(cursor, tenant_id, "domain.changed", actor, {"domain": name, "changed": changed})
    return new


def _policy(row: Mapping[str, Any]) -> ReviewPolicy:
    values = dict(row)
    values["assignees"] = tuple(values["assignees"] or ())
    return ReviewPolicy(**values)


def _row(policy: ReviewPolicy) -> list[Any]:
    values = {**asdict(policy), "assignees": list(policy.assignees) or None}
    return [values[name] for name in FIELDS]


def _record(
    cursor: Cursor, tenant_id: UUID, action: str, actor: str, detail: Mapping[str, Any]
) -> None:
    audit.record(cursor, tenant_id, actor=actor, action=action, detail=detail)

"""Finds and retires everything that was derived from a session, a user or a heuristic.

Derived is: learned from the session; learned from a session whose agents had cited a derived
heuristic; learned from a follow-up of a derived session, which carries its answer on.
"""

from typing import Any
from uuid import UUID

from radiant_dagster.adapters.grimoire import curation, merging, neighbours
from radiant_dagster.adapters.postgres import Cursor
from radiant_dagster.adapters.tenants import domain_policies
from radiant_dagster.domain.approvals import require_person
from radiant_dagster.domain.curation import Root
from radiant_dagster.errors import InvalidInput

# Edges first, once: a search per heuristic would read the tenant's rows as often as it finds one.
DERIVED = """
    with recursive edges as materialized (
        select 'session' as of_kind, source_execution_id as of_id, 'heuristic' as kind, id
        from radiant.knowledge_heuristics
        where tenant_id = %(tenant)s and source_execution_id is not null
        union all
        select 'heuristic', parent, 'heuristic', h.id
        from radiant.knowledge_heuristics h cross join unnest(h.parents) parent
        where h.tenant_id = %(tenant)s
        union all
        select 'session', parent_session_id, 'session', id from radiant.session
        where tenant_id = %(tenant)s and parent_session_id is not null),
    derived as (
        select %(kind)s as kind, %(id)s::uuid as id where %(kind)s <> 'user'
        union
        select 'session', id from radiant.session
        where tenant_id = %(tenant)s and %(kind)s = 'user'
          and lower(trim(user_id)) = lower(trim(%(user)s))
        union
        select 'heuristic', id from radiant.knowledge_heuristics
        where tenant_id = %(tenant)s and %(kind)s = 'user'
          and lower(trim(source_user)) = lower(trim(%(user)s))
        union
        select e.kind, e.id from derived d join edges e on e.of_kind = d.kind and e.of_id = d.id)
    select h.id, h.domain, h.polarity, h.state, h.version, h.trigger_pattern, h.action_template,
           h.merged_into
    from derived d join radiant.knowledge_heuristics h on h.tenant_id = %(tenant)s and h.id = d.id
    where d.kind = 'heuristic' and h.state in ('quarantined', 'active', 'merged')
    order by h.created_at, h.id
"""
# With what they were merged into, in the order in which credit locks them.
LOCK_FAMILIES = """
    with recursive up (id) as (
        select unnest(%(ids)s::uuid[])
        union
        select h.merged_into from up
        join radiant.knowledge_heuristics h on h.tenant_id = %(tenant)s and h.id = up.id)
    select id from radiant.knowledge_heuristics
    where tenant_id = %(tenant)s and id in (select id from up) order by id for no key update
"""


def find_derived(cursor: Cursor, tenant_id: UUID, root: Root) -> list[dict[str, Any]]:
    """Return the heuristics that `retire_derived` would retire, the oldest first.

    Raises:
        InvalidInput: The root is no id, or no user.
    """
    values: dict[str, Any] = {"tenant": tenant_id, "kind": root.kind, "id": None, "user": None}
    if root.kind == "user":
        if not root.value.strip():
            raise InvalidInput("user", "is empty", "Name the user whose sessions taught something.")
        values["user"] = root.value
    else:
        try:
            values["id"] = UUID(root.value)
        except ValueError:
            raise InvalidInput(root.kind, "is not an id", "Copy it from the list.") from None
    cursor.execute(DERIVED, values)
    return [dict(row) for row in cursor.fetchall()]


def retire_derived(
    cursor: Cursor, tenant_id: UUID, root: Root, *, actor: str
) -> list[dict[str, Any]]:
    """Retire everything that was derived from a session, a user or a heuristic.

    What had been merged into a heuristic that is not derived is taken out of it again, with the
    evidence that it had brought.

    Returns:
        What was retired, as it was before.
    """
    require_person(actor)
    # What a Librarian is keeping at this moment is found as well, and nothing is merged meanwhile.
    neighbours.lock_domains(cursor, tenant_id, domain_policies(cursor, tenant_id))
    ids = [str(row["id"]) for row in find_derived(cursor, tenant_id, root)]
    cursor.execute(LOCK_FAMILIES, {"tenant": tenant_id, "ids": ids})
    # Again: somebody may have taken one out of use before it was locked, and that stands.
    found = [row for row in find_derived(cursor, tenant_id, root) if str(row["id"]) in ids]
    cause = {} if root.kind == "user" else {"of": root.value}
    for row in found:
        if row["state"] == "merged":
            merging.take_out(cursor, tenant_id, row["id"], actor=actor)
        curation.set_state(cursor, tenant_id, row, "retired", actor=actor, purge=root.kind, **cause)
    return found

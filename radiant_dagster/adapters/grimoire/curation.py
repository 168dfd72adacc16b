"""What a curator does with a heuristic: every change has a name and a line in the audit."""

from uuid import UUID

from radiant_dagster.adapters import audit
from radiant_dagster.adapters.grimoire.reading import get_heuristic
from radiant_dagster.adapters.postgres import Cursor
from radiant_dagster.errors import InvalidInput

PROMOTE = """
    update radiant.knowledge_heuristics
    set state = 'active', approved_by = %s, approved_at = clock_timestamp(),
        approved_sha256 = sha256(convert_to(
            polarity || chr(31) || trigger_pattern || chr(31) || action_template, 'UTF8')),
        updated_at = clock_timestamp()
    where tenant_id = %s and id = %s and state = 'quarantined' returning id
"""
RETIRE = """
    update radiant.knowledge_heuristics set state = 'retired', updated_at = clock_timestamp()
    where tenant_id = %s and id = %s and state in ('quarantined', 'active') returning id
"""


def promote(cursor: Cursor, tenant_id: UUID, heuristic_id: UUID, *, actor: str) -> None:
    """Make a quarantined heuristic active, on a curator's word.

    Raises:
        HeuristicNotFound: Unknown, or another tenant's.
        InvalidInput: It is not quarantined.
    """
    _change(cursor, tenant_id, heuristic_id, PROMOTE, (actor,), actor, "promoted")


def retire(cursor: Cursor, tenant_id: UUID, heuristic_id: UUID, *, actor: str) -> None:
    """Take a heuristic out of use, on a curator's word.

    Raises:
        HeuristicNotFound: Unknown, or another tenant's.
        InvalidInput: It is out of use already.
    """
    _change(cursor, tenant_id, heuristic_id, RETIRE, (), actor, "retired")


def _change(
    cursor: Cursor,
    tenant_id: UUID,
    heuristic_id: UUID,
    statement: str,
    first: tuple[str, ...],
    actor: str,
    done: str,
) -> None:
    if not actor.strip():
        raise InvalidInput("actor", "is empty", "Say who decides, for instance with --as NAME.")
    cursor.execute(statement, (*first, tenant_id, heuristic_id))
    if cursor.fetchone() is None:
        state = get_heuristic(cursor, tenant_id, heuristic_id)["state"]
        raise InvalidInput(
            "heuristic", f"{heuristic_id} is {state}, it cannot be {done}", "Choose another one."
        )
    audit.record(
        cursor, tenant_id, actor=actor, action=f"heuristic.{done}", heuristic_id=heuristic_id
    )

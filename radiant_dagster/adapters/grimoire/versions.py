"""Keeps every text that a heuristic has had, under its number."""

from uuid import UUID

from radiant_dagster.adapters.postgres import Cursor
from radiant_dagster.errors import InvalidInput

# The text that the heuristic has now.
ADD = """
    insert into radiant.heuristic_version (tenant_id, heuristic_id, version, trigger_pattern,
        action_template, editor, reason, restores, content_sha256)
    select tenant_id, id, version, trigger_pattern, action_template, %s, %s, %s, %s
    from radiant.knowledge_heuristics where tenant_id = %s and id = %s
"""
OLD_TEXT = """
    select trigger_pattern, action_template from radiant.heuristic_version
    where tenant_id = %s and heuristic_id = %s and version = %s
"""


def add_version(
    cursor: Cursor,
    tenant_id: UUID,
    heuristic_id: UUID,
    *,
    editor: str,
    sha256: bytes,
    reason: str = "",
    restores: int | None = None,
) -> None:
    """Keep the text and the version that a heuristic has now.

    Args:
        sha256: Of its polarity and text, to the letter.
        reason: Why, in a curator's words.
        restores: The version whose text this is.
    """
    cursor.execute(ADD, (editor, reason, restores, sha256, tenant_id, heuristic_id))


def old_text(cursor: Cursor, tenant_id: UUID, heuristic_id: UUID, version: int) -> tuple[str, str]:
    """Return the trigger and action of a version.

    Raises:
        InvalidInput: There is none of that number.
    """
    cursor.execute(OLD_TEXT, (tenant_id, heuristic_id, version))
    row = cursor.fetchone()
    if row is None:
        raise InvalidInput(
            "to_version", f"{heuristic_id} has no version {version}", "Choose one of its history."
        )
    return row["trigger_pattern"], row["action_template"]

"""Finds active heuristics of one tenant and domain that fit every question suspiciously well."""

from uuid import UUID

from radiant_dagster.adapters.grimoire.search import vector_of
from radiant_dagster.adapters.postgres import Cursor
from radiant_dagster.domain.hubness import hub_positions

MOST_ROWS = 10_000  # the newest; a planted row is among them when it is planted
TRIGGERS = """
    select id, halfvec_send(embedding) as embedding from radiant.knowledge_heuristics
    where tenant_id = %s and domain = %s and embedding_model = %s and state = 'active'
    order by created_at desc, id limit %s
"""


def hubs(cursor: Cursor, tenant_id: UUID, domain: str, model_id: str) -> tuple[UUID, ...]:
    """Return the ids of heuristics that lie nearer to everything than an honest one does.

    A curator should read them; none is changed here.
    """
    cursor.execute(TRIGGERS, (tenant_id, domain, model_id, MOST_ROWS))
    rows = cursor.fetchall()
    found = hub_positions([vector_of(row["embedding"]) for row in rows])
    return tuple(rows[position]["id"] for position in found)

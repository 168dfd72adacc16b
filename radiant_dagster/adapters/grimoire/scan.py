"""Looks through stored heuristics tenant by tenant: no role reads the texts of all at once."""

from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

from radiant_dagster.adapters.grimoire.hubs import hubs
from radiant_dagster.adapters.grimoire.reading import list_heuristics
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.adapters.tenants import list_tenants
from radiant_dagster.domain.phi import Detector, has_identifiers

MOST_ROWS = 10_000  # a tenant's newest; older ones were scanned when they were newer
# The hash is computed here as well as where the text is used, from the text as it stands.
CHANGED = """
    select id from radiant.knowledge_heuristics
    where tenant_id = %s and state = 'active'
      and approved_sha256 is distinct from sha256(convert_to(
          polarity || chr(31) || trigger_pattern || chr(31) || action_template, 'UTF8'))
    order by id
"""
STORES = """
    select domain, embedding_model from radiant.knowledge_heuristics
    where tenant_id = %s and state = 'active' group by 1, 2 order by 1, 2
"""


def heuristics_with_identifiers(database: Database, detector: Detector) -> list[UUID]:
    """Return the ids of live heuristics in which the detector finds an identifier."""
    return [
        row["id"]
        for tenant_id in _tenants(database)
        for row in _newest(database, tenant_id)
        if row["state"] in ("quarantined", "active")
        and has_identifiers(f"{row['trigger_pattern']}\n{row['action_template']}", detector)
    ]


def heuristics_not_as_approved(database: Database) -> list[UUID]:
    """Return the ids of active heuristics whose text is not the one that was let through."""
    found: list[UUID] = []
    for tenant_id in _tenants(database):
        with database.tenant_transaction(tenant_id) as cursor:
            cursor.execute(CHANGED, (tenant_id,))
            found += [row["id"] for row in cursor.fetchall()]
    return found


def heuristics_near_everything(database: Database) -> list[UUID]:
    """Return the ids of active heuristics that fit every question suspiciously well."""
    found: list[UUID] = []
    for tenant_id in _tenants(database):
        with database.tenant_transaction(tenant_id) as cursor:
            cursor.execute(STORES, (tenant_id,))
            for store in cursor.fetchall():
                found += hubs(cursor, tenant_id, store["domain"], store["embedding_model"])
    return found


def _tenants(database: Database) -> Iterator[UUID]:
    for tenant in list_tenants(database):
        yield UUID(str(tenant["id"]))


def _newest(database: Database, tenant_id: UUID) -> list[Mapping[str, Any]]:
    with database.tenant_transaction(tenant_id) as cursor:
        rows = list_heuristics(cursor, tenant_id, domain=None, state=None, limit=MOST_ROWS)
    return [*rows]

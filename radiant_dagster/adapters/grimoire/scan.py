"""Looks through stored heuristics tenant by tenant: no role reads the texts of all at once."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from radiant_dagster.adapters.grimoire.hubs import hubs
from radiant_dagster.adapters.grimoire.reading import list_heuristics
from radiant_dagster.adapters.grimoire.rebuild import differences
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


@dataclass(frozen=True, slots=True)
class Suspect:
    """A heuristic that somebody has to look at; its id alone does not tell whose it is."""

    tenant_id: UUID
    heuristic_id: UUID


def heuristics_with_identifiers(database: Database, detector: Detector) -> list[Suspect]:
    """Return the live heuristics in which the detector finds an identifier."""
    return [
        Suspect(tenant_id, row["id"])
        for tenant_id in _tenants(database)
        for row in _newest(database, tenant_id)
        if row["state"] in ("quarantined", "active")
        and has_identifiers(f"{row['trigger_pattern']}\n{row['action_template']}", detector)
    ]


def heuristics_not_as_approved(database: Database) -> list[Suspect]:
    """Return the active heuristics whose text is not the one that was let through."""
    found: list[Suspect] = []
    for tenant_id in _tenants(database):
        with database.tenant_transaction(tenant_id) as cursor:
            cursor.execute(CHANGED, (tenant_id,))
            found += [Suspect(tenant_id, row["id"]) for row in cursor.fetchall()]
    return found


def heuristics_near_everything(database: Database) -> list[Suspect]:
    """Return the active heuristics that fit every question suspiciously well."""
    found: list[Suspect] = []
    for tenant_id in _tenants(database):
        with database.tenant_transaction(tenant_id) as cursor:
            cursor.execute(STORES, (tenant_id,))
            for store in cursor.fetchall():
                near = hubs(cursor, tenant_id, store["domain"], store["embedding_model"])
                found += [Suspect(tenant_id, item) for item in near]
    return found


def posteriors_that_differ(database: Database) -> list[Suspect]:
    """Return the heuristics whose posterior is not what their records add up to."""
    found: list[Suspect] = []
    for tenant_id in _tenants(database):
        with database.tenant_transaction(tenant_id) as cursor:
            found += [Suspect(tenant_id, item.id) for item in differences(cursor, tenant_id)]
    return found


def _tenants(database: Database) -> Iterator[UUID]:
    for tenant in list_tenants(database):
        yield UUID(str(tenant["id"]))


def _newest(database: Database, tenant_id: UUID) -> list[Mapping[str, Any]]:
    with database.tenant_transaction(tenant_id) as cursor:
        rows = list_heuristics(cursor, tenant_id, domain=None, state=None, limit=MOST_ROWS)
    return [*rows]

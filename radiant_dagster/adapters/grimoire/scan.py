"""Looks through stored heuristics for personal identifiers, tenant by tenant."""

from uuid import UUID

from radiant_dagster.adapters.grimoire.reading import list_heuristics
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.adapters.tenants import list_tenants
from radiant_dagster.domain.phi import Detector, has_identifiers

MOST_ROWS = 10_000  # a tenant's newest; older ones were scanned when they were newer


def heuristics_with_identifiers(database: Database, detector: Detector) -> list[UUID]:
    """Return the ids of live heuristics in which the detector finds an identifier.

    Each tenant is read in its own transaction: no role reads the texts of all tenants at once.
    """
    found: list[UUID] = []
    for tenant in list_tenants(database):
        tenant_id = tenant["id"]
        assert isinstance(tenant_id, UUID)  # noqa: S101 - the column's type
        with database.tenant_transaction(tenant_id) as cursor:
            rows = list_heuristics(cursor, tenant_id, domain=None, state=None, limit=MOST_ROWS)
        for row in rows:
            text = f"{row['trigger_pattern']}\n{row['action_template']}"
            if row["state"] in ("quarantined", "active") and has_identifiers(text, detector):
                found.append(row["id"])
    return found

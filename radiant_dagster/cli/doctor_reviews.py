"""What `radiant doctor` says of reviews: decisions that are stuck, webhooks, keys."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from radiant_dagster.adapters import review_health, tenants
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.adapters.settings import Settings
from radiant_dagster.adapters.vault import Vault
from radiant_dagster.cli.common import connect_reviewer, open_database
from radiant_dagster.cli.findings import Noted, Skipped
from radiant_dagster.domain.wording import counted


@contextmanager
def _tenant(settings: Settings) -> Iterator[tuple[Database, UUID]]:
    with open_database(settings) as database:
        yield database, tenants.find_tenant(database, settings.tenant)


def check_decisions(settings: Settings) -> str:
    """Check that every decision is carried out, or will be."""
    with _tenant(settings) as (database, tenant_id):
        stuck = review_health.stuck_decisions(database, tenant_id)
    if stuck:
        raise Noted(
            f"{len(stuck)} could not be carried out, the first of approval {stuck[0]}. Mend the "
            f"cause that its runs show, then: radiant approvals retry {stuck[0]}"
        )
    return "none is stuck"


def check_targets(settings: Settings) -> str:
    """Check that events reach those who asked for them."""
    with _tenant(settings) as (database, tenant_id):
        found = review_health.targets(database, tenant_id)
    if not found.endpoints and not found.routes:
        raise Skipped("no webhook and no notification is set up; reviewers see their inbox only")
    Vault.of(settings)  # their secrets are sealed under RADIANT_SECRET_KEY
    if found.disabled or found.given_up:
        raise Noted(
            f"disabled: {found.disabled} of {counted(found.endpoints, 'webhook')}; never arrived, "
            f"of the last day: {counted(found.given_up, 'event')}. See `radiant webhooks list`, "
            "try one with `radiant webhooks test ID`."
        )
    return (
        f"{counted(found.endpoints, 'webhook')}, {counted(found.routes, 'notification route')}, "
        "all delivered"
    )


def check_keys(settings: Settings) -> str:
    """Check that somebody has a key, and tell of those that end soon."""
    if settings.review_database_url is None:
        raise Skipped("needs RADIANT_REVIEW_DATABASE_URL; workers' login must not read keys")
    with connect_reviewer() as client:
        found = review_health.keys(client.database, client.tenant_id)
    if not found.working:
        raise Noted(
            "nobody has a working key, so nobody can log in. Make one with "
            "`radiant keys create --name NAME --role reviewer`."
        )
    if found.ending:
        raise Noted(
            f"{found.ending} of {found.working} end within a week; `radiant keys list` shows which."
        )
    return f"{found.working} work, none ends within a week"

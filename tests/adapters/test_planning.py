"""The floors that plans are made within, for tenants old and new."""

import uuid

from radiant_dagster.adapters import migrations, tenants
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.domain.sessions import DomainPolicy
from tests.conftest import run_sql

CAREFUL, FREE = (1_024, 3, False), (256, 2, True)
FLOORS = {"medical": CAREFUL, "legal": CAREFUL, "financial": CAREFUL, "general": FREE}


def floors(database: Database, tenant: uuid.UUID) -> dict[str, tuple[int, int, bool]]:
    with database.tenant_transaction(tenant) as cursor:
        policies = tenants.domain_policies(cursor, tenant)
    return {
        name: (policy.lowest_max_tokens, policy.lowest_agents, policy.cheaper_models)
        for name, policy in policies.items()
    }


def test_new_tenants_and_new_domains_have_floors(database: Database, tenant: uuid.UUID) -> None:
    policy = DomainPolicy("nuclear", True, 300, 60, "reject", "draft", 0.1, False, 4_096, 5, False)

    with database.tenant_transaction(tenant) as cursor:
        tenants.insert_policy(cursor, tenant, policy)

    assert floors(database, tenant) == FLOORS | {"nuclear": (4_096, 5, False)}


def test_tenants_from_before_the_ladder_get_the_same_floors(
    database: Database, tenant: uuid.UUID, owner_url: str
) -> None:
    run_sql(
        owner_url,
        "alter table radiant.domain_policy drop column lowest_max_tokens,"
        " drop column lowest_agents, drop column cheaper_models",
        "alter table radiant.session drop column panel, drop column downgrades",
        "alter table radiant.agent_run drop column downgraded_from",
        "drop table radiant.pseudonym_key",
        "drop policy maintenance_agent on radiant.agent_run",
        "drop policy maintenance_reservation on radiant.reservation",
        "drop policy maintenance_account on radiant.budget_account",
        "drop policy maintenance_refusal on radiant.budget_refusal",
        "delete from radiant.schema_migration where name = '0003_create_ladder.sql'",
    )

    applied = migrations.migrate(owner_url, logins={})

    assert applied == ["0003_create_ladder.sql"]
    assert floors(database, tenant) == FLOORS

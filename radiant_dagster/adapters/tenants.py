"""Tenants, their domain policies and their panels."""

from collections.abc import Sequence
from uuid import UUID

import psycopg2

from radiant_dagster.adapters import budgets, tenant_tools
from radiant_dagster.adapters.panels import agents_from, agents_to_json, default_panels
from radiant_dagster.adapters.postgres import Cursor, Database
from radiant_dagster.domain.sessions import DomainPolicy
from radiant_dagster.domain.swarm import AgentConfig
from radiant_dagster.errors import InvalidInput, TenantNotFound

# Deadlines of the source design. Risky domains never promote a heuristic by themselves, and ask
# for closer matches (.60 instead of .50 on MiniLM: precision .88, 3 % wrong answers on CLINC150).
# Where the budget is short they are refused rather than answered by less.
SEED_POLICIES = (
    DomainPolicy("medical", True, 300, 120, "reject", "draft", 0.10, False, 1024, 3, False),
    DomainPolicy("financial", True, 600, 120, "reject", "draft", 0.10, False, 1024, 3, False),
    DomainPolicy("legal", True, 900, 120, "reject", "draft", 0.10, False, 1024, 3, False),
    DomainPolicy("general", False, 1800, 120, "reject", "draft", 0.0, True, 256, 2, True),
)

INSERT_TENANT = "insert into radiant.tenant (id, slug, name) values (%s, %s, %s)"
INSERT_POLICY = """
    insert into radiant.domain_policy (tenant_id, name, approval_required, deadline_seconds,
        swarm_seconds, on_timeout, review_stage, similarity_floor_raise, auto_promote,
        lowest_max_tokens, lowest_agents, cheaper_models)
    values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
INSERT_PANEL = """
    insert into radiant.panel (tenant_id, name, description, agents) values (%s, %s, %s, %s)
    on conflict (tenant_id, name) do update
        set description = excluded.description, agents = excluded.agents
"""
TENANT_BY_SLUG = "select id from radiant.tenant where slug = %s"
TENANT_BY_SLUG_OR_ID = """
    select id from radiant.tenant where slug = %(named)s or id::text = %(named)s
    order by slug = %(named)s desc limit 1
"""
TENANTS = "select id, slug, name, created_at from radiant.tenant order by slug"
POLICIES = """
    select name, approval_required, deadline_seconds, swarm_seconds, on_timeout, review_stage,
           similarity_floor_raise, auto_promote, lowest_max_tokens, lowest_agents, cheaper_models
    from radiant.domain_policy where tenant_id = %s order by name
"""
PANEL = "select agents from radiant.panel where tenant_id = %s and name = %s"
PANELS = """
    select name, description, jsonb_array_length(agents) as agents
    from radiant.panel where tenant_id = %s order by name
"""


def create_tenant(database: Database, tenant_id: UUID, slug: str, name: str) -> None:
    """Create a tenant with the four seeded domains, the default panels, budgets and tools.

    Raises:
        InvalidInput: The slug is malformed or taken.
    """
    try:
        with database.tenant_transaction(tenant_id) as cursor:
            cursor.execute(INSERT_TENANT, (tenant_id, slug, name))
            budgets.seed(cursor, tenant_id)
            tenant_tools.seed(cursor, tenant_id)
            for policy in SEED_POLICIES:
                insert_policy(cursor, tenant_id, policy)
            for panel_name, panel in default_panels().items():
                agents = tuple(entry.config() for entry in panel.agents)
                save_panel(cursor, tenant_id, panel_name, panel.description, agents)
    except psycopg2.errors.UniqueViolation:
        raise InvalidInput("name", f"a tenant {slug!r} exists already", "Choose another.") from None
    except psycopg2.errors.CheckViolation:
        raise InvalidInput(
            "name",
            f"{slug!r} is not usable",
            "Use 1 to 63 lower-case letters, digits or '-', starting with a letter or digit.",
        ) from None


def insert_policy(cursor: Cursor, tenant_id: UUID, policy: DomainPolicy) -> None:
    """Add a domain to a tenant."""
    cursor.execute(
        INSERT_POLICY,
        (
            tenant_id,
            policy.name,
            policy.approval_required,
            policy.deadline_seconds,
            policy.swarm_seconds,
            policy.on_timeout,
            policy.review_stage,
            policy.similarity_floor_raise,
            policy.auto_promote,
            policy.lowest_max_tokens,
            policy.lowest_agents,
            policy.cheaper_models,
        ),
    )


def save_panel(
    cursor: Cursor, tenant_id: UUID, name: str, description: str, agents: Sequence[AgentConfig]
) -> None:
    """Create or replace a named panel."""
    cursor.execute(INSERT_PANEL, (tenant_id, name, description, agents_to_json(agents)))


def find_tenant(database: Database, slug: str) -> UUID:
    """Return a tenant's id.

    Raises:
        TenantNotFound: With the command that creates one.
    """
    with database.system_transaction("radiant_dispatch") as cursor:
        cursor.execute(TENANT_BY_SLUG, (slug,))
        row = cursor.fetchone()
    if row is None:
        raise TenantNotFound(slug)
    return row["id"]


def named_tenant(database: Database, named: str) -> UUID:
    """Return the id of the tenant that a slug names, or its id, which is all that Dagit shows.

    Raises:
        TenantNotFound: With the command that creates one.
    """
    with database.system_transaction("radiant_dispatch") as cursor:
        cursor.execute(TENANT_BY_SLUG_OR_ID, {"named": named})
        row = cursor.fetchone()
    if row is None:
        raise TenantNotFound(named)
    return row["id"]


def list_tenants(database: Database) -> list[dict[str, object]]:
    """Return id, slug, name and age of every tenant."""
    with database.system_transaction("radiant_dispatch") as cursor:
        cursor.execute(TENANTS)
        return [dict(row) for row in cursor.fetchall()]


def domain_policies(cursor: Cursor, tenant_id: UUID) -> dict[str, DomainPolicy]:
    """Return the tenant's domain policies by name."""
    cursor.execute(POLICIES, (tenant_id,))
    return {row["name"]: DomainPolicy(**row) for row in cursor.fetchall()}


def require_domain(cursor: Cursor, tenant_id: UUID, domain: str | None) -> None:
    """Refuse a domain that the tenant does not have; a filter by it would find nothing, silently.

    Raises:
        InvalidInput: Lists those there are.
    """
    if domain is None:
        return
    known = domain_policies(cursor, tenant_id)
    if domain not in known:
        raise InvalidInput(
            "domain",
            f"this tenant has no domain {domain!r}",
            f"Use one of: {', '.join(sorted(known))}.",
        )


def panel_agents(cursor: Cursor, tenant_id: UUID, name: str) -> tuple[AgentConfig, ...]:
    """Return a panel's agents.

    Raises:
        InvalidInput: No such panel; lists those there are.
    """
    cursor.execute(PANEL, (tenant_id, name))
    row = cursor.fetchone()
    if row is None:
        names = ", ".join(str(panel["name"]) for panel in list_panels(cursor, tenant_id)) or "none"
        raise InvalidInput("panel", f"this tenant has no panel {name!r}", f"Available: {names}.")
    return agents_from(row["agents"])


def list_panels(cursor: Cursor, tenant_id: UUID) -> list[dict[str, object]]:
    """Return name, description and number of agents of each panel."""
    cursor.execute(PANELS, (tenant_id,))
    return [dict(row) for row in cursor.fetchall()]

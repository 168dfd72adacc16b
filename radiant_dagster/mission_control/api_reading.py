"""What the API lets read beside sessions and approvals: audit, budgets and the rest."""

from dataclasses import asdict

from starlette.responses import Response

from radiant_dagster.adapters import audit, budgets, tenants
from radiant_dagster.domain.principals import PERMISSIONS
from radiant_dagster.mission_control.api import Operation, answer, read_query, rows
from radiant_dagster.mission_control.guard import Call
from radiant_dagster.wire import reading as wire
from radiant_dagster.wire.base import Me


def me(call: Call) -> Response:
    """Tell a program whose key it holds and what that may do."""
    who = call.principal
    return answer(
        Me(
            id=who.id,
            name=who.name,
            kind=who.kind,
            roles=sorted(who.roles),
            domains=None if who.domains is None else sorted(who.domains),
            permissions=sorted(name for name in PERMISSIONS if who.may(name)),
        )
    )


def audit_rows(call: Call) -> Response:
    """Return a page of the audit trail."""
    query = read_query(call, wire.AuditQuery)
    with call.transaction() as cursor:
        found = audit.page(cursor, call.tenant_id, before=query.before, limit=query.limit)
    more = len(found) == query.limit
    return answer(
        wire.AuditRows(
            entries=rows(wire.AuditRow, found), next_before=found[-1]["id"] if more else None
        )
    )


def verify(call: Call) -> Response:
    """Recompute the audit chain."""
    anchor = read_query(call, wire.VerifyQuery).anchor
    with call.transaction() as cursor:
        found = audit.verify(
            cursor, call.tenant_id, anchor=bytes.fromhex(anchor) if anchor else None
        )
    return answer(wire.Verified.model_validate(found))


def budget(call: Call) -> Response:
    """Return limits and how their accounts stand."""
    user = read_query(call, wire.BudgetQuery).user
    with call.transaction() as cursor:
        lines = budgets.show(cursor, call.tenant_id, user)
    return answer(wire.Budgets(budgets=rows(wire.Budget, lines)))


def domains(call: Call) -> Response:
    """Return the tenant's domains."""
    with call.transaction() as cursor:
        policies = tenants.domain_policies(cursor, call.tenant_id)
    return answer(wire.Domains(domains=rows(wire.Domain, map(asdict, policies.values()))))


def panels(call: Call) -> Response:
    """Return the tenant's panels."""
    with call.transaction() as cursor:
        found = tenants.list_panels(cursor, call.tenant_id)
    return answer(wire.Panels(panels=rows(wire.Panel, found)))


OPERATIONS = (
    Operation(
        "GET", "/budgets", "budget.read", budget, "Reading",
        "Return limits with what is spent, held and free.",
        {200: wire.Budgets}, query=wire.BudgetQuery,
    ),
    Operation(
        "GET", "/audit", "audit.read", audit_rows, "Reading",
        "List the audit trail, the newest first.", {200: wire.AuditRows}, query=wire.AuditQuery,
    ),
    Operation(
        "GET", "/audit/verify", "audit.read", verify, "Reading",
        "Recompute the audit chain and name the first row that does not hold.",
        {200: wire.Verified}, query=wire.VerifyQuery,
    ),
    Operation(
        "GET", "/domains", "signed_in", domains, "Reading", "List domains.", {200: wire.Domains}
    ),
    Operation(
        "GET", "/panels", "signed_in", panels, "Reading", "List panels of agents.",
        {200: wire.Panels},
    ),
    Operation(
        "GET", "/me", "signed_in", me, "Reading", "Say whose key this is and what it may do.",
        {200: Me},
    ),
)  # fmt: skip

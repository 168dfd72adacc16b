"""The spend asset and its check, materialised on real Postgres."""

import base64
import re
import uuid
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg
import psycopg2
import psycopg2.extras
import pytest

from radiant_dagster.adapters import ledger, spend, tenants
from radiant_dagster.assets.spend import plot, table
from radiant_dagster.definitions import defs
from radiant_dagster.domain.governor import PlannedCall
from radiant_dagster.schedules import spend_report_schedule
from tests.adapters.rows import insert, insert_session
from tests.conftest import World

OTHER = uuid.UUID(int=0xB0B)
DAY = date(2026, 11, 20)


@pytest.fixture
def spent(world: World, owner: Any) -> World:
    """Two tenants: 900 micro-USD charged and 400 still held by one, 50 charged by the other."""
    tenants.create_tenant(world.database, OTHER, "other", "Other Clinic")
    calls = (
        (world.tenant, "gpt-4o", "agent", 1_000, 900),
        (world.tenant, "gpt-4o-mini", "librarian", 400, None),
        (OTHER, "gpt-4o", "agent", 100, 50),
    )
    for tenant, model, purpose, held, charged in calls:
        session_id = insert_session(owner, tenant)
        call = PlannedCall("a call", purpose, None, model, held)
        with world.database.tenant_transaction(tenant) as cursor:
            ledger.store_plan(cursor, tenant, session_id, [call])
            ledger.hold_for_session(cursor, tenant, session_id)
            if charged is not None:
                ticket = ledger.begin_call(cursor, tenant, session_id, call, begun_by=uuid.uuid4())
                ledger.settle_call(cursor, tenant, ticket, charged)
        ledger.book(world.database, tenant, session_id)
    return world


def report(instance: dg.DagsterInstance, on_day: date | None = None) -> Any:
    """Materialise a day, today by default, with its check."""
    return defs.resolve_job_def("spend_report").execute_in_process(
        partition_key=str(on_day or datetime.now(UTC).date()),
        instance=instance,
        raise_on_error=False,
    )


def metadata(result: Any) -> dict[str, Any]:
    (event,) = result.asset_materializations_for_node("spend")
    return {key: value.value for key, value in event.metadata.items()}


def test_a_day_is_reported_by_model_role_and_pseudonym(
    spent: World, owner: Any, instance: dg.DagsterInstance
) -> None:
    session_id = insert_session(owner, OTHER, status="failed")
    insert(
        owner,
        "budget_refusal",
        tenant_id=OTHER,
        session_id=session_id,
        scope="day",
        needed_micro_usd=1,
    )

    result = report(instance)

    facts = metadata(result)
    assert result.success
    assert facts["spent_usd"] == pytest.approx(0.00095)
    assert facts["reserved_usd"] == pytest.approx(0.0004)
    assert facts["estimate_to_actual"] == pytest.approx(1_100 / 950)
    assert (facts["calls"], facts["refusals"], facts["expired"]) == (3, 1, 0)
    assert facts["by_model"].splitlines()[2:] == [
        "gpt-4o | 2 | 0.000950 | 0.000000",
        "gpt-4o-mini | 1 | 0.000000 | 0.000400",
    ]
    assert "librarian | 1 | 0.000000 | 0.000400" in facts["by_role"]
    assert len(facts["by_tenant"].splitlines()) == 2 + 2


def test_no_tenant_can_be_told_from_the_report(spent: World, instance: dg.DagsterInstance) -> None:
    result = report(instance)

    shown = " ".join(str(value) for value in metadata(result).values())
    for name in (str(spent.tenant), spent.tenant.hex, "acme", "Acme", str(OTHER), "Other Clinic"):
        assert name not in shown
        assert name[:8] not in shown


def test_the_same_tenant_has_another_pseudonym_in_another_database(
    spent: World, owner: Any
) -> None:
    before = {
        line.tenant for line in spend.spend_of(spent.database, datetime.now(UTC).date()).lines
    }
    owner.execute("update radiant.pseudonym_key set key = sha256(key)")

    after = {line.tenant for line in spend.spend_of(spent.database, datetime.now(UTC).date()).lines}

    assert len(before) == len(after) == 2
    assert before.isdisjoint(after)


def test_a_reservation_belongs_to_the_day_it_was_made_on_in_utc(
    spent: World, owner: Any, instance: dg.DagsterInstance
) -> None:
    owner.execute(
        "update radiant.reservation set created_at = case actual_micro_usd"
        " when 900 then timestamptz '2026-11-20 23:59:59+00'"
        " when 50 then timestamptz '2026-11-21 00:30:00+01'"
        " else timestamptz '2026-11-21 00:00:00+00' end"
    )

    facts = metadata(report(instance, DAY))
    found = spend.spend_of(spent.database, DAY)

    assert facts["spent_usd"] == pytest.approx(0.00095)
    assert facts["reserved_usd"] == 0
    assert len(found.history) == 30
    assert found.history[-1] == spend.DaySpend(DAY, 950, 0)
    assert found.history[0] == spend.DaySpend(DAY - timedelta(days=29))


def test_a_day_without_spending_says_so(world: World, instance: dg.DagsterInstance) -> None:
    result = report(instance, DAY)

    facts = metadata(result)
    assert result.success
    assert (facts["spent_usd"], facts["by_model"]) == (0, "Nothing was spent.")
    assert "estimate_to_actual" not in facts


def test_the_plot_is_a_picture_that_travels_inside_of_the_text(
    spent: World, instance: dg.DagsterInstance
) -> None:
    text = metadata(report(instance))["last_30_days"]

    prefix = "![USD a day](data:image/svg+xml;base64,"
    assert text.startswith(prefix)
    drawn = base64.b64decode(text.removeprefix(prefix).removesuffix(")")).decode()
    heights = re.findall(r'<rect [^>]*height="([0-9.]+)"', drawn)
    assert heights == [f"{120 * 950 / 1_350:.1f}", f"{120 * 400 / 1_350:.1f}"]
    assert drawn.endswith("</svg>")


def test_a_plot_of_nothing_has_no_bars() -> None:
    history = [spend.DaySpend(DAY + timedelta(days=n)) for n in range(30)]

    drawn = plot(history)

    assert "<rect" not in drawn
    assert "2026-12-19" in drawn


def test_a_models_name_makes_no_cells_of_its_own() -> None:
    line = spend.SpendLine("t", "own | model\nx", "session", 1, 5, 0, 5, 0)

    drawn = table("model", [line], lambda item: item.model)

    assert drawn.splitlines()[2:] == ["own / model x | 1 | 0.000005 | 0.000000"]


def check(result: Any) -> Any:
    (evaluation,) = result.get_asset_check_evaluations()
    return evaluation


def test_accounts_that_equal_the_ledger_pass(spent: World, instance: dg.DagsterInstance) -> None:
    evaluation = check(report(instance))

    assert evaluation.passed
    assert evaluation.metadata["unequal_accounts"].value == 0


@pytest.mark.parametrize(
    "change",
    [
        "update radiant.budget_account set spent_micro_usd = spent_micro_usd + 1"
        " where scope = 'month' and tenant_id = %(tenant)s",
        "update radiant.budget_account set reserved_micro_usd = reserved_micro_usd - 1"
        " where scope = 'month' and tenant_id = %(tenant)s",
        "insert into radiant.budget_account (tenant_id, scope, period_key, spent_micro_usd)"
        " values (%(tenant)s, 'month', '2025-01', 3)",
    ],
)
def test_an_account_that_was_changed_by_hand_fails_the_check(
    spent: World, owner: Any, instance: dg.DagsterInstance, change: str
) -> None:
    owner.execute(change, {"tenant": spent.tenant})

    result = report(instance)

    evaluation = check(result)
    (account,) = evaluation.metadata["first"].value
    assert not result.success
    assert not evaluation.passed
    assert evaluation.severity is dg.AssetCheckSeverity.ERROR
    assert account["scope"] == "month"
    assert str(spent.tenant) not in str(account)


def test_an_account_that_is_gone_fails_the_check_as_well(
    spent: World, owner: Any, instance: dg.DagsterInstance
) -> None:
    owner.execute("delete from radiant.budget_account where scope = 'day'")

    evaluation = check(report(instance))

    assert evaluation.metadata["unequal_accounts"].value == 2


def test_the_schedule_asks_for_the_day_that_has_ended(world: World) -> None:
    context = dg.build_schedule_context(
        scheduled_execution_time=datetime(2026, 11, 21, 0, 23, tzinfo=UTC)
    )

    request = spend_report_schedule(context)

    assert isinstance(request, dg.RunRequest)
    assert request.partition_key == "2026-11-20"


def test_a_report_reads_amounts_and_ids_only(spent: World) -> None:
    for statement in (
        "select prompt from radiant.session",
        "select attempt_key from radiant.reservation",
        "update radiant.reservation set actual_micro_usd = 0",
        "update radiant.budget_account set spent_micro_usd = 0",
        "update radiant.pseudonym_key set key = ''",
    ):
        with (
            pytest.raises(psycopg2.errors.InsufficientPrivilege),
            spent.database.system_transaction("radiant_maintenance") as cursor,
        ):
            cursor.execute(statement)

"""What time does to a pending request, and that nothing takes it where it may not go."""

import contextlib
import itertools
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import psycopg2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from radiant_dagster.adapters import approvals, claims, dispatch
from radiant_dagster.adapters.dispatch import Swept
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.domain.approvals import Reviewer, Vote, payload_hash
from radiant_dagster.errors import ApprovalForbidden, RadiantError
from tests.adapters.rows import insert_approval, set_policy
from tests.conftest import run_sql

VOTE = Vote("dr-lee", frozenset({"reviewer"}), "approved", payload_hash("The draft."))
SENIOR = replace(VOTE, actor="dr-old", roles=frozenset({"senior"}))
ADMIN = Reviewer("root", frozenset({"admin"}))
NOTHING = Swept(0, 0, 0, 0)


def ask(database: Database, tenant: uuid.UUID, **policy: Any) -> uuid.UUID:
    with database.tenant_transaction(tenant) as cursor:
        set_policy(cursor, tenant, **policy)
        return insert_approval(cursor, tenant)


def let_pass(owner_url: str, share: float) -> None:
    """Move every pending request so that this share of its time is over."""
    connection = psycopg2.connect(owner_url)
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "update radiant.approval_request r set deadline = deadline - t.by,"
            " created_at = created_at - t.by, reminder_at = reminder_at - t.by,"
            " escalate_at = escalate_at - t.by from (select id, (created_at - clock_timestamp())"
            " + %s * (deadline - created_at) as by from radiant.approval_request) t"
            " where t.id = r.id and r.state = 'pending'",
            (share,),
        )
    connection.close()


def told(database: Database, tenant: uuid.UUID) -> list[str]:
    with database.tenant_transaction(tenant) as cursor:
        cursor.execute("select type from radiant.event order by seq")
        return [row["type"].removeprefix("approval.") for row in cursor.fetchall()]


def request(database: Database, tenant: uuid.UUID) -> dict[str, Any]:
    with database.tenant_transaction(tenant) as cursor:
        cursor.execute("select * from radiant.approval_request")
        row = cursor.fetchone()
        assert row is not None
        return dict(row)


def test_reminder_escalation_and_expiry_come_once_each_at_their_share_of_the_time(
    database: Database, tenant: uuid.UUID, owner_url: str
) -> None:
    ask(database, tenant, deadline_seconds=1000)
    swept = []

    for share in (0.49, 0.51, 0.51, 0.79, 0.81, 0.81, 1.0, 1.0):
        let_pass(owner_url, share)
        swept.append(dispatch.sweep(database))

    assert swept == [
        NOTHING,
        Swept(1, 0, 0, 0),
        NOTHING,
        NOTHING,
        Swept(0, 1, 0, 0),
        NOTHING,
        Swept(0, 0, 0, 1),
        NOTHING,
    ]
    assert told(database, tenant) == ["requested", "reminder", "escalated", "expired"]


def test_the_policys_shares_decide_when(
    database: Database, tenant: uuid.UUID, owner_url: str
) -> None:
    ask(database, tenant, reminder_share=0.1, escalate_share=0.2, deadline_seconds=1000)

    let_pass(owner_url, 0.25)

    assert dispatch.sweep(database) == Swept(1, 1, 0, 0)


def test_an_escalated_request_asks_seniors_as_well_whoever_was_assigned(
    database: Database, tenant: uuid.UUID, owner_url: str
) -> None:
    approval = ask(database, tenant, assignees=["dr-lee"], deadline_seconds=1000)
    with pytest.raises(ApprovalForbidden):
        approvals.decide(database, tenant, approval, SENIOR)
    let_pass(owner_url, 0.81)
    dispatch.sweep(database)
    with pytest.raises(ApprovalForbidden, match="assigned to others"):
        approvals.decide(database, tenant, approval, replace(VOTE, actor="dr-wu"))

    verdict = approvals.decide(database, tenant, approval, SENIOR)

    assert verdict == "approved"


def test_a_reviewer_may_still_decide_after_the_escalation(
    database: Database, tenant: uuid.UUID, owner_url: str
) -> None:
    approval = ask(database, tenant, deadline_seconds=1000)
    let_pass(owner_url, 0.81)
    dispatch.sweep(database)

    assert approvals.decide(database, tenant, approval, VOTE) == "approved"


def test_an_extended_deadline_is_told_with_the_new_one_and_only_seniors_are_left(
    database: Database, tenant: uuid.UUID, owner_url: str
) -> None:
    approval = ask(database, tenant, on_timeout="escalate", deadline_seconds=1000, quorum=2)
    let_pass(owner_url, 1.0)

    first = dispatch.sweep(database)

    row = request(database, tenant)
    with database.tenant_transaction(tenant) as cursor:
        cursor.execute("select deadline, detail from radiant.event order by seq desc limit 1")
        event = cursor.fetchone()
    assert first == Swept(0, 0, 1, 0)
    assert row["extended_at"] is not None
    assert row["extended_at"] < row["deadline"]
    assert event == {"deadline": row["deadline"], "detail": {"role": "senior", "extended": True}}
    assert approvals.decide(database, tenant, approval, SENIOR) is None
    with pytest.raises(ApprovalForbidden, match="role senior"):
        approvals.decide(database, tenant, approval, VOTE)


def test_the_second_vote_may_need_a_senior(database: Database, tenant: uuid.UUID) -> None:
    approval = ask(database, tenant, quorum=2, second_role="senior")
    approvals.decide(database, tenant, approval, VOTE)

    with pytest.raises(ApprovalForbidden, match="role senior"):
        approvals.decide(database, tenant, approval, replace(VOTE, actor="dr-wu"))

    assert approvals.decide(database, tenant, approval, SENIOR) == "approved"


FROM_PENDING = {"pending", "approved", "rejected", "modified", "expired", "cancelled"}
STEPS = st.lists(
    st.sampled_from(
        ["approve", "approve2", "senior", "reject", "modify", "claim", "release", "reassign",
         "cancel", "sweep", "half", "most", "over"]
    ),
    min_size=1, max_size=8,
)  # fmt: skip


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(STEPS, st.integers(1, 2), st.sampled_from(["reject", "escalate"]))
def test_no_illegal_transition_is_reachable(
    database: Database,
    tenant: uuid.UUID,
    owner_url: str,
    steps: list[str],
    quorum: int,
    on_timeout: str,
) -> None:
    run_sql(
        owner_url, "update radiant.approval_request set state = 'cancelled' where state = 'pending'"
    )
    approval = ask(database, tenant, quorum=quorum, on_timeout=on_timeout, deadline_seconds=1000)
    correction = replace(VOTE, actor="dr-mod", verdict="modified", edited_text="Better.")
    rejection = replace(VOTE, actor="dr-no", verdict="rejected", guidance="No.")

    def votes(vote: Vote) -> Callable[[], object]:
        return lambda: approvals.decide(database, tenant, approval, vote)

    doing: dict[str, Callable[[], object]] = {
        "approve": votes(VOTE),
        "approve2": votes(replace(VOTE, actor="dr-wu")),
        "senior": votes(SENIOR),
        "reject": votes(rejection),
        "modify": votes(correction),
        "claim": lambda: claims.claim(database, tenant, approval, VOTE.reviewer),
        "release": lambda: claims.release(database, tenant, approval, VOTE.reviewer),
        "reassign": lambda: claims.reassign(database, tenant, approval, ADMIN, ["dr-no"]),
        "cancel": lambda: claims.cancel(database, tenant, approval, ADMIN),
        "sweep": lambda: dispatch.sweep(database),
        "half": lambda: let_pass(owner_url, 0.5),
        "most": lambda: let_pass(owner_url, 0.85),
        "over": lambda: let_pass(owner_url, 1.0),
    }
    path = ["pending"]
    for step in steps:
        with contextlib.suppress(RadiantError):
            doing[step]()
        path.append(state_of(database, tenant, approval))

    for before, after in itertools.pairwise(path):
        assert after in (FROM_PENDING if before == "pending" else {before})
    with database.tenant_transaction(tenant) as cursor:
        cursor.execute(
            "select d.verdict, cardinality(d.decided_by) as people,"
            " (select count(*) from radiant.approval_vote v where v.approval_id = r.id) as votes"
            " from radiant.approval_request r left join radiant.approval_decision d"
            " on d.approval_id = r.id where r.id = %s",
            (approval,),
        )
        row = cursor.fetchone()
    assert row is not None
    assert row["verdict"] == (None if path[-1] in ("pending", "cancelled") else path[-1])
    if path[-1] == "approved":
        assert row["people"] == row["votes"] == quorum


def state_of(database: Database, tenant: uuid.UUID, approval: uuid.UUID) -> str:
    with database.tenant_transaction(tenant) as cursor:
        return approvals.get_approval(cursor, tenant, approval)["state"]

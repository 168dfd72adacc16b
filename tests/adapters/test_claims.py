"""Who may decide what, when somebody else is at it."""

import uuid
from dataclasses import replace
from typing import Any

import psycopg2
import pytest

from radiant_dagster.adapters import approvals, audit, claims, sessions
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.domain.approvals import Reviewer, Vote, payload_hash
from radiant_dagster.errors import (
    ApprovalAlreadyResolved,
    ApprovalClaimed,
    ApprovalForbidden,
    ApprovalNotFound,
    ApprovalStale,
    InvalidInput,
    RadiantError,
)
from tests.adapters.rows import insert_approval, set_policy
from tests.conftest import run_sql

HASH = payload_hash("The draft.")
VOTE = Vote("dr-lee", frozenset({"reviewer"}), "approved", payload_sha256=HASH)
LEE = VOTE.reviewer
WU = Reviewer("dr-wu", frozenset({"reviewer"}))
ADMIN = Reviewer("root", frozenset({"admin"}))


def ask(database: Database, tenant: uuid.UUID, **policy: Any) -> uuid.UUID:
    with database.tenant_transaction(tenant) as cursor:
        set_policy(cursor, tenant, **policy)
        return insert_approval(cursor, tenant)


def stored(database: Database, tenant: uuid.UUID, approval_id: uuid.UUID) -> dict[str, Any]:
    with database.tenant_transaction(tenant, role="radiant_review") as cursor:
        return approvals.get_approval(cursor, tenant, approval_id)


def actions(database: Database, tenant: uuid.UUID, approval_id: uuid.UUID) -> list[str]:
    with database.tenant_transaction(tenant, role="radiant_review") as cursor:
        return [row["action"] for row in audit.of_approval(cursor, tenant, approval_id)]


@pytest.fixture
def approval(database: Database, tenant: uuid.UUID) -> uuid.UUID:
    return ask(database, tenant)


def test_a_live_page_hears_who_reads_a_request_and_that_nobody_does_any_more(
    database: Database, tenant: uuid.UUID, approval: uuid.UUID
) -> None:
    claims.claim(database, tenant, approval, LEE)
    claims.claim(database, tenant, approval, LEE)  # renewed: nothing new to show
    claims.release(database, tenant, approval, LEE)

    with database.tenant_transaction(tenant) as cursor:
        cursor.execute(
            "select approval_id, detail from radiant.event where type = 'approval.claimed'"
            " order by seq"
        )
        rows = cursor.fetchall()
    assert [(row["approval_id"], row["detail"]["claimed_by"]) for row in rows] == [
        (approval, "dr-lee"),
        (approval, None),
    ]


def test_a_claim_keeps_others_from_deciding_until_it_lapses(
    database: Database, tenant: uuid.UUID, approval: uuid.UUID, owner_url: str
) -> None:
    held = claims.claim(database, tenant, approval, LEE)
    renewed = claims.claim(database, tenant, approval, LEE)

    with pytest.raises(ApprovalClaimed, match="claimed by dr-lee until"):
        approvals.decide(database, tenant, approval, replace(VOTE, actor="dr-wu"))
    with pytest.raises(ApprovalClaimed):
        claims.claim(database, tenant, approval, WU)
    with pytest.raises(ApprovalClaimed):
        claims.release(database, tenant, approval, WU)
    run_sql(owner_url, "update radiant.approval_request set claim_expires = clock_timestamp()")
    verdict = approvals.decide(database, tenant, approval, replace(VOTE, actor="dr-wu"))

    assert (held.expires_at - held.server_now).total_seconds() == claims.CLAIM_SECONDS
    assert renewed.expires_at > held.expires_at
    assert verdict == "approved"
    assert actions(database, tenant, approval).count("approval.claimed") == 1


def test_who_claimed_decides_and_a_claim_changes_no_version(
    database: Database, tenant: uuid.UUID, approval: uuid.UUID
) -> None:
    claims.claim(database, tenant, approval, LEE)

    verdict = approvals.decide(database, tenant, approval, VOTE, if_version=1)

    assert verdict == "approved"


def test_a_released_or_broken_claim_is_free_for_others(
    database: Database, tenant: uuid.UUID, approval: uuid.UUID
) -> None:
    claims.claim(database, tenant, approval, LEE)
    claims.release(database, tenant, approval, LEE)
    claims.release(database, tenant, approval, LEE)
    claims.claim(database, tenant, approval, WU)
    claims.release(database, tenant, approval, ADMIN)

    claims.claim(database, tenant, approval, LEE)

    assert actions(database, tenant, approval)[1:] == [
        "approval.claimed",
        "approval.released",
        "approval.claimed",
        "approval.claim_broken",
        "approval.claimed",
    ]


def test_who_may_not_decide_may_not_claim(
    database: Database, tenant: uuid.UUID, approval: uuid.UUID
) -> None:
    for reviewer in (
        replace(LEE, actor="ann"),
        replace(LEE, roles=frozenset({"viewer"})),
        replace(LEE, domains=frozenset({"legal"})),
    ):
        with pytest.raises(ApprovalForbidden):
            claims.claim(database, tenant, approval, reviewer)

    assert stored(database, tenant, approval)["claimed_by"] is None


def test_a_first_vote_frees_the_claim_and_the_second_reader_has_to_know_of_it(
    database: Database, tenant: uuid.UUID
) -> None:
    approval = ask(database, tenant, quorum=2)
    claims.claim(database, tenant, approval, LEE)

    first = approvals.decide(database, tenant, approval, VOTE, if_version=1)
    with pytest.raises(ApprovalStale, match="at version 2"):
        approvals.decide(database, tenant, approval, replace(VOTE, actor="dr-wu"), if_version=1)
    second = approvals.decide(
        database, tenant, approval, replace(VOTE, actor="dr-wu"), if_version=2
    )

    assert (first, second) == (None, "approved")


def test_an_assigned_request_is_decided_by_its_assignees_as_the_policy_or_an_admin_says(
    database: Database, tenant: uuid.UUID
) -> None:
    approval = ask(database, tenant, assignees=["Dr-Wu"])

    with pytest.raises(ApprovalForbidden, match="assigned to others"):
        approvals.decide(database, tenant, approval, VOTE)
    with pytest.raises(ApprovalForbidden, match="role admin"):
        claims.reassign(database, tenant, approval, WU, ["dr-lee"])
    with pytest.raises(ApprovalStale):
        claims.reassign(database, tenant, approval, ADMIN, ["dr-lee"], if_version=9)
    claims.reassign(database, tenant, approval, ADMIN, ["dr-lee ", "DR-LEE"], if_version=1)
    with pytest.raises(ApprovalForbidden, match="assigned to others"):
        approvals.decide(database, tenant, approval, replace(VOTE, actor="dr-wu"))

    assert stored(database, tenant, approval)["assignees"] == ["dr-lee"]
    assert approvals.decide(database, tenant, approval, VOTE) == "approved"


def test_an_empty_assignment_opens_a_request_to_everybody(
    database: Database, tenant: uuid.UUID
) -> None:
    approval = ask(database, tenant, assignees=["dr-wu"])

    claims.reassign(database, tenant, approval, ADMIN, [])

    assert approvals.decide(database, tenant, approval, VOTE) == "approved"


def test_a_policy_changed_meanwhile_does_not_touch_what_is_pending(
    database: Database, tenant: uuid.UUID, approval: uuid.UUID
) -> None:
    with database.tenant_transaction(tenant) as cursor:
        set_policy(
            cursor, tenant, quorum=2, required_role="senior", allow=["reject"], assignees=["dr-wu"]
        )

    assert approvals.decide(database, tenant, approval, VOTE) == "approved"


def test_what_the_policy_does_not_allow_is_refused(database: Database, tenant: uuid.UUID) -> None:
    approval = ask(database, tenant, allow=["approve", "reject"])
    correction = replace(VOTE, verdict="modified", edited_text="Better.")

    with pytest.raises(ApprovalForbidden, match="allows only: approve, reject"):
        approvals.decide(database, tenant, approval, correction)


@pytest.mark.parametrize(
    "policy",
    [
        {"on_timeout": "approve"},
        {"allow": ["approve"]},
        {"allow": ["reject", "waive"]},
        {"assignees": []},
        {"required_role": "viewer"},
        {"reminder_share": 1.0},
        {"quorum": 3},
    ],
)
def test_a_policy_that_would_approve_or_ask_nobody_cannot_be_stored(
    database: Database, tenant: uuid.UUID, policy: dict[str, Any]
) -> None:
    with pytest.raises(psycopg2.errors.CheckViolation):
        ask(database, tenant, **policy)


def test_an_admins_cancellation_ends_the_session_too(
    database: Database, tenant: uuid.UUID, approval: uuid.UUID, owner_url: str
) -> None:
    with pytest.raises(ApprovalForbidden, match="role admin"):
        claims.cancel(database, tenant, approval, LEE)

    session_id = claims.cancel(database, tenant, approval, ADMIN)

    with pytest.raises(ApprovalAlreadyResolved, match="cancelled"):
        claims.cancel(database, tenant, approval, ADMIN)
    with database.tenant_transaction(tenant) as cursor:
        status = sessions.get_session(cursor, tenant, session_id)["status"]
        cursor.execute("select type from radiant.event order by seq")
        told = [row["type"] for row in cursor.fetchall()]
    assert status == "cancelled"
    assert stored(database, tenant, approval)["state"] == "cancelled"
    assert sorted(told) == ["approval.cancelled", "approval.requested", "session.completed"]


def test_several_are_rejected_each_with_its_own_outcome(
    database: Database, tenant: uuid.UUID
) -> None:
    mine, decided, changed = (ask(database, tenant) for _ in range(3))
    approvals.decide(database, tenant, decided, VOTE)
    unknown = uuid.uuid4()
    chosen = [(mine, HASH), (decided, HASH), (changed, b"x"), (unknown, HASH)]

    outcomes = claims.bulk(database, tenant, chosen, "reject", WU, guidance="Out of scope.")

    codes = [item.error.code if item.error else None for item in outcomes]
    assert [item.approval_id for item in outcomes] == [item for item, _ in chosen]
    assert codes == [None, "approval_already_resolved", "approval_changed", "approval_not_found"]
    assert stored(database, tenant, mine)["state"] == "rejected"
    assert stored(database, tenant, changed)["state"] == "pending"


def test_several_are_claimed_and_none_is_ever_approved_in_bulk(
    database: Database, tenant: uuid.UUID
) -> None:
    ids = [ask(database, tenant) for _ in range(2)]
    claims.claim(database, tenant, ids[1], WU)

    outcomes = claims.bulk(database, tenant, [(item, b"") for item in ids], "claim", LEE)
    wrong: Any = "approve"
    with pytest.raises(InvalidInput, match="cannot be done in bulk"):
        claims.bulk(database, tenant, [(ids[0], HASH)], wrong, LEE)
    with pytest.raises(InvalidInput, match="guidance: is empty"):
        claims.bulk(database, tenant, [(ids[0], HASH)], "reject", LEE)

    assert [item.error is None for item in outcomes] == [True, False]
    assert stored(database, tenant, ids[0])["claimed_by"] == "dr-lee"
    assert stored(database, tenant, ids[0])["state"] == "pending"


@pytest.mark.parametrize("call", ["claim", "release", "reassign", "cancel"])
def test_another_tenants_request_is_not_found(
    database: Database, approval: uuid.UUID, call: str
) -> None:
    other = uuid.uuid4()
    arguments: tuple[Any, ...] = ([],) if call == "reassign" else ()

    with pytest.raises(RadiantError) as caught:
        getattr(claims, call)(database, other, approval, ADMIN, *arguments)

    assert isinstance(caught.value, ApprovalNotFound)


def test_a_final_state_cannot_be_changed_even_by_sql(
    database: Database, tenant: uuid.UUID, approval: uuid.UUID
) -> None:
    approvals.decide(database, tenant, approval, replace(VOTE, verdict="rejected", guidance="No."))

    with (
        pytest.raises(psycopg2.errors.CheckViolation, match="rejected is final"),
        database.tenant_transaction(tenant, role="radiant_review") as cursor,
    ):
        cursor.execute(
            "update radiant.approval_request set state = 'approved' where id = %s", (approval,)
        )

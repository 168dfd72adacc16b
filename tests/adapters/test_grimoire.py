import json
import threading
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest

from radiant_dagster.adapters import tenants
from radiant_dagster.adapters.grimoire import credit, curation, figures, search, store, upkeep
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.domain.extraction import ExtractedHeuristic
from radiant_dagster.errors import HeuristicNotFound, InvalidInput
from tests.adapters.rows import insert, insert_heuristic, insert_session

MODEL = "all-MiniLM-L6-v2-int8"
NEW_MODEL = "elsewhere/text-embedding-3-small"
QUERY = [1.0] + [0.0] * 383
OTHER = uuid.UUID(int=0xB0B)


def new(
    number: int = 0, *, polarity: Any = "do", trigger: str = "A question about cold storage"
) -> Any:
    extracted = ExtractedHeuristic(
        decision="store",
        polarity=polarity,
        trigger_pattern=trigger,
        action_template="Say how long the cold holds and when stock must move.",
        rationale="",
        evidence_quotes=[],
        generality="reusable",
    )
    return store.NewHeuristic(
        id=uuid.uuid4(),
        domain="general",
        extracted=extracted,
        embedding=QUERY,
        embedding_model=MODEL,
        session_id=uuid.UUID(int=number),
        source_user="ann",
        outcome="approved",
        extraction_model="m",
        created_by="librarian",
        now=datetime.now(UTC),
    )


def heuristic(owner: Any, heuristic_id: uuid.UUID) -> dict[str, Any]:
    owner.execute("select * from radiant.knowledge_heuristics where id = %s", (heuristic_id,))
    row = owner.fetchone()
    return dict(row) if row else {}


def test_eight_librarians_with_one_text_leave_one_row(
    database_url: str, tenant: uuid.UUID, owner: Any
) -> None:
    pool = Database(database_url, pool_size=8)
    start = threading.Barrier(8)
    stored: list[store.Kept] = []

    def learn(number: int) -> None:
        with pool.tenant_transaction(tenant) as cursor:
            start.wait()  # connected already, so that they really meet
            spaces = " " * number  # differs in nothing that counts
            text = f"A  question {spaces}about COLD storage"
            stored.append(store.keep_learned(cursor, tenant, new(number, trigger=text)))

    threads = [threading.Thread(target=learn, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pool.close()

    owner.execute("select id, state from radiant.knowledge_heuristics")
    (row,) = owner.fetchall()
    assert row["state"] == "quarantined"
    assert {kept.heuristic_id for kept in stored} == {row["id"]}
    assert sorted(kept.kept_as for kept in stored) == ["rederived"] * 7 + ["stored"]


def test_the_same_text_is_another_heuristic_for_another_polarity_or_tenant(
    database: Database, tenant: uuid.UUID
) -> None:
    tenants.create_tenant(database, OTHER, "other", "Other")
    with database.tenant_transaction(tenant) as cursor:
        first = store.keep_learned(cursor, tenant, new())
        avoided = store.keep_learned(cursor, tenant, new(polarity="avoid"))
    with database.tenant_transaction(OTHER) as cursor:
        others = store.keep_learned(cursor, OTHER, new())

    kept = (first, avoided, others)
    assert [item.kept_as for item in kept] == ["stored"] * 3
    assert len({item.heuristic_id for item in kept}) == 3


def test_a_retired_text_may_be_learned_again(database: Database, tenant: uuid.UUID) -> None:
    with database.tenant_transaction(tenant) as cursor:
        lesson = new()
        store.keep_learned(cursor, tenant, lesson)
        curation.retire(cursor, tenant, lesson.id, actor="curator")
        second = store.keep_learned(cursor, tenant, new())

    assert second.kept_as == "stored"
    assert second.heuristic_id != lesson.id


LIVE_STATES = ("quarantined", "active")
AGES: dict[str, dict[str, Any]] = {
    "live": {"state": "active"},
    "candidate": {"state": "quarantined"},
    "lapsed": {"state": "active", "expires_at": "2020-01-01"},
    "lapsed candidate": {"state": "quarantined", "expires_at": "2020-01-01"},
    "distrusted": {"state": "active", "alpha": 1, "beta": 9, "created_at": "2020-01-01"},
    "surely distrusted though young": {"state": "active", "alpha": 1, "beta": 9},
    "doubted but young": {"state": "active", "alpha": 1, "beta": 4},
    "pinned and lapsed": {"state": "active", "expires_at": "2020-01-01", "pinned": True},
    "pinned and distrusted": {"state": "active", "alpha": 1, "beta": 9, "pinned": True},
    "old and trusted": {"state": "active", "alpha": 9, "beta": 1, "created_at": "2020-01-01"},
    "long expired": {"state": "expired", "updated_at": "2020-01-01"},
    "long retired": {"state": "retired", "updated_at": "2020-01-01"},
    "long revoked": {"state": "revoked", "updated_at": "2020-01-01"},
    "just retired": {"state": "retired"},
    "long merged": {"state": "merged", "updated_at": "2020-01-01"},
}
AFTERWARDS = {
    "lapsed": "expired",
    "lapsed candidate": "expired",
    "distrusted": "retired",
    "surely distrusted though young": "retired",
    "long expired": None,
    "long retired": None,
    "long revoked": None,
    "long merged": None,  # into what is gone
}


def test_maintenance_expires_retires_and_deletes_what_is_due_and_nothing_else(
    database: Database, tenant: uuid.UUID, owner: Any
) -> None:
    tenants.create_tenant(database, OTHER, "other", "Other")
    ids = {
        (name, tenant_id): insert_heuristic(owner, tenant_id, **columns)
        for name, columns in AGES.items()
        for tenant_id in (tenant, OTHER)
    }
    before = {key: heuristic(owner, item) for key, item in ids.items()}

    changed = upkeep.maintain(database)
    again = upkeep.maintain(database)

    assert changed == {"expired": 4, "retired": 4, "deleted": 8}
    assert again == {"expired": 0, "retired": 0, "deleted": 0}
    for (name, _), item in ids.items():
        after = heuristic(owner, item)
        wanted = AFTERWARDS.get(name, AGES[name]["state"])
        assert after.get("state") == wanted, name
        if name not in AFTERWARDS:
            assert after == before[(name, after["tenant_id"])]


def test_maintenance_leaves_a_line_in_the_audit_for_every_change(
    database: Database, tenant: uuid.UUID, owner: Any
) -> None:
    for columns in AGES.values():
        insert_heuristic(owner, tenant, **columns)

    upkeep.maintain(database)

    owner.execute("select action, count(*) as n from radiant.audit group by 1 order by 1")
    counts = {row["action"]: row["n"] for row in owner.fetchall()}
    assert counts == {"heuristic.deleted": 4, "heuristic.expired": 2, "heuristic.retired": 2}


def test_a_deleted_heuristic_takes_its_usage_along(
    database: Database, tenant: uuid.UUID, owner: Any
) -> None:
    session_id = insert_session(owner, tenant)
    gone = insert_heuristic(owner, tenant, state="retired", updated_at="2020-01-01")
    insert(
        owner,
        "heuristic_usage",
        tenant_id=tenant,
        session_id=session_id,
        agent_id="a",
        heuristic_id=gone,
        rank=1,
        similarity=0.9,
    )

    upkeep.maintain(database)

    owner.execute("select count(*) as n from radiant.heuristic_usage")
    assert owner.fetchone()["n"] == 0


def use(
    owner: Any, tenant: uuid.UUID, session_id: uuid.UUID, item: uuid.UUID, *, cited: list[bool]
) -> None:
    for number, flag in enumerate(cited):
        insert(
            owner,
            "heuristic_usage",
            tenant_id=tenant,
            session_id=session_id,
            agent_id=f"a{number}",
            heuristic_id=item,
            rank=1,
            similarity=0.9,
            cited=flag,
        )


def test_a_session_credits_what_was_cited_by_the_share_that_cited_it_once(
    database: Database, tenant: uuid.UUID, owner: Any
) -> None:
    session_id = insert_session(owner, tenant)
    cited, ignored = insert_heuristic(owner, tenant), insert_heuristic(owner, tenant)
    use(owner, tenant, session_id, cited, cited=[True, True, False, False])
    use(owner, tenant, session_id, ignored, cited=[False] * 4)

    with database.tenant_transaction(tenant) as cursor:
        first = credit.credit_session(cursor, tenant, session_id, 1.0)
        again = credit.credit_session(cursor, tenant, session_id, 0.0)

    row, other = heuristic(owner, cited), heuristic(owner, ignored)
    assert (first, again) == (1, 0)
    assert (row["alpha"], row["beta"]) == (1.5, 1.0)
    assert (row["success_count"], row["failure_count"]) == (1, 0)
    assert row["last_used_at"] is not None
    assert (other["alpha"], other["beta"], other["last_used_at"]) == (1, 1, None)


def test_a_rejection_lowers_confidence_and_counts_as_a_failure(
    database: Database, tenant: uuid.UUID, owner: Any
) -> None:
    session_id = insert_session(owner, tenant)
    item = insert_heuristic(owner, tenant)
    use(owner, tenant, session_id, item, cited=[True])

    with database.tenant_transaction(tenant) as cursor:
        credit.credit_session(cursor, tenant, session_id, 0.0)

    row = heuristic(owner, item)
    assert row["confidence"] == pytest.approx(1 / 3)
    assert (row["success_count"], row["failure_count"]) == (0, 1)


def test_concurrent_credits_of_one_session_count_once(
    database_url: str, tenant: uuid.UUID, owner: Any
) -> None:
    session_id = insert_session(owner, tenant)
    item = insert_heuristic(owner, tenant)
    use(owner, tenant, session_id, item, cited=[True, True])
    pool = Database(database_url, pool_size=6)
    start = threading.Barrier(6)
    moved: list[int] = []

    def once() -> None:
        with pool.tenant_transaction(tenant) as cursor:
            start.wait()
            moved.append(credit.credit_session(cursor, tenant, session_id, 1.0))

    threads = [threading.Thread(target=once) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pool.close()

    assert sorted(moved) == [0, 0, 0, 0, 0, 1]
    assert heuristic(owner, item)["alpha"] == 2.0


STATES = ("quarantined", "active", "retired", "expired", "merged", "revoked")


@pytest.mark.parametrize("state", STATES)
def test_only_a_candidate_is_promoted_and_only_what_is_in_use_is_retired(
    database: Database, tenant: uuid.UUID, owner: Any, state: str
) -> None:
    promotable = insert_heuristic(owner, tenant, state=state)
    retirable = insert_heuristic(owner, tenant, state=state)

    def try_to(action: Any, item: uuid.UUID) -> bool:
        try:
            with database.tenant_transaction(tenant) as cursor:
                action(cursor, tenant, item, actor="curator")
        except InvalidInput:
            return False
        return True

    assert try_to(curation.promote, promotable) == (state == "quarantined")
    assert try_to(curation.retire, retirable) == (state in ("quarantined", "active"))
    after = heuristic(owner, promotable)
    assert after["state"] == ("active" if state == "quarantined" else state)
    assert after["approved_by"] == ("curator" if state == "quarantined" else None)


def test_a_curator_has_a_name(database: Database, tenant: uuid.UUID, owner: Any) -> None:
    item = insert_heuristic(owner, tenant, state="quarantined")

    with (
        pytest.raises(InvalidInput, match="actor"),
        database.tenant_transaction(tenant) as cursor,
    ):
        curation.promote(cursor, tenant, item, actor=" ")

    with (
        pytest.raises(HeuristicNotFound),
        database.tenant_transaction(tenant) as cursor,
    ):
        curation.promote(cursor, tenant, uuid.uuid4(), actor="curator")


def direction(*parts: float) -> str:
    return json.dumps(list(parts) + [0.0] * (384 - len(parts)))


def test_a_search_finds_live_rows_of_its_tenant_domain_and_model_only(
    database: Database, tenant: uuid.UUID, owner: Any
) -> None:
    tenants.create_tenant(database, OTHER, "other", "Other")
    near = insert_heuristic(owner, tenant, embedding=direction(0.9, 0.435))
    nearest = insert_heuristic(owner, tenant)
    insert_heuristic(owner, OTHER)
    insert_heuristic(owner, tenant, domain="medical")
    insert_heuristic(
        owner,
        tenant,
        embedding_model="text-embedding-3-small",
        embedding=json.dumps([1.0] + [0.0] * 1535),
    )
    insert_heuristic(owner, tenant, expires_at="2020-01-01")
    insert_heuristic(owner, tenant, alpha=1, beta=9)
    for state in STATES:
        if state != "active":
            insert_heuristic(owner, tenant, state=state)

    with database.tenant_transaction(tenant) as cursor:
        found = search.nearest(cursor, tenant, "general", MODEL, QUERY)
        wider = search.nearest(
            cursor, tenant, "general", MODEL, QUERY, states=("active", "quarantined"), limit=10
        )

    assert [item.id for item in found] == [nearest, near]
    assert found[0].similarity == pytest.approx(1, abs=1e-3)
    assert found[1].similarity == pytest.approx(0.9, abs=1e-2)
    assert found[0].embedding == tuple(QUERY)
    assert len(wider) == 3


def test_a_model_of_which_nothing_is_stored_yet_has_the_floor_it_will_begin_with(
    database: Database, tenant: uuid.UUID
) -> None:
    with database.tenant_transaction(tenant) as cursor:
        before = search.floor_of(cursor, NEW_MODEL)
        search.register_model(cursor, NEW_MODEL, 8)
        after = search.floor_of(cursor, NEW_MODEL)
        known = search.floor_of(cursor, MODEL)

    assert (before, after, known) == pytest.approx((0.4, 0.4, 0.5))


def test_figures_count_over_all_tenants(database: Database, tenant: uuid.UUID, owner: Any) -> None:
    tenants.create_tenant(database, OTHER, "other", "Other")
    session_id = insert_session(owner, tenant)
    used = insert_heuristic(owner, tenant)
    insert_heuristic(owner, OTHER, state="quarantined")
    insert_heuristic(owner, OTHER, polarity="avoid", content_sha256=b"same")
    insert_heuristic(owner, OTHER, content_sha256=b"same")
    use(owner, tenant, session_id, used, cited=[True])
    with database.tenant_transaction(tenant) as cursor:
        credit.credit_session(cursor, tenant, session_id, 1.0)

    found = figures.read_figures(database)

    (row,) = found.by_domain
    assert (row["active"], row["quarantined"], row["never_used"]) == (3, 1, 2)
    assert found.duplicates == 1
    assert found.brier == pytest.approx((1 - 2 / 3) ** 2, abs=1e-6)
    assert found.histogram == (0, 0, 0, 0, 0, 2, 1, 0, 0, 0)

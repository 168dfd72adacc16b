import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import numpy as np
import pytest

from radiant_dagster.adapters.grimoire.calibration import (
    calibrate_from_labels,
    calibrate_from_outcomes,
)
from radiant_dagster.adapters.grimoire.hubs import hubs
from radiant_dagster.adapters.grimoire.reembed import reembed_all
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.definitions import defs
from radiant_dagster.domain.calibration import Observation
from tests.adapters.rows import insert, insert_heuristic, insert_session
from tests.conftest import World

MODEL = "all-MiniLM-L6-v2-int8"
NOW = datetime(2026, 11, 1, tzinfo=UTC)


def uses(owner: Any, tenant: uuid.UUID, similarity: float, count: int, **columns: Any) -> None:
    session_id, item = insert_session(owner, tenant), insert_heuristic(owner, tenant)
    for n in range(count):
        insert(
            owner, "heuristic_usage", tenant_id=tenant, session_id=session_id, agent_id=f"a{n}",
            heuristic_id=item, rank=1, similarity=similarity, **columns,
        )  # fmt: skip


def model(owner: Any, model_id: str = MODEL) -> dict[str, Any]:
    owner.execute("select * from radiant.embedding_model where id = %s", (model_id,))
    return dict(owner.fetchone())


def judged(owner: Any, tenant: uuid.UUID) -> None:
    """150 uses that helped, 100 that were ignored at .55 or cited in vain; some unjudged."""
    uses(owner, tenant, 0.62, 150, cited=True, reward=1.0)
    uses(owner, tenant, 0.55, 60, cited=False, reward=1.0)
    uses(owner, tenant, 0.55, 40, cited=True, reward=0.0)
    uses(owner, tenant, 0.3, 50, cited=True)


def test_outcomes_choose_a_floor_which_is_written_with_its_data_only_when_asked(
    database: Database, tenant: uuid.UUID, owner: Any
) -> None:
    judged(owner, tenant)
    before = model(owner)

    (shown, *_) = calibrate_from_outcomes(database, now=NOW, apply=False)
    untouched = model(owner)
    (written, *others) = calibrate_from_outcomes(database, now=NOW, apply=True)
    after = model(owner)

    assert untouched == before
    assert shown.chosen == written.chosen
    assert shown.chosen is not None
    assert shown.chosen.floor == pytest.approx(0.62)
    assert after["threshold"] == pytest.approx(0.62)
    assert after["calibrated_at"] == NOW
    assert after["calibration"]["n"] == 250
    assert after["calibration"]["precision"] == 1
    assert after["calibration"]["source"] == "outcomes"
    assert all(other.chosen is None for other in others)  # a model without uses stays


def test_too_few_judged_uses_leave_the_floor_alone(
    database: Database, tenant: uuid.UUID, owner: Any
) -> None:
    uses(owner, tenant, 0.62, 199, cited=True, reward=1.0)
    uses(owner, tenant, 0.62, 10, cited=True)
    before = model(owner)

    (found, *_) = calibrate_from_outcomes(database, now=NOW, apply=True)

    assert found.chosen is None
    assert found.n == 199
    assert model(owner) == before


class OtherModel:
    """Another embedding model than the uses were measured with."""

    model_id = "other-4"
    dimensions = 4

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        return [self.embed_one(text) for text in texts]

    def embed_one(self, text: str) -> list[float]:
        return [0.0, 1.0, 0.0, 0.0]


def test_what_a_replaced_model_measured_says_nothing_about_the_next(
    database: Database, tenant: uuid.UUID, owner: Any
) -> None:
    judged(owner, tenant)
    reembed_all(database, OtherModel())
    session_id = insert_session(owner, tenant)
    owner.execute("select id from radiant.knowledge_heuristics limit 1")
    item = owner.fetchone()["id"]
    insert(
        owner, "heuristic_usage", tenant_id=tenant, session_id=session_id, agent_id="a",
        heuristic_id=item, rank=1, similarity=0.7, cited=True, reward=1.0,
    )  # fmt: skip

    found = calibrate_from_outcomes(database, now=NOW, apply=True)

    seen = {item.model_id: (item.n, item.chosen) for item in found}
    assert seen[OtherModel.model_id] == (1, None)
    assert seen[MODEL] == (0, None)


def test_labels_give_a_model_its_floor_before_anything_of_it_is_stored(
    database: Database, owner: Any
) -> None:
    seen = [Observation(0.3 + n / 500, relevant=n > 150) for n in range(300)]

    found = calibrate_from_labels(database, OtherModel(), seen, now=NOW, apply=True)

    assert found.chosen is not None
    assert model(owner, OtherModel.model_id)["threshold"] == pytest.approx(found.chosen.floor)


def test_the_job_shows_the_floors_and_writes_them_on_request(world: World, owner: Any) -> None:
    judged(owner, world.tenant)
    job = defs.resolve_job_def("grimoire_calibrate")

    shown = job.execute_in_process()
    unchanged = model(owner)["threshold"]
    config = dg.RunConfig(ops={"calibrate_floors": {"config": {"apply": True}}})
    written = job.execute_in_process(run_config=config)

    assert shown.success
    assert written.success
    assert unchanged == pytest.approx(0.5)
    assert model(owner)["threshold"] == pytest.approx(0.62)


def test_a_planted_hub_is_named_and_other_domains_and_states_are_not_asked(
    database: Database, tenant: uuid.UUID, owner: Any
) -> None:
    random = np.random.default_rng(5)
    honest = random.normal(size=(40, 384)) + 0.3 * random.normal(size=384)
    honest /= np.linalg.norm(honest, axis=1, keepdims=True)
    for vector in honest:
        insert_heuristic(owner, tenant, embedding=str(vector.tolist()))
    mean = honest.mean(axis=0) / np.linalg.norm(honest.mean(axis=0))
    planted = insert_heuristic(owner, tenant, embedding=str(mean.tolist()))
    insert_heuristic(owner, tenant, embedding=str(mean.tolist()), state="quarantined")
    insert_heuristic(owner, tenant, embedding=str(mean.tolist()), domain="medical")

    with database.tenant_transaction(tenant) as cursor:
        found = hubs(cursor, tenant, "general", MODEL)
        elsewhere = hubs(cursor, tenant, "medical", MODEL)

    assert found == (planted,)
    assert elsewhere == ()

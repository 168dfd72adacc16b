"""Chooses the similarity floor of an embedding model and writes it with the data it comes from.

Over all tenants, under the maintenance role: similarities and rewards only, no text. A floor that
was measured replaces the start value; where too little is known everything stays as it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg2.extras import Json

from radiant_dagster.adapters.embeddings import EmbeddingModel, default_floor
from radiant_dagster.adapters.grimoire.search import floor_of, register_model
from radiant_dagster.adapters.postgres import Cursor, Database
from radiant_dagster.domain.calibration import (
    Observation,
    Quality,
    choose_floor,
    choose_floor_near,
)

MODELS = "select id, threshold from radiant.embedding_model order by id"
# Not what was measured with the vectors of a replaced model: it measures on another scale.
OUTCOMES = """
    select u.similarity, u.cited and u.reward >= 0.5 as relevant
    from radiant.heuristic_usage u
    join radiant.knowledge_heuristics h on h.tenant_id = u.tenant_id and h.id = u.heuristic_id
    where u.reward is not null and h.embedding_model = %s
      and (h.model_since is null or u.at >= h.model_since)
"""
WRITE = """
    update radiant.embedding_model
    set threshold = %s, source = %s, calibrated_at = %s, calibration = %s where id = %s
"""
FROM_OUTCOMES = "outcomes"
FROM_FILE = "labelled file"


@dataclass(frozen=True, slots=True)
class Calibrated:
    """What a calibration found for one model.

    Args:
        before: The floor that stands, or stood.
        n: Observations there were.
        chosen: The new floor and what it does; None where too little is known.
        source: What it was measured on.
    """

    model_id: str
    before: float
    n: int
    chosen: Quality | None
    source: str


def calibrate_from_outcomes(
    database: Database, *, now: datetime, apply: bool
) -> tuple[Calibrated, ...]:
    """Choose every model's floor by what the uses of its heuristics were worth.

    A use fits where its agent cited it and the outcome was good. Models with fewer than 200 judged
    uses are left alone, and no floor moves further than 0.1 below or 0.2 above the model's start
    value.

    Args:
        apply: Write the floors; else only tell.
    """
    found: list[Calibrated] = []
    with database.system_transaction("radiant_maintenance") as cursor:
        for model_id, before in _models(cursor).items():
            cursor.execute(OUTCOMES, (model_id,))
            seen = [Observation(row["similarity"], row["relevant"]) for row in cursor.fetchall()]
            chosen = choose_floor_near(seen, default_floor(model_id))
            result = Calibrated(model_id, before, len(seen), chosen, FROM_OUTCOMES)
            if apply:
                _write(cursor, result, now)
            found.append(result)
    return tuple(found)


def calibrate_from_labels(
    database: Database,
    model: EmbeddingModel,
    observations: Sequence[Observation],
    *,
    now: datetime,
    apply: bool,
) -> Calibrated:
    """Choose one model's floor by labelled questions.

    Args:
        model: Whose vectors were compared; made known where nothing of it is stored yet.
        observations: The nearest stored text of each question.
        apply: Write the floor; else only tell.
    """
    with database.system_transaction("radiant_maintenance") as cursor:
        before = floor_of(cursor, model.model_id)
        chosen = choose_floor(observations)
        result = Calibrated(model.model_id, before, len(observations), chosen, FROM_FILE)
        if apply:
            register_model(cursor, model.model_id, model.dimensions)
            _write(cursor, result, now)
    return result


def _models(cursor: Cursor) -> dict[str, float]:
    cursor.execute(MODELS)
    return {row["id"]: float(row["threshold"]) for row in cursor.fetchall()}


def _write(cursor: Cursor, result: Calibrated, now: datetime) -> None:
    if result.chosen is None:
        return
    data = result.chosen.as_dict() | {"source": result.source, "at": now.isoformat()}
    source = f"calibrated from {result.n} observations of {result.source}"
    cursor.execute(WRITE, (result.chosen.floor, source, now, Json(data), result.model_id))

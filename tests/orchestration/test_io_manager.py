"""What may travel between steps, and what may not."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.execution.api import execute_run_iterator
from hypothesis import given
from hypothesis import strategies as st

from radiant_dagster.engine.io_manager import decode, encode
from radiant_dagster.errors import InvalidInput
from tests.orchestration import engine_jobs

CANARY = "The patient Jane Doe asks about her prescription."


class Verdict(StrEnum):
    APPROVE = "approve"


@dataclass(frozen=True)
class Answer:
    text: str


@pytest.fixture
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(
        str(tmp_path_factory.mktemp("dagster")), overrides={"telemetry": {"enabled": False}}
    ) as opened:
        yield opened


ids = st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True)
scalars = st.none() | st.booleans() | st.integers(-(2**63) + 1, 2**63 - 1) | ids


@given(
    scalars
    | st.lists(scalars, max_size=5)
    | st.lists(scalars, max_size=5).map(tuple)
    | st.dictionaries(ids, scalars, max_size=5)
)
def test_an_acceptable_value_comes_back_as_it_went_with_its_types(value: object) -> None:
    text = encode(value, field="output")

    back = decode(text)

    assert back == value
    assert type(back) is type(value)


@given(st.builds("{} {}".format, st.text(), st.text()))
def test_no_sentence_gets_through(sentence: str) -> None:
    with pytest.raises(InvalidInput):
        encode(sentence, field="output")


@pytest.mark.parametrize(
    "value",
    [
        CANARY,
        "",
        "x" * 65,
        "line\nbreak",
        "agent-1\n",
        "größe",
        [CANARY],
        (CANARY,),
        {"text": CANARY},
        {CANARY: 1},
        {1: "a"},
        [["nested"]],
        {"a": ["nested"]},
        Answer(CANARY),
        Verdict.APPROVE,
        1.5,
        2**63,
        b"bytes",
        {"a", "b"},
        ["a"] * 257,
        object(),
    ],
    ids=lambda value: type(value).__name__,
)
def test_anything_else_is_refused_without_quoting_it(value: object) -> None:
    with pytest.raises(InvalidInput) as refused:
        encode(value, field="output 'result' of step synthesize")

    assert "output 'result' of step synthesize" in str(refused.value)
    assert "Jane" not in str(refused.value)


def test_a_step_that_returns_text_fails_and_the_text_is_nowhere_in_dagster(
    instance: dg.DagsterInstance,
) -> None:
    run = instance.create_run_for_job(job_def=engine_jobs.leaking)

    for _ in execute_run_iterator(dg.reconstructable(engine_jobs.leaking), run, instance):
        pass

    ended = instance.get_run_by_id(run.run_id)
    assert ended is not None
    assert ended.status is dg.DagsterRunStatus.FAILURE
    log = "\n".join(entry.to_json() for entry in instance.all_logs(run.run_id))
    assert "text that is not an id" in log
    assert "Jane" not in log


def test_values_are_kept_in_no_file_but_dagster_s_own_log(
    instance: dg.DagsterInstance,
) -> None:
    run = instance.create_run_for_job(job_def=engine_jobs.swarm)

    for _ in execute_run_iterator(dg.reconstructable(engine_jobs.swarm), run, instance):
        pass

    handled = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.HANDLED_OUTPUT)
    values = {
        entry.get_dagster_event().event_specific_data.metadata["value"].value for entry in handled
    }
    assert {'"session-1"', '"agent-0"', "4"} <= values
    assert not list(Path(instance.storage_directory()).rglob("*result*"))

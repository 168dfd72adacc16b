from radiant_dagster.domain.shortening import CUT_MARK, shortened
from radiant_dagster.domain.swarm import SwarmTask


def task(prompt: str = "Why?", **context: object) -> SwarmTask:
    return SwarmTask("reasoning", prompt, context, "Be brief.")


def test_documents_lose_their_middle_and_the_question_stays() -> None:
    whole = task("Why? " * 2_000, report="a" * 5_000 + "b" * 5_000, year=2026)

    shorter = shortened(whole)

    assert shorter is not None
    assert shorter.prompt == whole.prompt
    assert shorter.context["report"] == "a" * 2_500 + CUT_MARK + "b" * 2_500
    assert shorter.context["year"] == 2026


def test_documents_within_documents_are_shortened_too() -> None:
    shorter = shortened(task(files={"pages": ["x" * 1_000, "short"]}))

    assert shorter is not None
    assert len(shorter.context["files"]["pages"][0]) < 600
    assert shorter.context["files"]["pages"][1] == "short"


def test_a_long_question_without_documents_keeps_its_start_and_its_end() -> None:
    shorter = shortened(task("Sum this up: " + "x" * 9_000 + " In one line."))

    assert shorter is not None
    assert shorter.prompt.startswith("Sum this up: x")
    assert shorter.prompt.endswith("x In one line.")
    assert len(shorter.prompt) < 5_000


def test_a_short_question_is_never_cut() -> None:
    assert shortened(task("Why?")) is None

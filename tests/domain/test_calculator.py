import ast
import math
import operator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radiant_dagster.domain.calculator import MAX_CHARACTERS, calculate
from radiant_dagster.domain.tools import ToolError

OPERATORS = {"+": operator.add, "-": operator.sub, "*": operator.mul}


Sum = tuple[str, int]


SIGNS = st.sampled_from(sorted(OPERATORS))
NUMBERS = st.integers(0, 9999).map(lambda number: (str(number), number))


def join(left: Sum, sign: str, right: Sum) -> Sum:
    return f"({left[0]} {sign} {right[0]})", OPERATORS[sign](left[1], right[1])


TREES = st.recursive(NUMBERS, lambda parts: st.builds(join, parts, SIGNS, parts), max_leaves=15)


@st.composite
def sums(draw: st.DrawFn) -> Sum:
    """An expression over whole numbers, wide or deep, and its value, worked out beside it."""
    whole = draw(TREES)
    around = st.lists(st.tuples(NUMBERS, SIGNS, st.booleans()), max_size=25)
    for part, sign, before in draw(around):
        whole = join(part, sign, whole) if before else join(whole, sign, part)
    return whole


@given(sums())
@settings(max_examples=500)
def test_whole_numbers_are_exact(case: tuple[str, int]) -> None:
    text, value = case
    if len(text) > MAX_CHARACTERS or text.count("(") > 30:
        return

    assert calculate(text) == str(value)


@given(st.text(max_size=MAX_CHARACTERS + 5))
def test_any_text_gives_a_number_or_an_explanation(text: str) -> None:
    said = shown = ""
    try:
        shown = calculate(text)
    except ToolError as error:
        said = str(error)

    assert said.endswith(".") or math.isfinite(float(shown))


@given(st.text("0123456789+-*/%().e, maxinroudsqtlg", max_size=60))
def test_what_looks_like_arithmetic_never_ends_in_another_error(text: str) -> None:
    try:
        shown = calculate(text)
    except ToolError:
        return
    assert isinstance(ast.literal_eval(shown), (int, float))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("0.1 + 0.2", "0.3"),
        ("12.5 * 70 / 1000", "0.875"),
        ("-2 ** 2", "-4"),
        ("7 // 2 + 7 % 4", "6"),
        ("round(2 / 3, 2)", "0.67"),
        ("max(1, 2, sqrt(16)) - min(3, 4)", "1"),
        ("3 × 4 ÷ 2 − 1", "5"),
        ("2 ** 100", "1267650600228229401496703205376"),
        ("2 ** -1", "0.5"),
        ("log(8, 2) + log10(100)", "5"),
        ("pi", "3.14159265358979"),
        ("+5", "5"),
    ],
)
def test_the_result_is_written_as_a_person_would(text: str, shown: str) -> None:
    assert calculate(text) == shown


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no arithmetic expression"),
        ("1 +", "no arithmetic expression"),
        ("(" * 300 + "1" + ")" * 199, "no arithmetic expression"),
        ("1" * 501, "longer than 500 characters"),
        ("-" * 60 + "1", "nested deeper than 40"),
        ("9 ** 9 ** 9", "beyond 1000"),
        ("10 ** 400", "more than 300 digits"),
        ("(10 ** 200) * (10 ** 200)", "more than 300 digits"),
        ("9" * 301, "more than 300 digits"),
        ("1 / 0", "divides by zero"),
        ("0 ** -1", "divides by zero"),
        ("1e308 * 10", "too large"),
        ("exp(1000)", "too large"),
        ("sqrt(-1)", "outside of its range"),
        ("(-8) ** 0.5", "not a real number"),
        ("2 ^ 3", r"Write \*\* instead"),
        ("1 << 100", "operator is not known"),
        ("True + 1", "cannot be calculated"),
        ("'a' * 9", "cannot be calculated"),
        ("1j", "cannot be calculated"),
        ("x + 1", "cannot be calculated"),
        ("__import__('os').system('true')", "cannot be calculated"),
        ("(1).__class__", "cannot be calculated"),
        ("[n for n in (1, 2)]", "cannot be calculated"),
        ("max(*(1, 2))", "cannot be calculated"),
        ("round(number=1)", "cannot be calculated"),
        ("sqrt(1, 2)", "sqrt takes 1 arguments, not 2"),
        ("round(5, -400)", "whole digits from -15 to 15"),
    ],
)
def test_what_cannot_be_calculated_is_explained(text: str, said: str) -> None:
    with pytest.raises(ToolError, match=said):
        calculate(text)

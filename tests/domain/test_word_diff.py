"""Which words changed: complete, short, and bounded."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radiant_dagster.domain.word_diff import MAX_EDITS, Piece, word_diff

TEXTS = st.lists(st.sampled_from(["a", "b", "dose", " ", "\n", ".", "ä", "<b>"])).map("".join)


@given(TEXTS, TEXTS)
def test_the_pieces_make_up_both_texts(old: str, new: str) -> None:
    pieces = word_diff(old, new)

    assert "".join(piece.text for piece in pieces if piece.kind != "added") == old
    assert "".join(piece.text for piece in pieces if piece.kind != "removed") == new
    assert all(one.kind != two.kind for one, two in pairwise(pieces))


@pytest.mark.parametrize(
    ("old", "new", "pieces"),
    [
        ("", "", ()),
        ("one dose", "one dose", (Piece("same", "one dose"),)),
        ("", "new", (Piece("added", "new"),)),
        ("old", "", (Piece("removed", "old"),)),
        (
            "take one daily", "take two daily",
            (Piece("same", "take "), Piece("removed", "one"), Piece("added", "two"),
             Piece("same", " daily")),
        ),
        (
            "a b c d e", "a c d X e",
            (Piece("same", "a "), Piece("removed", "b "), Piece("same", "c d"),
             Piece("added", " X"), Piece("same", " e")),
        ),
    ],
)  # fmt: skip
def test_little_is_marked(old: str, new: str, pieces: tuple[Piece, ...]) -> None:
    assert word_diff(old, new) == pieces


def test_beyond_the_bound_the_middle_is_replaced() -> None:
    old = "begin " + "".join(f"old{n} " for n in range(MAX_EDITS)) + "end"
    new = "begin " + "".join(f"new{n}, " for n in range(MAX_EDITS)) + "end"

    pieces = word_diff(old, new)

    assert [piece.kind for piece in pieces] == ["same", "removed", "added", "same"]
    assert "".join(piece.text for piece in pieces if piece.kind != "removed") == new

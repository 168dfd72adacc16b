import pytest

from radiant_dagster.domain.wording import counted


@pytest.mark.parametrize(
    ("number", "said"), [(0, "0 sessions"), (1, "1 session"), (2, "2 sessions")]
)
def test_one_of_something_is_said_in_the_singular(number: int, said: str) -> None:
    assert counted(number, "session") == said

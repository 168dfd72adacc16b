"""`radiant grimoire rebuild` and `reembed`."""

import psycopg2
import psycopg2.extras
import pytest

from tests.adapters.rows import insert_heuristic
from tests.cli.conftest import Radiant


@pytest.fixture
def heuristic_id(radiant: Radiant) -> str:
    """A heuristic whose confidence nothing accounts for."""
    connection = psycopg2.connect(radiant.owner_url)
    psycopg2.extras.register_uuid(conn_or_curs=connection)
    with connection, connection.cursor() as cursor:
        found = insert_heuristic(cursor, radiant.tenant, alpha=5)
    connection.close()
    return str(found)


def test_a_check_of_confidence_changes_nothing_and_a_rebuild_sets_it_right(
    radiant: Radiant, heuristic_id: str
) -> None:
    told = radiant("grimoire", "rebuild", "--check")
    before = radiant.rows("select alpha from radiant.knowledge_heuristics")
    done = radiant.json("grimoire", "rebuild", "--as", "lee")
    again = radiant("grimoire", "rebuild", "--check")

    assert told.exit_code == 3
    assert f"{heuristic_id[:8]}  Beta(5.000, 1.000) stored, Beta(1.000, 1.000)" in told.stdout
    assert before == [(5.0,)]
    assert [item["id"] for item in done["differing"]] == [heuristic_id]
    assert again.exit_code == 0
    assert radiant.rows("select alpha from radiant.knowledge_heuristics") == [(1.0,)]


def test_nothing_of_another_model_is_nothing_to_embed(radiant: Radiant, heuristic_id: str) -> None:
    done = radiant.json("grimoire", "reembed")

    assert done == {"model": "all-MiniLM-L6-v2-int8", "replaced": 0}
    assert heuristic_id

"""A curator at the command line, on the database."""

import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from radiant_dagster.adapters.embeddings import MiniLmEmbeddings
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.cli.grimoire import SECTIONS, grimoire
from tests.adapters.rows import insert, insert_heuristic
from tests.cli.conftest import Radiant

TRIGGER = "A question about cold storage in a power cut"
ACTION = "Say how long the cold holds and when the stock must move."
LINE = {
    "polarity": "do", "domain": "general", "trigger_pattern": TRIGGER, "action_template": ACTION,
}  # fmt: skip


def plant(database: Database, radiant: Radiant, **changes: Any) -> str:
    with database.tenant_transaction(radiant.tenant) as cursor:
        found = insert_heuristic(cursor, radiant.tenant, **changes)
        cursor.execute(
            "insert into radiant.heuristic_version (tenant_id, heuristic_id, version,"
            " trigger_pattern, action_template, editor, content_sha256)"
            " select tenant_id, id, 1, trigger_pattern, action_template, 'system:librarian', 'x'"
            " from radiant.knowledge_heuristics where id = %s",
            (found,),
        )
    return str(found)


def link(database: Database, radiant: Radiant, one: str, other: str, kind: str) -> None:
    a, b = sorted((one, other))
    with database.tenant_transaction(radiant.tenant) as cursor:
        insert(
            cursor, "heuristic_link", tenant_id=radiant.tenant, a=a, b=b, kind=kind, similarity=0.9
        )


def test_a_curator_works_a_heuristic_from_candidate_to_revoked(
    radiant: Radiant, database: Database
) -> None:
    item = plant(database, radiant, state="quarantined", approved_sha256=None)

    edited = radiant.json("grimoire", "edit", item[:8], "--trigger", TRIGGER, "--why", "Clearer.")
    promoted = radiant.json("grimoire", "promote", item, "--if-version", "2", "--as", "cora")
    steps = [
        radiant("grimoire", word, item, *more).exit_code
        for word, *more in (
            ("pin",), ("unpin",), ("rollback", "--to", "1"), ("revoke", "--reason", "wrong"),
        )
    ]  # fmt: skip
    shown = radiant("grimoire", "show", item).stdout
    history = radiant.json("grimoire", "history", item)

    assert (edited["version"], edited["by"]) == (2, "ann")
    assert (promoted["state"], promoted["by"]) == ("active", "cora")
    assert steps == [0, 0, 0, 0]
    assert "brings 1 back" in shown
    assert "Clearer." in shown
    assert [row["version"] for row in history["versions"]] == [3, 2, 1]
    assert history["history"][-1]["detail"]["reason"] == "wrong"


def test_another_version_than_was_read_is_a_message_and_a_code(
    radiant: Radiant, database: Database
) -> None:
    item = plant(database, radiant)

    result = radiant("grimoire", "retire", item, "--if-version", "4")

    assert result.exit_code != 0
    assert "is at version 1 by now" in result.stderr.replace("\n", " ")


def test_pairs_are_settled_and_the_queue_empties(radiant: Radiant, database: Database) -> None:
    one, copy = plant(database, radiant), plant(database, radiant)
    contrary = plant(database, radiant, polarity="avoid")
    apart = plant(database, radiant, embedding=json.dumps([0.0, 1.0] + [0.0] * 382))
    link(database, radiant, one, copy, "near_copy")
    link(database, radiant, one, apart, "near_copy")
    link(database, radiant, one, contrary, "conflict")

    before = radiant("grimoire", "queue").stdout
    done = [
        radiant("grimoire", "resolve", one, "--with", contrary[:8], "--keep", "this"),
        radiant("grimoire", "keep-apart", one, "--from", apart),
        radiant("grimoire", "merge", copy, "--into", one),
        radiant("grimoire", "unmerge", copy),
        radiant("grimoire", "keep-apart", copy, "--from", one),
    ]
    after = radiant("grimoire", "queue").stdout

    assert before.index("Conflicts (1)") < before.index("Near copies (2)")
    assert [(result.exit_code, result.stderr) for result in done] == [(0, "")] * 5
    assert "Nothing waits" in after


def test_a_purge_lists_asks_and_retires(radiant: Radiant, database: Database) -> None:
    first = plant(database, radiant, source_user="mallory")
    child = plant(database, radiant, parents=[uuid.UUID(first)])

    listed = radiant.json("grimoire", "purge", "--user", "Mallory", "--dry-run")
    unasked = radiant("grimoire", "purge", "--heuristic", first, "--json")
    refused = radiant("grimoire", "purge", "--user", "mallory", stdin="n\n")
    states = [row["state"] for row in radiant.json("grimoire", "list")["heuristics"]]
    done = radiant("grimoire", "purge", "--user", "mallory", "--yes")

    assert [row["id"] for row in listed["heuristics"]] == [first, child]
    assert (unasked.exit_code, refused.exit_code) == (2, 130)
    assert states == ["active", "active"]
    assert "2 retired." in done.stdout
    rows = radiant.json("grimoire", "list", "--state", "retired")["heuristics"]
    assert {row["id"] for row in rows} == {first, child}
    assert radiant("grimoire", "purge").exit_code == 2


def test_what_is_exported_is_imported_elsewhere_as_candidates(
    radiant: Radiant, database: Database, tmp_path: Path
) -> None:
    plant(
        database, radiant, trigger_pattern=TRIGGER, action_template=ACTION, alpha=5,
        source_user="Ann",
    )  # fmt: skip
    exported = radiant("grimoire", "export", "--state", "active").stdout
    document = json.loads(exported)
    radiant("grimoire", "purge", "--user", "ann", "--yes")
    path = tmp_path / "g.jsonl"
    path.write_text(exported)

    done = radiant.json("grimoire", "import", str(path), "--as", "cora")
    again = radiant.json("grimoire", "import", str(path), "--as", "cora")

    assert (document["alpha"], document["provenance"]["user"]) == (5, "Ann")
    (imported,) = done["imported"]
    row = radiant.json("grimoire", "show", imported)
    assert (row["state"], row["created_by"], row["confidence"]) == ("quarantined", "import", 0.5)
    assert (again["imported"], again["duplicate_lines"]) == ([], [1])


def test_one_bad_line_keeps_all_out_and_every_bad_line_is_named(
    radiant: Radiant, tmp_path: Path
) -> None:
    lines = [
        json.dumps(LINE),
        "{not json",
        json.dumps({**LINE, "domain": "cooking"}),
        json.dumps({**LINE, "action_template": "Call Maria Gonzalez at 555-867-5309 at once."}),
        json.dumps({**LINE, "surprise": 1}),
        json.dumps({**LINE, "polarity": "maybe"}),
        json.dumps({"polarity": "do"}),
    ]
    path = tmp_path / "g.jsonl"
    path.write_text("\n".join(lines))

    result = radiant("grimoire", "import", str(path))

    assert result.exit_code == 2
    said = result.stderr
    for expected in (
        "line 2: it is not JSON", "line 3: domain", "line 4: action_template has personal data",
        "is not known here", "line 6: polarity", "line 7: domain is missing",
    ):  # fmt: skip
        assert expected in said
    assert "Gonzalez" not in said
    assert radiant.json("grimoire", "list")["heuristics"] == []


@pytest.mark.parametrize(("domain", "state"), [("general", "active"), ("medical", None)])
def test_an_import_goes_live_on_a_curators_word_but_not_where_it_hurts(
    radiant: Radiant, tmp_path: Path, domain: str, state: str | None
) -> None:
    path = tmp_path / "g.jsonl"
    path.write_text(json.dumps({**LINE, "domain": domain}))

    result = radiant("grimoire", "import", str(path), "--active", "--as", "cora")

    found = radiant.json("grimoire", "list")["heuristics"]
    assert [row["state"] for row in found] == ([state] if state else [])
    assert (result.exit_code == 0) == (state is not None)
    assert state is not None or "two people have to look" in result.stderr


def test_a_search_shows_how_near_each_is_and_whether_agents_get_it(
    radiant: Radiant, database: Database
) -> None:
    model = MiniLmEmbeddings()
    for domain, state in (("general", "active"), ("medical", "quarantined")):
        vector = json.dumps(model.embed_one(TRIGGER))
        plant(
            database, radiant, trigger_pattern=TRIGGER, action_template=ACTION, domain=domain,
            state=state, embedding=vector,
        )  # fmt: skip

    found = radiant.json("grimoire", "search", TRIGGER)
    shown = radiant("grimoire", "search", TRIGGER, "--domain", "medical").stdout
    nothing = radiant("grimoire", "search", TRIGGER, "--domain", "legal").stdout

    assert found["floor"] == 0.5
    assert {(row["domain"], row["state"], row["floor"]) for row in found["heuristics"]} == {
        ("general", "active", 0.5), ("medical", "quarantined", 0.6),
    }  # fmt: skip
    assert [row["similarity"] for row in found["heuristics"]] == pytest.approx([1, 1], abs=0.001)
    for expected in ("1.00", "0.60", "quarantined", "medical", TRIGGER):
        assert expected in shown
    assert "Nothing is there to compare with." in nothing


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (("edit", "ID", "--action", "Too short."), "--action: has 10 characters"),
        (("edit", "ID", "--trigger", "Short"), "--trigger: has 5 characters"),
        (("edit", "ID", "--trigger", TRIGGER, "--why", "Ask Maria Gonzalez."), "--why: has"),
        (("rollback", "ID", "--to", "7"), "--to: "),
        (("promote", "ID", "--as", "system:evil"), "--as: is a name of the system's own"),
        (("merge", "ID", "--into", "ID"), "--into: is the heuristic itself"),
        (("keep-apart", "ID", "--from", "OTHER"), "--from: no near copy"),
        (("resolve", "ID", "--with", "OTHER", "--keep", "this"), "--with: no conflict"),
        (("merge", "ID", "--into", "OTHER"), "has another domain. Choose one that says the same."),
    ],
)
def test_what_is_refused_is_named_by_the_option_that_brought_it(
    radiant: Radiant, database: Database, arguments: tuple[str, ...], option: str
) -> None:
    ids = {"ID": plant(database, radiant), "OTHER": plant(database, radiant, domain="legal")}

    result = radiant("grimoire", *(ids.get(text, text) for text in arguments))

    assert result.exit_code == 2
    assert option in result.stderr
    assert "Gonzalez" not in result.stderr


@pytest.mark.parametrize(
    "arguments", [("queue", "--domain", "cooking"), ("export", "--domain", "cooking")]
)
def test_a_domain_that_is_not_there_is_no_empty_answer(
    radiant: Radiant, arguments: tuple[str, ...]
) -> None:
    result = radiant("grimoire", *arguments)

    assert (result.exit_code, result.stdout) == (2, "")
    assert "Use one of: financial, general, legal, medical." in result.stderr


def test_a_state_that_is_not_there_is_no_empty_export(radiant: Radiant) -> None:
    assert radiant("grimoire", "export", "--state", "activ").exit_code == 2


def test_a_tenant_is_named_by_its_id_as_well_which_is_all_that_dagit_shows(
    radiant: Radiant, database: Database
) -> None:
    item = plant(database, radiant)

    found = radiant("grimoire", "show", item, "--tenant", str(radiant.tenant))
    other = radiant("grimoire", "show", item, "--tenant", str(uuid.uuid4()))

    assert found.exit_code == 0
    assert other.exit_code == 3


def test_a_text_changed_past_the_curators_is_said_to_be_so_until_it_is_brought_back(
    radiant: Radiant, database: Database
) -> None:
    item = plant(database, radiant, trigger_pattern=TRIGGER, action_template=ACTION)
    with database.tenant_transaction(radiant.tenant) as cursor:
        cursor.execute(
            "update radiant.knowledge_heuristics set action_template = 'Do all the evil there is.'"
        )

    told = radiant("grimoire", "show", item).stdout
    done = radiant("grimoire", "rollback", item, "--to", "1")
    after = radiant("grimoire", "show", item).stdout

    assert f"`radiant grimoire rollback {item[:8]} --to 1`" in " ".join(told.split())
    assert done.exit_code == 0
    assert "past the curators" not in after
    assert ACTION in after


def test_the_help_lists_every_command_once_by_what_it_is_for(radiant: Radiant) -> None:
    listed = [name for names in SECTIONS.values() for name in names]

    shown = radiant("grimoire", "--help").stdout

    assert sorted(listed) == sorted(grimoire.commands)
    assert [shown.index(f"{title}:") for title in SECTIONS] == sorted(
        shown.index(f"{title}:") for title in SECTIONS
    )


def test_a_queue_longer_than_asked_for_does_not_claim_to_be_all(
    radiant: Radiant, database: Database
) -> None:
    for _ in range(3):
        plant(database, radiant, state="quarantined", approved_sha256=None)

    cut = radiant("grimoire", "queue", "--limit", "2").stdout
    whole = radiant("grimoire", "queue").stdout

    assert "Candidates (2, and perhaps more: see --limit)" in cut
    assert "Candidates (3)   promote ID" in whole


def test_what_is_done_already_is_said_to_be(radiant: Radiant, database: Database) -> None:
    item = plant(database, radiant, state="retired")

    result = radiant("grimoire", "retire", item)

    assert f"{item} is retired already" in " ".join(result.stderr.split())

"""`radiant domains` against the real database."""

import json

from tests.cli.conftest import PROMPT, Radiant


def test_the_seeded_domains_are_listed_with_their_reviews(radiant: Radiant) -> None:
    listed = radiant.json("domains", "list")["domains"]
    shown = radiant("domains", "list").stdout

    by_name = {item["name"]: item for item in listed}
    assert sorted(by_name) == ["financial", "general", "legal", "medical"]
    assert by_name["medical"]["approval_required"]
    assert by_name["medical"]["deadline_seconds"] == 300
    assert not by_name["general"]["approval_required"]
    assert "in doubt" in shown


def test_what_is_set_is_shown_and_written_down_and_the_rest_stays(radiant: Radiant) -> None:
    before = radiant.json("domains", "show", "medical")

    changed = radiant.json(
        "domains", "set", "medical", "--deadline-seconds", "600", "--quorum", "2",
        "--second-role", "senior", "--assignees", "dr-lee, dr-wu", "--on-timeout", "escalate",
        "--no-approval-required", "--lowest-agents", "4", "--as", "bo",
    )  # fmt: skip
    radiant("domains", "set", "medical", "--quorum", "2")  # as it is

    wanted = {
        "deadline_seconds": 600, "quorum": 2, "second_role": "senior", "lowest_agents": 4,
        "assignees": ["dr-lee", "dr-wu"], "on_timeout": "escalate", "approval_required": False,
    }  # fmt: skip
    assert changed == before | wanted == radiant.json("domains", "show", "medical")
    ((actor, action, detail),) = radiant.rows(
        "select actor, action, detail from radiant.audit where action like 'domain.%'"
    )
    assert (actor, action, detail["domain"]) == ("bo", "domain.changed", "medical")
    assert detail["changed"]["deadline_seconds"] == [300, 600]
    assert sorted(detail["changed"]) == sorted(wanted)
    assert "dr-lee, dr-wu" in radiant("domains", "show", "medical").stdout


def test_nobody_named_means_everybody_again(radiant: Radiant) -> None:
    radiant("domains", "set", "legal", "--assignees", "dr-lee")

    shown = radiant("domains", "set", "legal", "--assignees", "")

    assert shown.exit_code == 0
    assert "everybody" in shown.stdout
    assert radiant.rows("select assignees from radiant.domain_policy where name = 'legal'") == [
        (None,)
    ]


def test_a_domain_that_is_added_can_be_asked_in_and_is_reviewed(radiant: Radiant) -> None:
    before = radiant("think", "--domain", "insurance", "--estimate", PROMPT)

    added = radiant.json("domains", "add", "insurance", "--quorum", "2")
    again = radiant("domains", "add", "insurance")
    after = radiant("think", "--domain", "insurance", "--estimate", PROMPT)

    assert before.exit_code == 2
    assert added["approval_required"]
    assert again.exit_code == 2
    assert "radiant domains set insurance" in again.stderr
    assert after.exit_code == 0, after.stderr
    assert radiant.rows("select actor, action from radiant.audit") == [("ann", "domain.added")]


def test_what_cannot_hold_changes_nothing(radiant: Radiant) -> None:
    before = radiant.json("domains", "list")

    for options in (
        ("set", "medical"),
        ("set", "medical", "--deadline-seconds", "4"),
        ("set", "medical", "--quorum", "3"),
        ("set", "medical", "--quorum", "2", "--assignees", "ann"),
        ("set", "surgery", "--quorum", "2"),
        ("show", "surgery"),
        ("add", "Surgery"),
    ):
        result = radiant("domains", *options, "--json")
        assert result.exit_code == 2, options
        assert json.loads(result.stdout)["error"]["field"], options

    assert radiant.json("domains", "list") == before
    assert radiant.rows("select 1 from radiant.audit") == []

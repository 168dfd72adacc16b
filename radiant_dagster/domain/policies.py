"""What a tenant may ask for in a domain: who reviews, until when, and what a short budget may cut.

A change counts for sessions and requests that begin after it; a pending request keeps the policy it
began with. Each rule refuses what nobody could meet, such as two votes of one person.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args

from radiant_dagster.domain.approvals import ReviewStage, validate_assignees
from radiant_dagster.errors import InvalidInput

ReviewerRole = Literal["reviewer", "senior"]
OnTimeout = Literal["reject", "escalate"]
NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
# Field -> smallest and largest value, as the database checks them.
RANGES: Mapping[str, tuple[int, int]] = {
    "deadline_seconds": (5, 2_592_000),
    "swarm_seconds": (1, 3_600),
    "quorum": (1, 2),
    "lowest_max_tokens": (1, 1_000_000),
    "lowest_agents": (1, 64),
}
CHOICES: Mapping[str, tuple[str, ...]] = {
    "on_timeout": get_args(OnTimeout),
    "review_stage": get_args(ReviewStage),
    "required_role": get_args(ReviewerRole),
    "second_role": get_args(ReviewerRole),
}


@dataclass(frozen=True, slots=True)
class ReviewPolicy:
    """What can be set of a domain; the defaults are those of a domain that is added.

    Args:
        approval_required: A person must decide before anybody gets the answer.
        deadline_seconds: How long the reviewers have.
        swarm_seconds: How long the agents have together.
        on_timeout: ``reject``, or ``escalate``: the time once more, for seniors alone.
        review_stage: ``draft`` (synthesise, then review) or ``answers``.
        quorum: How many different people have to agree.
        required_role: Of the first voter.
        second_role: Of the second, where the quorum is two.
        assignees: Who may decide; empty means everybody with the role.
        lowest_max_tokens: Where the budget is short, answers are never capped below this.
        lowest_agents: Likewise, never fewer agents are asked.
        cheaper_models: Likewise, whether an agent's model may be replaced by a cheaper one.
    """

    approval_required: bool = True
    deadline_seconds: int = 1_800
    swarm_seconds: int = 120
    on_timeout: OnTimeout = "reject"
    review_stage: ReviewStage = "draft"
    quorum: int = 1
    required_role: ReviewerRole = "reviewer"
    second_role: ReviewerRole = "reviewer"
    assignees: tuple[str, ...] = ()
    lowest_max_tokens: int = 1_024
    lowest_agents: int = 3
    cheaper_models: bool = False


FIELDS = tuple(field.name for field in fields(ReviewPolicy))


def validate_domain_name(name: str) -> str:
    """Return a new domain's name, or refuse it.

    Raises:
        InvalidInput: It is not lower-case letters, digits and ``_``.
    """
    if not NAME.fullmatch(name):
        raise InvalidInput(
            "name",
            "is not usable",
            "Use 1 to 63 lower-case letters, digits or '_', starting with a letter.",
        )
    return name


def changed_policy(policy: ReviewPolicy, changes: Mapping[str, Any]) -> ReviewPolicy:
    """Return a policy with some fields changed, or refuse what nobody could meet.

    Args:
        policy: How it stands.
        changes: New values by field of `ReviewPolicy`.

    Raises:
        InvalidInput: Names the field, the problem and the fix.
    """
    for name, value in changes.items():
        _validate(name, value)
    assignees: Sequence[str] = changes.get("assignees", policy.assignees)
    wanted = replace(policy, **{**changes, "assignees": validate_assignees(assignees)})
    if 0 < len(wanted.assignees) < wanted.quorum:
        raise InvalidInput(
            "assignees",
            f"are {len(wanted.assignees)}, and {wanted.quorum} people have to agree",
            "Name more people, nobody, or lower the quorum.",
        )
    return wanted


def _validate(name: str, value: Any) -> None:
    if name in RANGES:
        lowest, highest = RANGES[name]
        if not lowest <= value <= highest:
            raise InvalidInput(name, f"is {value}", f"Use {lowest} to {highest}.")
    if name in CHOICES and value not in CHOICES[name]:
        raise InvalidInput(name, "is unknown", f"Use {' or '.join(CHOICES[name])}.")


def differences(old: ReviewPolicy, new: ReviewPolicy) -> dict[str, tuple[Any, Any]]:
    """Return what a change changes: field -> value before and after."""
    pairs = {name: (getattr(old, name), getattr(new, name)) for name in FIELDS}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}

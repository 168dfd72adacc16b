"""What a curator can do with a heuristic, which states allow it, and who may not.

    promote: quarantined            retire: quarantined, active     revoke: all but merged, revoked
    edit, rollback: quarantined, active, as a new version           pin: quarantined, active
    merge, keep_apart, resolve: both quarantined or active          unmerge: merged

An act names what is wanted; it does not say who wants it nor which version was read. An act that
lets a text of one's own session through is refused where a wrong lesson hurts people.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args
from uuid import UUID

from radiant_dagster.domain.approvals import same_person
from radiant_dagster.errors import CurationForbidden

Reason = Literal["wrong", "unsafe", "outdated", "too_specific", "duplicate", "other"]
Keep = Literal["this", "other", "both"]
RootKind = Literal["session", "user", "heuristic"]
REASONS: tuple[Reason, ...] = get_args(Reason)
MAX_REASON_CHARACTERS = 300
SECOND_PERSON_DOMAINS = frozenset({"medical", "legal", "financial"})
LIVE = ("quarantined", "active")


@dataclass(frozen=True, slots=True)
class Promote:
    """Let agents use a candidate."""


@dataclass(frozen=True, slots=True)
class Retire:
    """Take it out of use; the same lesson may be learned again."""

    reason: Reason = "other"


@dataclass(frozen=True, slots=True)
class Revoke:
    """Declare it wrong: as retiring it, whatever state it is in."""

    reason: Reason = "other"


@dataclass(frozen=True, slots=True)
class Edit:
    """Give it another text, as a new version.

    Args:
        reason: Why, in a curator's words; stored with the version.
    """

    trigger_pattern: str
    action_template: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Rollback:
    """Bring the text of an earlier version back, as a new version."""

    to_version: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Pin:
    """Keep it, whatever time and numbers say, or end that."""

    pinned: bool = True


@dataclass(frozen=True, slots=True)
class Merge:
    """Fold it into one that says the same; the other's text stays as it is."""

    into: UUID


@dataclass(frozen=True, slots=True)
class Unmerge:
    """Undo a merge."""


@dataclass(frozen=True, slots=True)
class KeepApart:
    """Say that two near copies are two lessons."""

    other: UUID


@dataclass(frozen=True, slots=True)
class Resolve:
    """Settle a conflict: the one that is not kept is retired."""

    other: UUID
    keep: Keep


Act = (
    Promote | Retire | Revoke | Edit | Rollback | Pin | Merge | Unmerge | KeepApart | Resolve
)  # fmt: skip
DONE: Mapping[type[Act], str] = {
    Promote: "promoted",
    Retire: "retired",
    Revoke: "revoked",
    Edit: "edited",
    Rollback: "rolled_back",
    Pin: "pinned",
    Merge: "merged",
    Unmerge: "unmerged",
    KeepApart: "kept_apart",
    Resolve: "resolved",
}
# What an act is called on the command line and in the API's paths.
WORDS: Mapping[type[Act], str] = {
    Promote: "promote",
    Retire: "retire",
    Revoke: "revoke",
    Edit: "edit",
    Rollback: "rollback",
    Pin: "pin",
    Merge: "merge",
    Unmerge: "unmerge",
    KeepApart: "keep-apart",
    Resolve: "resolve",
}
ALLOWED: Mapping[type[Act], tuple[str, ...]] = {
    Promote: ("quarantined",),
    Retire: LIVE,
    Revoke: (*LIVE, "retired", "expired"),
    Edit: LIVE,
    Rollback: LIVE,
    Pin: LIVE,
    Merge: LIVE,
    Unmerge: ("merged",),
    KeepApart: LIVE,
    Resolve: LIVE,
}


@dataclass(frozen=True, slots=True)
class Root:
    """Where a purge begins.

    Args:
        kind: What `value` names.
        value: Id of a session or heuristic, or a user's name.
    """

    kind: RootKind
    value: str


def require_second_person(
    heuristic_id: UUID | str, *, domain: str, source_user: str | None, actor: str
) -> None:
    """Refuse that people let through what came from their own session, where it could hurt.

    Raises:
        CurationForbidden: In medical, legal and financial.
    """
    own = source_user is not None and same_person(source_user, actor)
    if own and domain in SECOND_PERSON_DOMAINS:
        raise CurationForbidden(heuristic_id, f"it came from your own session in {domain}")

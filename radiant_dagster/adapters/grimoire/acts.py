"""Carries out a curator's act: the one way from the command line, the API and the pages."""

from dataclasses import dataclass
from typing import assert_never
from uuid import UUID

from radiant_dagster.adapters.grimoire import curation, links, texts, versions
from radiant_dagster.adapters.grimoire.reading import get_heuristic
from radiant_dagster.adapters.postgres import Cursor, Database
from radiant_dagster.domain.curation import (
    Act,
    Edit,
    KeepApart,
    Merge,
    Pin,
    Promote,
    Resolve,
    Retire,
    Revoke,
    Rollback,
    Unmerge,
)


@dataclass(frozen=True, slots=True)
class Standing:
    """How a heuristic stands after an act."""

    heuristic_id: UUID
    state: str
    version: int
    pinned: bool
    merged_into: UUID | None


@dataclass(frozen=True, slots=True)
class Ready:
    """An act whose texts are checked and embedded.

    Args:
        text: The text to store, where the act changes it.
        reason: As it is stored beside the text.
    """

    act: Act
    text: texts.Prepared | None = None
    reason: str = ""


def prepare(
    database: Database, checks: texts.Checks, tenant_id: UUID, heuristic_id: UUID, act: Act
) -> Ready:
    """Check and embed what an act would store, before the transaction that stores it.

    A version that is brought back has to pass today's rules as well.

    Raises:
        InvalidInput: Names the field and the fix.
        CatoUnavailable, EmbeddingUnavailable: Try again later.
    """
    match act:
        case Edit():
            text = checks.prepare(act.trigger_pattern, act.action_template)
        case Rollback():
            with database.tenant_transaction(tenant_id) as cursor:
                get_heuristic(cursor, tenant_id, heuristic_id)
                old = versions.old_text(cursor, tenant_id, heuristic_id, act.to_version)
            text = checks.prepare(*old)
        case _:
            return Ready(act)
    return Ready(act, text, checks.require_reason(act.reason))


def carry_out(
    cursor: Cursor,
    tenant_id: UUID,
    heuristic_id: UUID,
    ready: Ready,
    *,
    actor: str,
    if_version: int | None = None,
) -> Standing:
    """Do in the caller's transaction what a curator wants.

    Args:
        if_version: The version that the curator read; None where any will do.

    Raises:
        HeuristicNotFound, HeuristicChanged, InvalidInput, CurationForbidden: See `curation`.
    """
    of = (cursor, tenant_id, heuristic_id)
    act = ready.act
    match act:
        case Promote():
            curation.promote(*of, actor=actor, if_version=if_version)
        case Retire():
            curation.retire(*of, actor=actor, reason=act.reason, if_version=if_version)
        case Revoke():
            curation.revoke(*of, actor=actor, reason=act.reason, if_version=if_version)
        case Pin():
            curation.pin(*of, actor=actor, pinned=act.pinned, if_version=if_version)
        case Merge():
            links.merge(*of, into=act.into, actor=actor, if_version=if_version)
        case Unmerge():
            links.unmerge(*of, actor=actor, if_version=if_version)
        case KeepApart():
            links.keep_apart(*of, other=act.other, actor=actor, if_version=if_version)
        case Resolve():
            links.resolve(*of, other=act.other, keep=act.keep, actor=actor, if_version=if_version)
        case Edit() | Rollback():
            assert ready.text is not None  # noqa: S101 - `prepare` made it
            restores = act.to_version if isinstance(act, Rollback) else None
            texts.change_text(
                *of, ready.text, actor=actor, reason=ready.reason, restores=restores,
                if_version=if_version,
            )  # fmt: skip
        case _:
            assert_never(act)
    row = get_heuristic(*of)
    return Standing(heuristic_id, row["state"], row["version"], row["pinned"], row["merged_into"])


def act_now(
    database: Database,
    checks: texts.Checks,
    tenant_id: UUID,
    heuristic_id: UUID,
    act: Act,
    *,
    actor: str,
    if_version: int | None = None,
) -> Standing:
    """Prepare an act and carry it out in a transaction of its own."""
    ready = prepare(database, checks, tenant_id, heuristic_id, act)
    with database.tenant_transaction(tenant_id) as cursor:
        return carry_out(cursor, tenant_id, heuristic_id, ready, actor=actor, if_version=if_version)

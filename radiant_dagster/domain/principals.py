"""Who may do what: roles, the permissions they give, and how a key is written.

A principal is a person or a service of one tenant. What it may do follows from its roles alone and
only through the table PERMISSIONS; nothing anywhere else compares role names.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args
from uuid import UUID

from radiant_dagster.domain.swarm import require_storable
from radiant_dagster.errors import InvalidInput

Role = Literal["viewer", "reviewer", "senior", "privacy", "curator", "admin", "service"]
Kind = Literal["person", "service"]
Permission = Literal[
    "approvals.read",
    "approvals.decide",
    "approvals.claim",
    "approvals.release",
    "approvals.reveal",
    "approvals.admin",
    "sessions.submit",
    "sessions.read",
    "sessions.cancel",
    "grimoire.read",
    "grimoire.curate",
    "budget.read",
    "budget.set",
    "audit.read",
    "keys.manage",
    "feedback.give",
]

ROLES: tuple[Role, ...] = get_args(Role)
# Roles that act as a person: a service could otherwise approve what it asked for.
PERSONAL_ROLES: frozenset[Role] = frozenset({"reviewer", "senior", "privacy"})

PERMISSIONS: Mapping[Permission, frozenset[Role]] = {
    "approvals.read": frozenset({"viewer", "reviewer", "senior", "privacy", "admin"}),
    # An admin appoints reviewers and does not decide by virtue of that.
    "approvals.decide": frozenset({"reviewer", "senior"}),
    "approvals.claim": frozenset({"reviewer", "senior"}),
    # An admin breaks the claim of somebody who went home.
    "approvals.release": frozenset({"reviewer", "senior", "admin"}),
    "approvals.reveal": frozenset({"privacy"}),
    "approvals.admin": frozenset({"admin"}),
    "sessions.submit": frozenset({"service", "reviewer", "senior", "admin"}),
    "sessions.read": frozenset({"viewer", "reviewer", "senior", "curator", "service", "admin"}),
    "sessions.cancel": frozenset({"service", "admin"}),
    "grimoire.read": frozenset({"viewer", "reviewer", "senior", "curator", "service", "admin"}),
    "grimoire.curate": frozenset({"curator", "admin"}),
    "budget.read": frozenset({"viewer", "service", "admin"}),
    "budget.set": frozenset({"admin"}),
    "audit.read": frozenset({"privacy", "admin"}),
    "keys.manage": frozenset({"admin"}),
    "feedback.give": frozenset({"reviewer", "senior", "service", "admin"}),
}

MAX_NAME_CHARACTERS = 200
KEY = re.compile(r"rk_([a-z0-9]{8})_([A-Za-z0-9_-]{43})")
EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]{1,190}")


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody or something that proved who it is.

    Args:
        tenant_id: From the credential; the only source of a request's tenant.
        id: Of the principal within the tenant.
        name: Goes into the audit trail and into ``decided_by``.
        kind: A person, or a program.
        roles: What PERMISSIONS is asked with.
        domains: That it is qualified for; None for all.
        email: As an identity provider reports it.
    """

    tenant_id: UUID
    id: UUID
    name: str
    kind: Kind
    roles: frozenset[Role]
    domains: frozenset[str] | None = None
    email: str | None = None

    def may(self, permission: Permission) -> bool:
        """Tell whether one of its roles gives a permission."""
        return not self.roles.isdisjoint(PERMISSIONS[permission])


def validate_principal(
    *,
    name: str,
    kind: Kind,
    roles: frozenset[str],
    domains: frozenset[str] | None,
    email: str | None,
    known_domains: frozenset[str],
) -> frozenset[Role]:
    """Refuse a principal that could not work, and return its roles.

    Args:
        known_domains: The tenant's domains.

    Raises:
        InvalidInput: Names the field and the fix.
    """
    if not name.strip() or len(name) > MAX_NAME_CHARACTERS:
        raise InvalidInput("name", "is empty or too long", "Use 1 to 200 characters.")
    if name.strip().casefold().startswith("system:"):
        raise InvalidInput("name", "is a name of the system's own", "Use another one.")
    require_storable("name", name)
    known: frozenset[Role] = frozenset(role for role in ROLES if role in roles)
    if not known or len(known) != len(roles):
        raise InvalidInput("role", "is missing or unknown", f"Use one of: {', '.join(ROLES)}.")
    if kind == "service" and known & PERSONAL_ROLES:
        raise InvalidInput(
            "role",
            "reviewer, senior and privacy are for people",
            "Create a person, or use service, viewer, curator or admin.",
        )
    unknown = (domains or frozenset()) - known_domains
    if unknown or domains == frozenset():
        raise InvalidInput(
            "domain",
            "this tenant has no such domain",
            f"Use one of: {', '.join(sorted(known_domains))}.",
        )
    if email is not None and not EMAIL.fullmatch(email):
        raise InvalidInput("email", "is no e-mail address", "Write it as ann@example.org.")
    return known


@dataclass(frozen=True, slots=True)
class KeyText:
    """The two parts of a key: the public prefix it is found by, and the secret."""

    prefix: str
    secret: str

    def __repr__(self) -> str:
        return f"KeyText({self.prefix!r}, '**********')"

    @property
    def text(self) -> str:
        """The key as its holder keeps it."""
        return f"rk_{self.prefix}_{self.secret}"

    @property
    def sha256(self) -> bytes:
        """What is stored of it."""
        return secret_hash(self.secret)

    def matches(self, sha256: bytes) -> bool:
        """Compare with a stored hash, in a time that tells nothing."""
        return hmac.compare_digest(self.sha256, sha256)


def parse_key(text: str) -> KeyText | None:
    """Return a key's parts, None where it is not written like one."""
    found = KEY.fullmatch(text)
    return KeyText(found[1], found[2]) if found else None


def secret_hash(secret: str) -> bytes:
    """Return the SHA-256 of a secret.

    No slow hash: those make guessing expensive where a secret can be guessed, and ours are 256
    random bits. A slow one would only make every request slow.
    """
    return hashlib.sha256(secret.encode()).digest()

"""Principals and their API keys in Postgres: create, find by credential, revoke, disable.

Two sides. Administration runs for one tenant as radiant_api. Finding out whose a credential is
runs over all tenants as radiant_auth, which reads neither content nor anything else of a tenant;
the tenant comes out of the credential and from nowhere else. Whatever is wrong with a credential,
the answer is None: unknown, expired, revoked and disabled look alike from outside.
"""

import secrets
import string
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg2

from radiant_dagster.adapters import audit, tenants
from radiant_dagster.adapters.postgres import Cursor, Database
from radiant_dagster.domain.principals import (
    KeyText,
    Kind,
    Principal,
    parse_key,
    validate_principal,
)
from radiant_dagster.errors import InvalidInput, KeyNotFound, PrincipalNotFound

PREFIX_ALPHABET = string.ascii_lowercase + string.digits
PREFIX_LENGTH = 8
SECRET_BYTES = 32

INSERT_PRINCIPAL = """
    insert into radiant.principal (tenant_id, id, name, kind, roles, domains, email)
    values (%s, %s, %s, %s, %s, %s, %s)
"""
PRINCIPAL_BY_NAME = """
    select tenant_id, id, name, kind, roles, domains, email, disabled_at
    from radiant.principal where tenant_id = %s and lower(name) = lower(%s)
"""
PRINCIPALS = """
    select p.id, p.name, p.kind, p.roles, p.domains, p.email, p.created_at, p.disabled_at,
           count(k.id) filter (where k.revoked_at is null and
               (k.expires_at is null or k.expires_at > clock_timestamp())) as keys
    from radiant.principal p
    left join radiant.api_key k on k.tenant_id = p.tenant_id and k.principal = p.id
    where p.tenant_id = %s group by p.tenant_id, p.id order by lower(p.name)
"""
DISABLE = """
    update radiant.principal set disabled_at = clock_timestamp()
    where tenant_id = %s and id = %s and disabled_at is null
"""
INSERT_KEY = """
    insert into radiant.api_key (tenant_id, id, principal, prefix, sha256, created_by, expires_at)
    values (%s, %s, %s, %s, %s, %s, %s)
"""
KEYS = """
    select k.id, k.prefix, p.name, p.kind, p.roles, k.created_by, k.created_at, k.expires_at,
           k.last_used_at, k.revoked_at,
           case when k.revoked_at is not null then 'revoked'
                when k.expires_at <= clock_timestamp() then 'expired'
                when p.disabled_at is not null then 'disabled' else 'active' end as state
    from radiant.api_key k
    join radiant.principal p on p.tenant_id = k.tenant_id and p.id = k.principal
    where k.tenant_id = %s order by k.created_at, k.prefix
"""
REVOKE = """
    update radiant.api_key set revoked_at = coalesce(revoked_at, clock_timestamp())
    where tenant_id = %s and prefix = %s returning id
"""
# Found by its public part; the secret is compared here, not by the database's index.
KEY_BY_PREFIX = """
    select k.id as key_id, k.sha256, k.tenant_id,
           k.last_used_at is null or k.last_used_at < clock_timestamp() - interval '1 minute'
               as unnoted,
           p.id, p.name, p.kind, p.roles, p.domains, p.email
    from radiant.api_key k
    join radiant.principal p on p.tenant_id = k.tenant_id and p.id = k.principal
    where k.prefix = %s and k.revoked_at is null and p.disabled_at is null
      and (k.expires_at is null or k.expires_at > clock_timestamp())
"""
NOTE_USE = """
    update radiant.api_key set last_used_at = clock_timestamp() where tenant_id = %s and id = %s
"""
BY_EMAIL = """
    select p.tenant_id, p.id, p.name, p.kind, p.roles, p.domains, p.email
    from radiant.principal p join radiant.tenant t on t.id = p.tenant_id
    where t.slug = %s and lower(p.email) = lower(%s) and p.disabled_at is null
"""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key at the only moment at which its text exists."""

    id: UUID
    key: KeyText
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class KeyHolder:
    """Whose key it is, and which of theirs."""

    principal: Principal
    key_id: UUID


def create_principal(
    cursor: Cursor,
    tenant_id: UUID,
    principal_id: UUID,
    *,
    name: str,
    kind: Kind,
    roles: frozenset[str],
    actor: str,
    domains: frozenset[str] | None = None,
    email: str | None = None,
) -> Principal:
    """Store a person or service.

    Args:
        actor: Who does this, for the audit.
        domains: That a reviewer is qualified for; None for all.
        email: By which an OIDC proxy's header finds them.

    Raises:
        InvalidInput: Names the field; also where the name or address is taken.
    """
    name = name.strip()
    known = validate_principal(
        name=name,
        kind=kind,
        roles=roles,
        domains=domains,
        email=email,
        known_domains=frozenset(tenants.domain_policies(cursor, tenant_id)),
    )
    try:
        cursor.execute(
            INSERT_PRINCIPAL,
            (
                tenant_id,
                principal_id,
                name,
                kind,
                sorted(known),
                None if domains is None else sorted(domains),
                email,
            ),
        )
    except psycopg2.errors.UniqueViolation as error:
        field = "email" if error.diag.constraint_name == "principal_email" else "name"
        raise InvalidInput(field, "is another principal's already", "Choose another one.") from None
    audit.record(
        cursor,
        tenant_id,
        actor=actor,
        action="principal.created",
        detail={"principal": str(principal_id), "kind": kind, "roles": sorted(known)},
    )
    return Principal(tenant_id, principal_id, name, kind, known, domains, email)


def find_principal(cursor: Cursor, tenant_id: UUID, name: str) -> Principal:
    """Return a principal by name, also a disabled one.

    Raises:
        PrincipalNotFound: None has that name.
    """
    cursor.execute(PRINCIPAL_BY_NAME, (tenant_id, name.strip()))
    row = cursor.fetchone()
    if row is None:
        raise PrincipalNotFound(name)
    return principal_from(row)


def list_principals(cursor: Cursor, tenant_id: UUID) -> list[dict[str, Any]]:
    """Return a tenant's principals by name, with their number of working keys."""
    cursor.execute(PRINCIPALS, (tenant_id,))
    return [dict(row) for row in cursor.fetchall()]


def disable_principal(cursor: Cursor, tenant_id: UUID, name: str, *, actor: str) -> Principal:
    """Let none of a principal's credentials work any more; what it did stays recorded.

    Raises:
        PrincipalNotFound: None has that name.
    """
    principal = find_principal(cursor, tenant_id, name)
    cursor.execute(DISABLE, (tenant_id, principal.id))
    if cursor.rowcount:
        audit.record(
            cursor,
            tenant_id,
            actor=actor,
            action="principal.disabled",
            detail={"principal": str(principal.id)},
        )
    return principal


def new_key_text() -> KeyText:
    """Return a fresh key: a prefix to find it by and 256 random bits."""
    prefix = "".join(secrets.choice(PREFIX_ALPHABET) for _ in range(PREFIX_LENGTH))
    return KeyText(prefix, secrets.token_urlsafe(SECRET_BYTES))


def create_key(
    cursor: Cursor,
    principal: Principal,
    key_id: UUID,
    *,
    actor: str,
    expires_at: datetime | None = None,
) -> NewKey:
    """Store a key's hash and return its text, which is nowhere afterwards.

    Args:
        principal: Whose it will be.
        actor: Who makes it.
        expires_at: None for a key that works until it is revoked.
    """
    key = new_key_text()
    cursor.execute(
        INSERT_KEY,
        (
            principal.tenant_id,
            key_id,
            principal.id,
            key.prefix,
            key.sha256,
            actor,
            expires_at,
        ),
    )
    audit.record(
        cursor,
        principal.tenant_id,
        actor=actor,
        action="key.created",
        detail={"key": str(key_id), "prefix": key.prefix, "principal": str(principal.id)},
    )
    return NewKey(key_id, key, expires_at)


def list_keys(cursor: Cursor, tenant_id: UUID) -> list[dict[str, Any]]:
    """Return a tenant's keys, oldest first, with `state`; neither secrets nor hashes."""
    cursor.execute(KEYS, (tenant_id,))
    return [dict(row) for row in cursor.fetchall()]


def revoke_key(cursor: Cursor, tenant_id: UUID, prefix: str, *, actor: str) -> None:
    """Let a key, and browser sessions opened with it, work no more.

    Args:
        prefix: The key's public part, with or without ``rk_``.

    Raises:
        KeyNotFound: No such key, or another tenant's.
    """
    wanted = prefix.removeprefix("rk_")
    cursor.execute(REVOKE, (tenant_id, wanted))
    row = cursor.fetchone()
    if row is None:
        raise KeyNotFound(wanted[:PREFIX_LENGTH])
    audit.record(
        cursor,
        tenant_id,
        actor=actor,
        action="key.revoked",
        detail={"key": str(row["id"]), "prefix": wanted},
    )


def by_key(database: Database, text: str) -> KeyHolder | None:
    """Return whose key it is; None for every key that does not work, whatever the reason."""
    key = parse_key(text)
    if key is None:
        return None
    with database.system_transaction("radiant_auth") as cursor:
        cursor.execute(KEY_BY_PREFIX, (key.prefix,))
        row = cursor.fetchone()
        if row is None or not key.matches(bytes(row["sha256"])):
            return None
        if row["unnoted"]:  # a write a minute and key, not one a request
            cursor.execute(NOTE_USE, (row["tenant_id"], row["key_id"]))
    return KeyHolder(principal_from(row), row["key_id"])


def by_email(database: Database, tenant_slug: str, email: str) -> Principal | None:
    """Return the principal with an e-mail address in a tenant, None where there is none."""
    with database.system_transaction("radiant_auth") as cursor:
        cursor.execute(BY_EMAIL, (tenant_slug, email))
        row = cursor.fetchone()
    return None if row is None else principal_from(row)


def principal_from(row: Any) -> Principal:
    """Return a principal from its row."""
    return Principal(
        tenant_id=row["tenant_id"],
        id=row["id"],
        name=row["name"],
        kind=row["kind"],
        roles=frozenset(row["roles"]),
        domains=None if row["domains"] is None else frozenset(row["domains"]),
        email=row["email"],
    )

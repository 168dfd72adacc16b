"""Sessions of browsers in Postgres: opened at login, found by cookie, closed at logout.

The cookie is 256 random bits and only its hash is stored, so that who reads the table cannot be
anybody. A session ends after 12 hours, after an hour without a request, at logout, and at once
where its principal is disabled or the key that opened it is revoked or expires.
"""

import secrets
from dataclasses import dataclass
from uuid import UUID

from radiant_dagster.adapters.postgres import Database
from radiant_dagster.adapters.principals import principal_from
from radiant_dagster.domain.principals import Principal, secret_hash

LIFETIME_SECONDS = 12 * 3600
IDLE_SECONDS = 3600
TOKEN_BYTES = 32

OPEN = """
    insert into radiant.web_session (tenant_id, sha256, principal, api_key, csrf, expires_at)
    values (%s, %s, %s, %s, %s, clock_timestamp() + make_interval(secs => %s))
"""
FIND = """
    select w.csrf, w.last_seen_at < clock_timestamp() - interval '1 minute' as unnoted,
           p.tenant_id, p.id, p.name, p.kind, p.roles, p.domains, p.email
    from radiant.web_session w
    join radiant.principal p on p.tenant_id = w.tenant_id and p.id = w.principal
    left join radiant.api_key k on k.tenant_id = w.tenant_id and k.id = w.api_key
    where w.sha256 = %s and w.expires_at > clock_timestamp()
      and w.last_seen_at > clock_timestamp() - make_interval(secs => %s)
      and p.disabled_at is null and k.revoked_at is null
      and (k.expires_at is null or k.expires_at > clock_timestamp())
"""
SEEN = "update radiant.web_session set last_seen_at = clock_timestamp() where sha256 = %s"
CLOSE = "delete from radiant.web_session where sha256 = %s"
CLOSE_LAPSED = """
    delete from radiant.web_session
    where expires_at <= clock_timestamp()
       or last_seen_at <= clock_timestamp() - make_interval(secs => %s)
"""


@dataclass(frozen=True, slots=True)
class WebSession:
    """A browser's session.

    Args:
        principal: Who logged in.
        csrf: What every unsafe request has to repeat.
    """

    principal: Principal
    csrf: str


@dataclass(frozen=True, slots=True)
class NewWebSession:
    """A session that was just opened: the cookie's value exists only here."""

    token: str
    csrf: str


def open_session(database: Database, principal: Principal, key_id: UUID | None) -> NewWebSession:
    """Open a session under a new random name, and forget those that have lapsed.

    Args:
        principal: Who logged in.
        key_id: The key it was done with, None where a proxy vouched.
    """
    fresh = NewWebSession(secrets.token_urlsafe(TOKEN_BYTES), secrets.token_urlsafe(TOKEN_BYTES))
    with database.system_transaction("radiant_auth") as cursor:
        cursor.execute(CLOSE_LAPSED, (IDLE_SECONDS,))
        cursor.execute(
            OPEN,
            (
                principal.tenant_id,
                secret_hash(fresh.token),
                principal.id,
                key_id,
                fresh.csrf,
                LIFETIME_SECONDS,
            ),
        )
    return fresh


def find_session(database: Database, token: str) -> WebSession | None:
    """Return the session of a cookie, None where it does not count any more; notes its use."""
    hashed = secret_hash(token)
    with database.system_transaction("radiant_auth") as cursor:
        cursor.execute(FIND, (hashed, IDLE_SECONDS))
        row = cursor.fetchone()
        if row is None:
            return None
        if row["unnoted"]:
            cursor.execute(SEEN, (hashed,))
    return WebSession(principal_from(row), row["csrf"])


def close_session(database: Database, token: str) -> None:
    """End a session; nothing happens where there is none."""
    with database.system_transaction("radiant_auth") as cursor:
        cursor.execute(CLOSE, (secret_hash(token),))

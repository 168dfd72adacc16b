"""Who is asking: a key, a browser's session, or a header that a trusted proxy set.

The first of these that is present decides. The tenant is that of the principal found; nothing in
a body, a path or another header chooses one. Proxy headers count from RADIANT_PROXY_AUTH_FROM
only, judged by the address of the connection itself: X-Forwarded-For never makes anybody trusted.
"""

import hmac
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from radiant_dagster.adapters import principals, web_sessions
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.adapters.settings import Settings
from radiant_dagster.domain.principals import Principal
from radiant_dagster.mission_control.middleware import host_name
from radiant_dagster.mission_control.problems import Refusal, unauthenticated

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
CSRF_HEADER = "X-CSRF-Token"
CSRF_FIELD = "csrf_token"
FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")

Via = Literal["key", "session", "proxy"]


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks, and how that is known.

    Args:
        principal: Who.
        via: What they showed.
        key_id: Of the key, where one was shown.
        csrf: What unsafe requests of this browser have to repeat; None where it has no session.
    """

    principal: Principal
    via: Via
    key_id: UUID | None = None
    csrf: str | None = None

    @property
    def rate_name(self) -> str:
        """Name of the bucket that this identity's requests are taken from."""
        return f"key:{self.key_id}" if self.key_id else f"principal:{self.principal.id}"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a request shows of itself, not yet believed."""

    bearer: str | None
    cookie: str | None
    email: str | None
    tenant: str | None

    @property
    def shown(self) -> bool:
        """Whether there is anything to check."""
        return not (self.bearer is None and self.cookie is None and self.email is None)


def cookie_name(settings: Settings) -> str:
    """Return the session cookie's name; the prefix makes browsers insist on TLS and our host."""
    return "__Host-radiant" if settings.serves_https else "radiant"


def is_trusted_proxy(request: Request, settings: Settings) -> bool:
    """Tell whether the connection comes from the proxy that may say who somebody is."""
    if request.client is None:
        return False
    try:
        address = ipaddress.ip_address(request.client.host)
    except ValueError:
        return False
    return any(address in network for network in settings.trusted_networks)


def client_address(request: Request, settings: Settings) -> str:
    """Return the address that attempts are counted by: behind the proxy, the one it added."""
    peer = request.client.host if request.client else "unknown"
    hops = request.headers.get("x-forwarded-for", "").split(",")
    return hops[-1].strip() or peer if is_trusted_proxy(request, settings) else peer


def is_local(request: Request) -> bool:
    """Tell whether a program on this machine asks, and not a proxy on it for somebody else."""
    peer = request.client.host if request.client else ""
    named = host_name(request.headers.get("host", ""))
    return (
        _is_loopback(peer)
        and (named == "localhost" or _is_loopback(named))
        and not any(name in request.headers for name in FORWARDED)
    )


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def credentials_of(request: Request, settings: Settings) -> Credentials:
    """Return what a request shows, proxy headers only where they may be believed.

    Raises:
        Refusal: An Authorization header that is no bearer key.
    """
    bearer = None
    given = request.headers.get("authorization")
    if given is not None:
        scheme, _, bearer = given.partition(" ")
        if scheme.lower() != "bearer" or not bearer:
            raise unauthenticated()
    email = tenant = None
    if is_trusted_proxy(request, settings):
        email = request.headers.get(settings.proxy_auth_header)
        tenant = settings.proxy_auth_tenant
        if settings.proxy_auth_tenant_header:
            tenant = request.headers.get(settings.proxy_auth_tenant_header) or tenant
    return Credentials(bearer, request.cookies.get(cookie_name(settings)), email, tenant)


def identify(database: Database, shown: Credentials) -> Identity | None:
    """Return who that is, None for nobody. Blocks on the database.

    Raises:
        Refusal: A key or a proxied address that is nobody's. A stale cookie only counts as none.
    """
    if shown.bearer is not None:
        holder = principals.by_key(database, shown.bearer)
        if holder is None:
            raise unauthenticated()
        return Identity(holder.principal, "key", key_id=holder.key_id)
    session = web_sessions.find_session(database, shown.cookie) if shown.cookie else None
    if shown.email is not None:
        principal = principals.by_email(database, shown.tenant or "", shown.email)
        if principal is None:
            raise unauthenticated()
        # The browser's session may be an earlier person's; its token then counts for nothing.
        same = session is not None and session.principal.id == principal.id
        return Identity(principal, "proxy", csrf=session.csrf if session and same else None)
    if session is None:
        return None
    return Identity(session.principal, "session", csrf=session.csrf)


def require_same_site(request: Request) -> None:
    """Refuse an unsafe request that another site made the browser send.

    Browsers send ``Origin: null`` with our forms, because our pages allow no referrer; then what
    they say in Sec-Fetch-Site and the token decide.

    Raises:
        Refusal: It comes from elsewhere.
    """
    site = request.headers.get("sec-fetch-site", "same-origin")
    origin = request.headers.get("origin", "null")
    own = request.headers.get("host", "").lower()
    if site not in ("same-origin", "none") or (origin != "null" and urlsplit(origin).netloc != own):
        raise Refusal(
            403, "cross_site", "Another site sent this", "Use Mission Control's own pages."
        )


def require_csrf(identity: Identity, request: Request, form: Mapping[str, str] | None) -> None:
    """Refuse an unsafe request of a browser that does not repeat its session's token.

    A key is never sent by a browser on its own, so requests with one need no token.

    Args:
        form: The fields of a form, None for other bodies.

    Raises:
        Refusal: The token is missing or another session's.
    """
    if identity.via == "key" or request.method in SAFE_METHODS:
        return
    require_same_site(request)
    given = request.headers.get(CSRF_HEADER) or (form or {}).get(CSRF_FIELD) or ""
    wanted = identity.csrf
    if wanted is None or not hmac.compare_digest(given.encode(), wanted.encode()):
        raise Refusal(
            403,
            "csrf_token",
            "The page is out of date",
            f"Reload it and try again. Programs send {CSRF_HEADER}, or use a key.",
        )


def set_cookie(response: Response, settings: Settings, token: str) -> None:
    """Give a browser its session."""
    response.set_cookie(
        cookie_name(settings),
        token,
        max_age=web_sessions.LIFETIME_SECONDS,
        path="/",
        secure=settings.serves_https,
        httponly=True,
        samesite="strict",
    )


def clear_cookie(response: Response, settings: Settings) -> None:
    """Take a browser's session away."""
    response.delete_cookie(
        cookie_name(settings),
        path="/",
        secure=settings.serves_https,
        httponly=True,
        samesite="strict",
    )

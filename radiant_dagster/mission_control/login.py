"""How a browser logs in and out."""

from starlette.responses import RedirectResponse, Response

from radiant_dagster.adapters import principals, web_sessions
from radiant_dagster.mission_control import auth
from radiant_dagster.mission_control.guard import Call, Endpoint
from radiant_dagster.mission_control.problems import too_many

HOME = "/"
REFUSED = "This key does not work. It may be mistyped, expired or revoked."


def login_page(call: Call) -> Response:
    """Ask for a key."""
    return call.page("login.html", next=safe_target(call.request.query_params.get("next")))


def log_in(call: Call) -> Response:
    """Open a session for who holds a key.

    Always a new one: a cookie from before the login could have been planted by somebody else.
    """
    services = call.services
    auth.require_same_site(call.request)
    address = auth.client_address(call.request, services.settings)
    if wait := services.attempts.wait_seconds(address):
        raise too_many(wait)
    form = call.form()
    holder = principals.by_key(services.database, form.get("key", "").strip())
    if holder is None:
        services.attempts.take(address)
        services.metrics.count("radiant_logins_total", result="refused")
        target = safe_target(form.get("next"))
        return call.page("login.html", 401, next=target, refused=REFUSED)
    _close_old(call)
    session = web_sessions.open_session(services.database, holder.principal, holder.key_id)
    services.metrics.count("radiant_logins_total", result="ok")
    response = RedirectResponse(safe_target(form.get("next")), 303)
    auth.set_cookie(response, services.settings, session.token)
    return response


def log_out(call: Call) -> Response:
    """End the session."""
    _close_old(call)
    response = RedirectResponse("/login", 303)
    auth.clear_cookie(response, call.services.settings)
    return response


def _close_old(call: Call) -> None:
    token = call.request.cookies.get(auth.cookie_name(call.services.settings))
    if token:
        web_sessions.close_session(call.services.database, token)


def safe_target(target: str | None) -> str:
    r"""Return where to go after the login: a path of ours, never ``//elsewhere`` or ``/\else``."""
    ours = target is not None and target.startswith("/") and not target.startswith(("//", "/\\"))
    return target if target is not None and ours and target.isprintable() else HOME


ENDPOINTS = (
    Endpoint("GET", "/login", "public", login_page, kind="page"),
    Endpoint("POST", "/login", "public", log_in, kind="page"),
    Endpoint("POST", "/logout", "signed_in", log_out, kind="page"),
)

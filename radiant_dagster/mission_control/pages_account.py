"""What somebody may see and end of their own: roles, keys, the session of this browser."""

from typing import Any

from starlette.responses import RedirectResponse, Response

from radiant_dagster.adapters import principals
from radiant_dagster.adapters.postgres import Cursor
from radiant_dagster.domain.approvals import same_person
from radiant_dagster.errors import KeyNotFound
from radiant_dagster.mission_control.guard import Call, Endpoint


def _own_keys(call: Call, cursor: Cursor) -> list[dict[str, Any]]:
    return [
        key
        for key in principals.list_keys(cursor, call.tenant_id)
        if same_person(key["name"], call.principal.name)
    ]


def account(call: Call) -> Response:
    """Show who is logged in, and with which keys they can."""
    with call.transaction() as cursor:
        keys = _own_keys(call, cursor)
    return call.page("account.html", here="account", principal=call.principal, keys=keys[::-1])


def revoke(call: Call) -> Response:
    """End one of one's own keys; browsers that logged in with it are logged out."""
    prefix = call.request.path_params["prefix"]
    with call.transaction() as cursor:
        if prefix not in {key["prefix"] for key in _own_keys(call, cursor)}:
            raise KeyNotFound(prefix[: principals.PREFIX_LENGTH])
        principals.revoke_key(cursor, call.tenant_id, prefix, actor=call.principal.name)
    return RedirectResponse("/account", 303)


ENDPOINTS = (
    Endpoint("GET", "/account", "signed_in", account, kind="page"),
    Endpoint("POST", "/account/keys/{prefix}/revoke", "signed_in", revoke, kind="page"),
)

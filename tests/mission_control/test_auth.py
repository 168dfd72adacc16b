"""Who gets in: keys, browsers' sessions, proxy headers, and all that must not."""

import base64
import hashlib
import hmac
import http.cookies
import json
import time
import uuid

import pytest
from starlette.responses import JSONResponse, Response

from radiant_dagster.adapters import principals, tenants
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.domain.principals import PERMISSIONS
from radiant_dagster.mission_control.guard import Call, Endpoint
from radiant_dagster.mission_control.login import safe_target
from radiant_dagster.mission_control.routes import ENDPOINTS
from tests.mission_control.conftest import People, Serve, Site, bearer

EMAIL = "lee@example.org"
PROXY = {"RADIANT_PROXY_AUTH_FROM": "127.0.0.0/8", "RADIANT_PROXY_AUTH_TENANT": "acme"}


def touch(call: Call) -> Response:
    return JSONResponse({"tenant": str(call.tenant_id)})


WRITING = (*ENDPOINTS, Endpoint("POST", "/api/v1/touch", "signed_in", touch))


def test_a_key_tells_who_asks_and_what_they_may_do(site: Site, people: People) -> None:
    key = people.key_for("Lee", "reviewer", domains=frozenset({"medical"}))

    reply = site("GET", "/api/v1/me", bearer(key))

    me = json.loads(reply.data)
    assert (me["name"], me["roles"], me["domains"]) == ("Lee", ["reviewer"], ["medical"])
    assert set(me["permissions"]) == {
        name for name, roles in PERMISSIONS.items() if "reviewer" in roles
    }


@pytest.mark.parametrize(
    "given",
    [
        "Bearer rk_abcd1234_" + "x" * 43,
        "Bearer nonsense",
        "Bearer ",
        "Bearer",
        "Basic bGVlOmxlZQ==",
        "",
    ],
)
def test_a_useless_credential_is_refused_and_not_ignored(
    site: Site, people: People, given: str
) -> None:
    browser = site.log_in(people.key_for("lee", "reviewer"))

    reply = site("GET", "/api/v1/me", browser | {"Authorization": given})

    assert reply.status == 401
    assert json.loads(reply.data)["code"] == "unauthenticated"


def test_guessing_keys_from_one_address_ends_in_429(site: Site) -> None:
    wrong = bearer("rk_abcd1234_" + "x" * 43)

    statuses = [site("GET", "/api/v1/me", wrong).status for _ in range(24)]

    assert statuses[0] == 401
    assert statuses[-1] == 429


def part(value: dict[str, object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def token(header: dict[str, object], claims: dict[str, object], key: bytes | None) -> str:
    """Return a JSON web token, signed by HMAC where there is a key."""
    signed = f"{part(header)}.{part(claims)}"
    mac = b"" if key is None else hmac.new(key, signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"


NOW = int(time.time())
CLAIMS: dict[str, object] = {
    "sub": "lee", "name": "lee", "roles": ["admin"], "iss": "https://id.example.org",
    "aud": "radiant", "iat": NOW, "exp": NOW + 3600,
}  # fmt: skip
# RADIANT takes no tokens of others: sign-on is a proxy's, by address. So all of these are nobody's.
TOKENS = {
    "unsigned": token({"alg": "none", "typ": "JWT"}, CLAIMS, None),
    "signed by a guess": token({"alg": "HS256", "typ": "JWT"}, CLAIMS, b"secret"),
    "signed by nothing": token({"alg": "HS256", "typ": "JWT"}, CLAIMS, b""),
    "another audience": token({"alg": "HS256"}, {**CLAIMS, "aud": "other"}, b"secret"),
    "another issuer": token({"alg": "HS256"}, {**CLAIMS, "iss": "https://evil.example"}, b"s"),
    "expired": token({"alg": "HS256"}, {**CLAIMS, "exp": NOW - 60}, b"secret"),
    "from the future": token({"alg": "HS256"}, {**CLAIMS, "nbf": NOW + 3600}, b"secret"),
    "another algorithm": token({"alg": "RS256", "typ": "JWT"}, CLAIMS, b"-----BEGIN PUBLIC KEY"),
    "an unknown key": token({"alg": "HS256", "kid": "nobody"}, CLAIMS, b"secret"),
    "a key from a file": token({"alg": "HS256", "kid": "../../dev/null"}, CLAIMS, b""),
    "a key of its own": token({"alg": "HS256", "jwk": {"kty": "oct", "k": "czM"}}, CLAIMS, b"s3"),
    "a key from elsewhere": token({"alg": "RS256", "jku": "https://evil.example/"}, CLAIMS, b"s"),
}


@pytest.mark.parametrize("kind", TOKENS)
def test_no_token_of_anybody_else_is_a_credential(site: Site, people: People, kind: str) -> None:
    people.key_for("lee", "admin")

    reply = site("GET", "/api/v1/me", {"Authorization": f"Bearer {TOKENS[kind]}"})
    as_cookie = site("GET", "/api/v1/me", {"Cookie": f"radiant={TOKENS[kind]}"})

    assert (reply.status, as_cookie.status) == (401, 401)
    assert TOKENS[kind] not in reply.data.decode() + as_cookie.data.decode()


def test_a_disabled_principal_is_out_at_once(
    site: Site, people: People, api_database: Database, tenant: uuid.UUID
) -> None:
    key = people.key_for("lee", "reviewer")
    browser = site.log_in(key)
    shown = (browser, bearer(key))
    before = [site("GET", "/api/v1/me", headers).status for headers in shown]

    with api_database.tenant_transaction(tenant) as cursor:
        principals.disable_principal(cursor, tenant, "lee", actor="ada")

    after = [site("GET", "/api/v1/me", headers).status for headers in shown]
    assert before == [200, 200]
    assert after == [401, 401]


def test_the_tenant_is_the_credentials_whatever_else_a_request_says(
    serve: Serve, people: People, database: Database, tenant: uuid.UUID
) -> None:
    other = uuid.uuid4()
    tenants.create_tenant(database, other, "other", "Other Clinic")
    said = {"X-Tenant-ID": str(other), "X-Forwarded-Tenant": "other"}
    said |= bearer(people.key_for("lee", "viewer"))
    with serve(endpoints=WRITING) as site:
        reply = site(
            "POST", f"/api/v1/touch?tenant_id={other}", said,
            json={"tenant_id": str(other)},
        )  # fmt: skip

    assert json.loads(reply.data) == {"tenant": str(tenant)}


def cookie_of(reply: object) -> http.cookies.Morsel[str]:
    parsed = http.cookies.SimpleCookie(reply.headers["Set-Cookie"])  # type: ignore[attr-defined]
    (morsel,) = parsed.values()
    return morsel


def test_the_cookie_is_for_this_site_and_no_script(site: Site, people: People) -> None:
    reply = site.form("/login", {"key": people.key_for("lee", "reviewer"), "next": "/x?y=1"})

    cookie = cookie_of(reply)
    assert (reply.status, reply.headers["Location"]) == (303, "/x?y=1")
    assert cookie.key == "radiant"
    assert cookie["httponly"] is True
    assert cookie["samesite"].lower() == "strict"
    assert (cookie["path"], cookie["domain"], cookie["secure"]) == ("/", "", "")


def test_behind_tls_the_cookie_is_bound_to_tls_and_host(serve: Serve, people: People) -> None:
    with serve(RADIANT_MISSION_CONTROL_URL="https://think.example.org") as site:
        reply = site.form(
            "/login", {"key": people.key_for("lee", "reviewer")}, {"Host": "think.example.org"}
        )

    cookie = cookie_of(reply)
    assert cookie.key == "__Host-radiant"
    assert (cookie["secure"], cookie["path"], cookie["domain"]) == (True, "/", "")


def test_a_login_makes_a_new_session_and_ends_the_one_that_was_planted(
    site: Site, people: People
) -> None:
    key = people.key_for("lee", "reviewer")
    planted = site.log_in(people.key_for("eve", "viewer"))

    after = site.log_in(key, **planted)

    assert after != planted
    assert json.loads(site("GET", "/api/v1/me", after).data)["name"] == "lee"
    assert site("GET", "/api/v1/me", planted).status == 401
    assert site("GET", "/api/v1/me", site.log_in(key, Cookie="radiant=chosen")).status == 200
    assert site("GET", "/api/v1/me", {"Cookie": "radiant=chosen"}).status == 401


def test_a_wrong_key_opens_nothing_and_is_not_shown_again(site: Site) -> None:
    reply = site.form("/login", {"key": "rk_abcd1234_" + "x" * 43})

    assert reply.status == 401
    assert "Set-Cookie" not in reply.headers
    assert "x" * 43 not in reply.data.decode()


def test_logins_are_limited_by_address(site: Site, people: People) -> None:
    key = people.key_for("lee", "reviewer")
    spoofed = [{"X-Forwarded-For": f"203.0.113.{number}"} for number in range(20)]

    wrong = [site.form("/login", {"key": "guess"}, headers).status for headers in spoofed]
    right = site.form("/login", {"key": key})

    assert wrong == [401] * 20
    assert right.status == 429
    assert int(right.headers["Retry-After"]) >= 1


def test_logging_out_ends_the_session_on_the_server(site: Site, people: People) -> None:
    browser = site.log_in(people.key_for("lee", "reviewer"))

    reply = site.form("/logout", {"csrf_token": site.csrf(browser)}, browser)

    assert (reply.status, reply.headers["Location"]) == (303, "/login")
    assert site("GET", "/api/v1/me", browser).status == 401


@pytest.mark.parametrize("how", ["field", "header"])
def test_an_unsafe_request_repeats_the_sessions_token(
    serve: Serve, people: People, how: str
) -> None:
    with serve(endpoints=WRITING) as site:
        browser = site.log_in(people.key_for("lee", "reviewer"))
        token = site.csrf(browser)

        if how == "field":
            reply = site.form("/api/v1/touch", {"csrf_token": token}, browser)
        else:
            reply = site("POST", "/api/v1/touch", browser | {"X-CSRF-Token": token})

    assert len(token) == 43
    assert reply.status == 200


@pytest.mark.parametrize("token", ["missing", "wrong", "another session's", "empty"])
def test_an_unsafe_request_without_the_sessions_own_token_is_refused(
    serve: Serve, people: People, token: str
) -> None:
    with serve(endpoints=WRITING) as site:
        key = people.key_for("lee", "reviewer")
        browser = site.log_in(key)
        fields = {
            "missing": {},
            "wrong": {"csrf_token": "x" * 43},
            "another session's": {"csrf_token": site.csrf(site.log_in(key))},
            "empty": {"csrf_token": ""},
        }[token]

        reply = site.form("/api/v1/touch", fields, browser)

    assert (reply.status, json.loads(reply.data)["code"]) == (403, "csrf_token")


@pytest.mark.parametrize(
    "elsewhere",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
    ],
)
def test_another_site_can_neither_act_nor_log_in(
    serve: Serve, people: People, elsewhere: dict[str, str]
) -> None:
    with serve(endpoints=WRITING) as site:
        key = people.key_for("lee", "reviewer")
        browser = site.log_in(key)
        token = {"X-CSRF-Token": site.csrf(browser)}

        acted = site("POST", "/api/v1/touch", browser | token | elsewhere)
        logged_in = site.form("/login", {"key": key}, elsewhere)

    assert json.loads(acted.data)["code"] == "cross_site"
    assert logged_in.status == 403
    assert "Set-Cookie" not in logged_in.headers


@pytest.mark.parametrize("sent", ["null", "own"])
def test_our_own_forms_are_let_in_as_browsers_send_them(
    site: Site, people: People, sent: str
) -> None:
    origin = site.url if sent == "own" else "null"

    reply = site.form(
        "/login", {"key": people.key_for("lee", "reviewer")},
        {"Origin": origin, "Sec-Fetch-Site": "same-origin"},
    )  # fmt: skip

    assert reply.status == 303


def test_a_key_needs_no_token(serve: Serve, people: People) -> None:
    with serve(endpoints=WRITING) as site:
        reply = site("POST", "/api/v1/touch", bearer(people.key_for("lee", "reviewer")))

    assert reply.status == 200


@pytest.mark.parametrize(
    ("target", "shown"),
    [
        ("/approvals?state=pending", "/approvals?state=pending"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example", "/"),
        ("/a\r\nSet-Cookie: x=y", "/"),
        ("/\t/evil.example", "/"),
        (None, "/"),
    ],
)
def test_a_login_leads_nowhere_else(target: str | None, shown: str) -> None:
    assert safe_target(target) == shown


def test_a_trusted_proxy_says_who_somebody_is(serve: Serve, people: People) -> None:
    people.make("Lee", "reviewer", email=EMAIL)
    with serve(**PROXY) as site:
        reply = site("GET", "/api/v1/me", {"X-Forwarded-Email": EMAIL.upper()})
        unknown = site("GET", "/api/v1/me", {"X-Forwarded-Email": "eve@example.org"})

    assert json.loads(reply.data)["name"] == "Lee"
    assert unknown.status == 401


def test_the_proxys_header_names_are_settings(
    serve: Serve, people: People, database: Database
) -> None:
    tenants.create_tenant(database, uuid.uuid4(), "other", "Other Clinic")
    people.make("Lee", "reviewer", email=EMAIL)
    names = {
        "RADIANT_PROXY_AUTH_HEADER": "X-Auth-Request-Email",
        "RADIANT_PROXY_AUTH_TENANT_HEADER": "X-Auth-Request-Tenant",
    }
    with serve(**(PROXY | names)) as site:
        shown = {"X-Auth-Request-Email": EMAIL}
        here = site("GET", "/api/v1/me", shown | {"X-Auth-Request-Tenant": "acme"})
        other = site("GET", "/api/v1/me", shown | {"X-Auth-Request-Tenant": "other"})
        default_name = site("GET", "/api/v1/me", {"X-Forwarded-Email": EMAIL})

    assert (here.status, other.status, default_name.status) == (200, 401, 401)


@pytest.mark.parametrize("trusted", ["10.0.0.0/8", ""])
@pytest.mark.parametrize(
    "spoofed",
    [
        {},
        {"X-Forwarded-For": "10.0.0.1"},
        {"X-Real-IP": "10.0.0.1", "Forwarded": "for=10.0.0.1"},
        {"X-Forwarded-For": "10.0.0.1, 127.0.0.1"},
    ],
)
def test_proxy_headers_from_other_addresses_are_ignored(
    serve: Serve, people: People, trusted: str, spoofed: dict[str, str]
) -> None:
    people.make("Lee", "reviewer", email=EMAIL)
    with serve(**(PROXY | {"RADIANT_PROXY_AUTH_FROM": trusted})) as site:
        reply = site("GET", "/api/v1/me", {"X-Forwarded-Email": EMAIL} | spoofed)

    assert reply.status == 401


def test_a_browser_behind_the_proxy_gets_a_session_and_needs_its_token(
    serve: Serve, people: People
) -> None:
    people.make("Lee", "reviewer", email=EMAIL)
    proxied = {"X-Forwarded-Email": EMAIL}
    with serve(endpoints=WRITING, **PROXY) as site:
        bare = site("POST", "/api/v1/touch", proxied)
        first = site("GET", "/?page=2", proxied)
        browser = proxied | {"Cookie": first.headers["Set-Cookie"].partition(";")[0]}
        token = site.csrf(browser)
        acted = site("POST", "/api/v1/touch", browser | {"X-CSRF-Token": token})
        tokenless = site("POST", "/api/v1/touch", browser)

    assert bare.status == 403
    assert (first.status, first.headers["Location"]) == (303, "/?page=2")
    assert acted.status == 200
    assert tokenless.status == 403


def test_the_proxys_word_outweighs_an_earlier_persons_cookie(serve: Serve, people: People) -> None:
    people.make("Lee", "reviewer", email=EMAIL)
    with serve(endpoints=WRITING, **PROXY) as site:
        browser = site.log_in(people.key_for("ann", "admin"))
        token = site.csrf(browser)
        now_lee = browser | {"X-Forwarded-Email": EMAIL}

        who = json.loads(site("GET", "/api/v1/me", now_lee).data)["name"]
        acted = site("POST", "/api/v1/touch", now_lee | {"X-CSRF-Token": token})

    assert who == "Lee"
    assert acted.status == 403


def test_a_hostile_name_is_shown_as_text(site: Site, people: People) -> None:
    name = "<script>alert(1)</script>"

    page = site("GET", "/", site.log_in(people.key_for(name, "reviewer"))).data.decode()

    assert name not in page
    assert "&lt;script&gt;" in page


def test_a_page_has_no_inline_script_style_or_handler(site: Site, people: People) -> None:
    browser = site.log_in(people.key_for("lee", "reviewer"))

    pages = [site("GET", path, browser).data.decode() for path in ("/", "/login", "/nothing")]

    for page in pages:
        assert "<script>" not in page
        assert "<style" not in page
        assert " style=" not in page
        assert " on" + "click" not in page

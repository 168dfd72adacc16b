"""What every response carries, and what is refused before any handler runs."""

import http.client
import json
import uuid
from urllib.parse import urlsplit

import pytest
from starlette.responses import JSONResponse, Response

from radiant_dagster.mission_control.guard import MAX_BODY_BYTES, Call, Endpoint
from radiant_dagster.mission_control.middleware import CONTENT_SECURITY_POLICY
from radiant_dagster.mission_control.routes import ENDPOINTS
from tests.mission_control.conftest import People, Serve, Site, bearer

SECRET = "patient Ann Smith, MRN 12345678"


def breaks(call: Call) -> Response:
    raise ValueError(SECRET)


def echo(call: Call) -> Response:
    return JSONResponse({"got": call.json()})


ODD = (
    *ENDPOINTS,
    Endpoint("GET", "/api/v1/breaks", "signed_in", breaks),
    Endpoint("GET", "/breaks", "signed_in", breaks, kind="page"),
    Endpoint("POST", "/api/v1/echo", "signed_in", echo),
)

REQUESTS = {
    "a page": ("GET", "/login", 200),
    "a redirect": ("GET", "/", 303),
    "a probe": ("GET", "/healthz", 200),
    "a refusal": ("GET", "/api/v1/me", 401),
    "an unknown address": ("GET", "/api/v1/nothing", 404),
    "a wrong method": ("PUT", "/api/v1/me", 405),
    "a static file": ("GET", "/static/mission-control.css", 200),
    "a missing static file": ("GET", "/static/nothing.css", 404),
    "a failed login": ("POST", "/login", 401),
}


@pytest.mark.parametrize("case", REQUESTS)
def test_every_response_carries_the_security_headers(site: Site, case: str) -> None:
    method, path, status = REQUESTS[case]

    reply = site(method, path)

    assert reply.status == status
    assert reply.headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
    assert "unsafe" not in CONTENT_SECURITY_POLICY
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    assert reply.headers["Referrer-Policy"] == "no-referrer"
    assert reply.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert "camera=()" in reply.headers["Permissions-Policy"]
    assert len(reply.headers["X-Request-Id"]) == 32
    assert (reply.headers.get("Cache-Control") == "no-store") is not path.startswith("/static/")
    assert "Server" not in reply.headers
    assert "Strict-Transport-Security" not in reply.headers


def test_a_wrong_method_is_told_all_methods_of_the_address(site: Site) -> None:
    reply = site("PATCH", f"/api/v1/approvals/{uuid.uuid4()}/claim")

    assert reply.status == 405
    assert set(reply.headers["Allow"].split(", ")) == {"DELETE", "POST"}


def test_https_is_asked_for_where_browsers_reach_us_by_it(serve: Serve) -> None:
    with serve(RADIANT_MISSION_CONTROL_URL="https://think.example.org") as site:
        reply = site("GET", "/healthz", {"Host": "think.example.org"})

    assert reply.status == 200
    assert reply.headers["Strict-Transport-Security"].startswith("max-age=31536000")


@pytest.mark.parametrize("path", ["/api/v1/breaks", "/breaks"])
def test_a_fault_of_ours_tells_nothing_but_a_request_id(
    serve: Serve, people: People, path: str, caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    with serve(endpoints=ODD) as site:
        reply = site("GET", path, bearer(people.key_for("lee", "reviewer")))

    assert reply.status == 500
    assert reply.headers["X-Request-Id"] in reply.data.decode()
    assert "ValueError in breaks" in caplog.text
    seen = reply.data.decode() + caplog.text + "".join(capfd.readouterr())
    assert "Ann Smith" not in seen
    assert "Traceback" not in seen


def test_a_problem_is_a_problem_document(site: Site) -> None:
    reply = site("GET", "/api/v1/me")

    document = json.loads(reply.data)
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert document["status"] == 401
    assert document["code"] == "unauthenticated"
    assert document["type"] == "urn:radiant:problem:unauthenticated"
    assert document["request_id"] == reply.headers["X-Request-Id"]
    assert reply.headers["WWW-Authenticate"].startswith("Bearer")


def test_people_get_pages_and_a_login_instead_of_problem_documents(site: Site) -> None:
    missing = site("GET", "/nothing", {"Accept": "text/html"})
    home = site("GET", "/")

    assert missing.status == 404
    assert missing.headers["Content-Type"].startswith("text/html")
    assert home.headers["Location"] == "/login?next=/"


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "", "think.example.org@evil.example"]
)
def test_another_host_name_is_refused(serve: Serve, host: str) -> None:
    with serve(RADIANT_ALLOWED_HOSTS="think.example.org") as site:
        reply = site("GET", "/healthz", {"Host": host})

    assert reply.status == 400
    assert json.loads(reply.data)["code"] == "unknown_host"


@pytest.mark.parametrize("host", ["think.example.org", "Think.Example.ORG:8443", "localhost:1"])
def test_a_named_host_is_answered_on_any_port(serve: Serve, host: str) -> None:
    with serve(RADIANT_ALLOWED_HOSTS="other.example.org, think.example.org") as site:
        assert site("GET", "/healthz", {"Host": host}).status == 200


def test_a_large_body_is_refused_by_its_length_unread(site: Site, people: People) -> None:
    connection = http.client.HTTPConnection(urlsplit(site.url).netloc, timeout=20)
    connection.putrequest("POST", "/login")
    connection.putheader("Content-Length", str(MAX_BODY_BYTES + 1))
    connection.endheaders(b"key=")

    reply = connection.getresponse()

    assert reply.status == 413
    connection.close()


def test_a_large_body_of_unknown_length_is_refused(serve: Serve, people: People) -> None:
    with serve(endpoints=ODD) as site:
        host = urlsplit(site.url).netloc
        connection = http.client.HTTPConnection(host, timeout=20)
        chunks = (b" " * 65536 for _ in range(MAX_BODY_BYTES // 65536 + 1))
        headers = bearer(people.key_for("lee", "reviewer")) | {"Content-Type": "application/json"}
        connection.request(
            "POST", "/api/v1/echo", body=chunks, headers=headers, encode_chunked=True
        )
        reply = connection.getresponse()
        code = json.loads(reply.read())["code"]
        connection.close()

    assert (reply.status, code) == (413, "body_too_large")


BAD_JSON = {
    "no JSON": (b"{", "bad_json", 400),
    "no UTF-8": (b'"\xff"', "bad_json", 400),
    "a name twice": (b'{"a": 1, "a": 2}', "bad_json", 400),
    "not a number": (b"[NaN]", "bad_json", 400),
    "too deep": (b"[" * 21 + b"]" * 21, "json_too_complex", 400),
    "far too deep": (b"[" * 200_000, "bad_json", 400),
    "too many values": (b"[" + b"1," * 50_000 + b"1]", "json_too_complex", 400),
}


@pytest.mark.parametrize("case", BAD_JSON)
def test_json_that_nothing_needs_is_refused(serve: Serve, people: People, case: str) -> None:
    body, code, status = BAD_JSON[case]
    with serve(endpoints=ODD) as site:
        headers = bearer(people.key_for("lee", "reviewer")) | {"Content-Type": "application/json"}

        reply = site("POST", "/api/v1/echo", headers, body=body)

    assert (reply.status, json.loads(reply.data)["code"]) == (status, code)


def test_json_within_the_limits_is_read(serve: Serve, people: People) -> None:
    with serve(endpoints=ODD) as site:
        headers = bearer(people.key_for("lee", "reviewer"))

        read = site("POST", "/api/v1/echo", headers, json={"a": [1, {"b": None}]})
        other = site("POST", "/api/v1/echo", headers, body=b"{}")

    assert json.loads(read.data) == {"got": {"a": [1, {"b": None}]}}
    assert (other.status, json.loads(other.data)["code"]) == (415, "media_type")


def test_a_key_that_asks_too_often_waits_and_another_does_not(serve: Serve, people: People) -> None:
    eager, calm = people.key_for("ann", "viewer"), people.key_for("lee", "viewer")
    with serve(RADIANT_API_RATE_PER_MINUTE="3") as site:
        statuses = [site("GET", "/api/v1/me", bearer(eager)).status for _ in range(3)]
        refused = site("GET", "/api/v1/me", bearer(eager))
        other = site("GET", "/api/v1/me", bearer(calm)).status

    assert statuses == [200, 200, 200]
    assert refused.status == 429
    assert 1 <= int(refused.headers["Retry-After"]) <= 20
    assert other == 200


def test_readiness_is_the_databases_and_liveness_is_not(serve: Serve) -> None:
    away = "postgresql://radiant_reviewer:reviewer@127.0.0.1:1/radiant"
    with serve(RADIANT_REVIEW_DATABASE_URL=away) as site:
        ready, alive = site("GET", "/readyz"), site("GET", "/healthz")
        asked = site("GET", "/api/v1/me", bearer("rk_abcd1234_" + "x" * 43))

    assert (ready.status, alive.status, asked.status) == (503, 200, 503)
    assert asked.headers["Retry-After"]
    assert "127.0.0.1" not in asked.data.decode()


def test_the_database_makes_it_ready(site: Site) -> None:
    assert site("GET", "/readyz").status == 200


def test_metrics_count_requests_by_route_for_this_machine_and_admins(
    site: Site, people: People
) -> None:
    proxied = {"X-Forwarded-For": "203.0.113.9"}
    site("GET", "/api/v1/nothing/with/an/id")

    here = site("GET", "/metrics")
    through_proxy = site("GET", "/metrics", proxied)
    viewer = site("GET", "/metrics", bearer(people.key_for("vi", "viewer")))
    admin = site("GET", "/metrics", proxied | bearer(people.key_for("ada", "admin")))

    assert [here.status, through_proxy.status, viewer.status, admin.status] == [200, 401, 403, 200]
    text = here.data.decode()
    assert 'radiant_http_requests_total{method="GET",route="unmatched",status="404"} 1' in text
    assert "with/an/id" not in text

"""Where Mission Control listens, and the process that `radiant up` starts."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from radiant_dagster.adapters.health import mission_control_ready
from radiant_dagster.adapters.settings import Settings
from radiant_dagster.errors import ConfigurationError
from radiant_dagster.local.plan import command
from radiant_dagster.local.ports import assign_ports
from radiant_dagster.mission_control.app import create_app
from radiant_dagster.mission_control.limits import Buckets
from radiant_dagster.mission_control.server import require_safe_bind

STARTUP_SECONDS = 60.0


def load(**env: str) -> Settings:
    return Settings.load({"RADIANT_HOME": "/nonexistent/radiant-tests", **env})


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "think.example.org"])
def test_it_does_not_listen_beyond_this_machine_in_the_clear(host: str) -> None:
    with pytest.raises(ConfigurationError, match="RADIANT_TLS_TERMINATED=1"):
        require_safe_bind(load(RADIANT_MISSION_CONTROL_HOST=host))

    require_safe_bind(load(RADIANT_MISSION_CONTROL_HOST=host, RADIANT_TLS_TERMINATED="1"))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_it_listens_on_loopback_without_further_ado(host: str) -> None:
    settings = load(RADIANT_MISSION_CONTROL_HOST=host)

    require_safe_bind(settings)  # raises where it would be refused

    assert (settings.mission_control_host, settings.tls_terminated) == (host, False)


def test_it_does_not_work_with_the_login_of_workers() -> None:
    with pytest.raises(ConfigurationError, match=r"^RADIANT_REVIEW_DATABASE_URL"):
        create_app(load(RADIANT_DATABASE_URL="postgresql://radiant@127.0.0.1/radiant"))


def test_links_lead_to_ours_unless_there_is_another() -> None:
    ours, external = "http://127.0.0.1:9", "https://mc.example"
    public = "https://reviews.example"
    assert load().reviewers_url is None
    assert load(RADIANT_MISSION_CONTROL_URL=ours).reviewers_url == ours
    both = load(RADIANT_MISSION_CONTROL_URL=ours, MISSION_CONTROL_URL=external)
    assert both.reviewers_url == external
    all_three = load(MISSION_CONTROL_URL=external, RADIANT_PUBLIC_URL=public)
    assert all_three.reviewers_url == public
    assert load().mission_control_url is None  # nobody outside is told of anything


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RADIANT_PROXY_AUTH_FROM", "10.0.0.0/33"),
        ("RADIANT_PROXY_AUTH_FROM", "proxy.example.org"),
        ("RADIANT_MISSION_CONTROL_URL", "think.example.org"),
        ("RADIANT_API_RATE_PER_MINUTE", "0"),
    ],
)
def test_a_bad_setting_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(**{name: value})

    assert caught.value.setting == name


def test_the_process_of_the_stack_serves_with_the_reviewers_login_alone(
    review_url: str, tmp_path: Path
) -> None:
    ports = assign_ports(tmp_path, {"mission_control": None})
    url = f"http://127.0.0.1:{ports['mission_control']}"
    env = {
        **os.environ,
        "RADIANT_REVIEW_DATABASE_URL": review_url,
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    child = subprocess.Popen(
        command("mission", ports, tmp_path, 1), env=env, stderr=subprocess.PIPE, text=True
    )
    try:
        end = time.monotonic() + STARTUP_SECONDS
        while not mission_control_ready(url):
            assert child.poll() is None, "it ended"
            assert time.monotonic() < end, "it does not start"
            time.sleep(0.05)
    finally:
        child.terminate()
        _, errors = child.communicate(timeout=30)

    assert "Traceback" not in errors
    assert not mission_control_ready(url)


def test_a_bucket_fills_steadily_and_holds_a_minutes_worth() -> None:
    now = [0.0]
    buckets = Buckets(2, clock=lambda: now[0])

    first = [buckets.take("ann"), buckets.take("ann"), buckets.take("ann")]
    now[0] = 30.0
    later = [buckets.take("ann"), buckets.take("ann")]
    now[0] = 3600.0
    rested = [buckets.take("ann"), buckets.take("ann"), buckets.take("ann")]

    assert first == [0, 0, 30]
    assert later == [0, 30]
    assert rested == [0, 0, 30]
    assert buckets.take("lee") == 0

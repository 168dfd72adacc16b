"""Which addresses may be called: public ones over https, and what the operator listed."""

import ipaddress

import pytest

from radiant_dagster.domain.egress import (
    is_public,
    parse_destination,
    parse_policy,
    refusal,
)
from radiant_dagster.errors import InvalidInput

CLOSED = parse_policy("", "443,8443")


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.127.255.254", "127.0.0.1",
        "127.255.255.254", "169.254.0.1", "169.254.169.254", "172.16.0.1", "172.31.255.255",
        "192.0.0.8", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.51.100.1",
        "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
        "::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254",
        "::ffff:0:0", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1",
        "100::1", "2001::1", "2001:db8::1", "2002:7f00:1::", "2002:a9fe:a9fe::1", "3fff::1",
        "fc00::1", "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1",
    ],
)  # fmt: skip
def test_an_address_that_is_not_on_the_internet_is_refused(address: str) -> None:
    there = parse_destination("https://hooks.example.org/x", CLOSED)

    assert refusal(there, ipaddress.ip_address(address), CLOSED) == "address_not_public"


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "8.8.8.8", "172.32.0.1", "2606:4700::1111", "2002:808:808::1"]
)
def test_a_public_address_is_taken(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.org/", "ftp://hooks.example.org/", "file:///etc/passwd",
        "gopher://127.0.0.1:6379/_x", "https://", "https:///x", "//hooks.example.org/x",
        "https://2130706433/", "https://0177.0.0.1/", "https://0x7f.0.0.1/", "https://0x7f000001/",
        "https://127.1/", "https://127.0.1/", "https://017700000001/", "https://1.2.3.4.5/",
        "https://user@hooks.example.org/", "https://user:password@hooks.example.org/",
        "https://@hooks.example.org/", "https://hooks.example.org\\@127.0.0.1/",
        "https://hooks.example.org /x", "https://hooks.example.org/\r\nHost: x",
        "https://hooks.example.org:22/", "https://hooks.example.org:6379/",
        "https://hooks.example.org:99999/", "https://hooks.example.org:x/",
        "https://hooks.example.org/#part", "https://h\u00f6oks.example.org/",
        "https://\uff11\uff12\uff17.0.0.1/", "https://127\u30020\u30020\u30021/",
        "https://[fe80::1%25eth0]/", "https://[::1/", "https://hooks%2eexample.org/",
        "https://-hooks.example.org/", "https://hooks..example.org/",
    ],
)  # fmt: skip
def test_a_url_that_could_mean_something_else_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_destination(url, CLOSED)

    assert refused.value.field == "url"
    assert "example.org" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    ["https://hooks.example.org", "https://hooks.example.org:8443/a?b=c", "https://1.1.1.1/x",
     "https://[2606:4700::1111]/x"],
)  # fmt: skip
def test_a_plain_https_url_is_taken(url: str) -> None:
    assert parse_destination(url, CLOSED).url == url


def test_a_listed_network_is_reachable_but_plain_http_on_loopback_only() -> None:
    policy = parse_policy("10.1.0.0/16, 127.0.0.1, ::1", "443")
    inside = parse_destination("https://mirror.example.org:9000/x", policy)

    assert refusal(inside, ipaddress.ip_address("10.1.2.3"), policy) is None
    assert refusal(inside, ipaddress.ip_address("10.2.2.3"), policy) == "port_not_allowed"
    assert refusal(inside, ipaddress.ip_address("1.1.1.1"), policy) == "port_not_allowed"
    loopback = parse_destination("http://127.0.0.1:8080/x", policy)
    assert refusal(loopback, ipaddress.ip_address("127.0.0.1"), policy) is None
    plain = parse_destination("http://10.1.2.3/x", policy)
    assert refusal(plain, ipaddress.ip_address("10.1.2.3"), policy) == "http_beyond_loopback"
    with pytest.raises(InvalidInput, match="https"):
        parse_destination("http://10.2.0.1/x", policy)


def test_a_listed_host_may_be_anywhere() -> None:
    policy = parse_policy("Control.internal", "443")
    there = parse_destination("https://control.internal:9443/x", policy)

    assert refusal(there, ipaddress.ip_address("192.168.1.1"), policy) is None


@pytest.mark.parametrize(
    ("allow", "ports"),
    [("not a host!", "443"), ("127.1", "443"), ("1.2.3.4/99", "443"), ("", "https"), ("", "0"),
     ("", "70000"), ("http://x.org", "443")],
)  # fmt: skip
def test_a_malformed_setting_is_named(allow: str, ports: str) -> None:
    with pytest.raises(InvalidInput, match="RADIANT_WEBHOOK_"):
        parse_policy(allow, ports)

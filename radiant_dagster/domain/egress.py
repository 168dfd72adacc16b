"""Which addresses a webhook may reach: public ones over https, and what the operator listed.

Whoever may add an endpoint could otherwise have this machine call servers inside of its network
(server-side request forgery). A host's name says nothing: every address that it resolves to is
judged, and the connection goes to a judged address and no other.
"""

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from radiant_dagster.errors import InvalidInput

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

HOST = re.compile(
    r"(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*"
)
NUMERIC_LABEL = re.compile(r"\d+|0x[0-9a-f]*")
# IANA's special registries, since what Python calls global moves between its versions.
NEVER = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15",
        "240.0.0.0/4", "::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "fec0::/10",
        "3fff::/20", "5f00::/16",
    )
)  # fmt: skip
NAT64 = ipaddress.ip_network("64:ff9b::/96")
SIX_TO_FOUR = ipaddress.ip_network("2002::/16")


@dataclass(frozen=True, slots=True)
class EgressPolicy:
    """What an operator allows beyond public https addresses.

    Args:
        hosts: Names whose addresses are not judged.
        networks: Addresses that are allowed though not public.
        ports: That public hosts may be called on; listed ones on any.
    """

    hosts: frozenset[str]
    networks: tuple[IpNetwork, ...]
    ports: frozenset[int]

    def lists(self, host: str, address: IpAddress) -> bool:
        """Tell whether the operator listed a host or this address of it."""
        return host in self.hosts or any(address in network for network in self.networks)


@dataclass(frozen=True, slots=True)
class Destination:
    """A URL taken apart and found well-formed; its addresses are judged when it is called."""

    url: str
    scheme: str
    host: str
    port: int


def parse_policy(allow: str, ports: str) -> EgressPolicy:
    """Read RADIANT_WEBHOOK_ALLOW and RADIANT_WEBHOOK_PORTS.

    Raises:
        InvalidInput: Names the setting and the entry.
    """
    hosts: set[str] = set()
    networks: list[IpNetwork] = []
    for entry in _entries(allow):
        try:
            networks.append(ipaddress.ip_network(entry, strict=False))
        except ValueError:
            if not _is_name(entry):
                raise InvalidInput(
                    "RADIANT_WEBHOOK_ALLOW",
                    "holds an entry that is neither host, address nor network",
                    "Use for instance hooks.example.org,10.1.0.0/16 with commas between.",
                ) from None
            hosts.add(entry)
    numbers: set[int] = set()
    for entry in _entries(ports):
        if not entry.isdecimal() or not 1 <= int(entry) <= 65_535:
            raise InvalidInput(
                "RADIANT_WEBHOOK_PORTS", "holds no port number", "Use for instance 443,8443."
            )
        numbers.add(int(entry))
    return EgressPolicy(frozenset(hosts), tuple(networks), frozenset(numbers))


def _entries(text: str) -> list[str]:
    return [entry.strip().lower() for entry in text.split(",") if entry.strip()]


def _is_name(host: str) -> bool:
    # A last label of digits is an IPv4 address in one of its many spellings, or nothing at all.
    return bool(HOST.fullmatch(host)) and not NUMERIC_LABEL.fullmatch(host.rsplit(".", 1)[-1])


def parse_address(host: str) -> IpAddress | None:
    """Return the address that a host is, None for a name; one spelling is taken, the usual one."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def parse_destination(url: str, policy: EgressPolicy) -> Destination:
    """Take a URL apart and refuse what never may be called.

    Raises:
        InvalidInput: With what is wrong; never the URL, whose path may be a secret.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        raise _refused("cannot be read") from None
    host = (parts.hostname or "").lower()
    # What urlsplit drops or another parser reads differently has no place in a URL of ours.
    if any(char <= " " or char == "\\" or char > "~" for char in url):
        raise _refused("holds spaces, backslashes or characters beyond ASCII")
    if parts.username is not None or parts.password is not None or "@" in parts.netloc:
        raise _refused("carries a user or password")
    if parts.fragment:
        raise _refused("carries a fragment")
    address = parse_address(host)
    if address is None and not _is_name(host):
        raise _refused("names no host, or an address in an unusual spelling")
    if "%" in parts.netloc:
        raise _refused("carries a scope or an escape in its host")
    listed = host in policy.hosts or (address is not None and policy.lists(host, address))
    if parts.scheme != "https" and not (parts.scheme == "http" and listed):
        raise _refused("is not https")
    if port not in policy.ports and not listed and not policy.networks:
        raise _refused(f"uses port {port}, which RADIANT_WEBHOOK_PORTS does not hold")
    return Destination(url, parts.scheme, host, port)


def _refused(problem: str) -> InvalidInput:
    return InvalidInput(
        "url", problem, "Use https://host/path of a public server, or see RADIANT_WEBHOOK_ALLOW."
    )


def refusal(destination: Destination, address: IpAddress, policy: EgressPolicy) -> str | None:
    """Say why an address of a destination may not be called, None where it may."""
    listed = policy.lists(destination.host, address)
    if destination.scheme == "http" and not (listed and _embedded(address).is_loopback):
        return "http_beyond_loopback"
    if listed:
        return None
    if destination.port not in policy.ports:
        return "port_not_allowed"
    return None if is_public(address) else "address_not_public"


def is_public(address: IpAddress) -> bool:
    """Tell whether an address, and the IPv4 address inside of it if any, is on the internet."""
    inner = _embedded(address)
    if inner != address:
        return is_public(inner)
    if any(address in network for network in NEVER):
        return False
    return address.is_global and not (
        address.is_multicast or address.is_reserved or address.is_loopback
        or address.is_link_local or address.is_private or address.is_unspecified
    )  # fmt: skip


def _embedded(address: IpAddress) -> IpAddress:
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if address in SIX_TO_FOUR:
        return ipaddress.IPv4Address((int(address) >> 80) & 0xFFFFFFFF)
    return address

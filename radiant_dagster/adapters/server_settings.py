"""The settings of our own Mission Control: where it listens, whom it believes, how much it bears.

A part of `Settings`, apart for its size.
"""

import ipaddress
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AliasChoices, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode

DEFAULT_PORT = 8080
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Words = Annotated[tuple[str, ...], NoDecode]


class ServerSettings(BaseSettings):
    """Part of `Settings`."""

    own_mission_control_url: str | None = Field(
        None,
        validation_alias=AliasChoices("RADIANT_MISSION_CONTROL_URL", "own_mission_control_url"),
        description="Our Mission Control as people reach it; https:// makes cookies secure and "
        "sends HSTS. Unset: http://127.0.0.1 and its port.",
    )
    mission_control_host: str = Field(
        "127.0.0.1",
        validation_alias=AliasChoices("RADIANT_MISSION_CONTROL_HOST", "mission_control_host"),
        description="Address that `radiant mission-control` listens on. Beyond loopback it needs "
        "RADIANT_TLS_TERMINATED.",
    )
    mission_control_port: int | None = Field(
        None,
        ge=1,
        le=65535,
        validation_alias=AliasChoices("RADIANT_MISSION_CONTROL_PORT", "mission_control_port"),
        description="Port of Mission Control. Unset: 8080; with `radiant up` a free one, kept.",
    )
    tls_terminated: bool = Field(
        False,
        validation_alias=AliasChoices("RADIANT_TLS_TERMINATED", "tls_terminated"),
        description="A proxy in front speaks TLS, and nobody reaches Mission Control around it.",
    )
    allowed_hosts: Words = Field(
        (),
        validation_alias=AliasChoices("RADIANT_ALLOWED_HOSTS", "allowed_hosts"),
        description="Host names that Mission Control answers to, with commas, beside loopback and "
        "that of RADIANT_MISSION_CONTROL_URL.",
    )
    proxy_auth_from: Words = Field(
        (),
        validation_alias=AliasChoices("RADIANT_PROXY_AUTH_FROM", "proxy_auth_from"),
        description="Addresses (10.0.0.5, 10.0.0.0/24, with commas) of the OIDC proxy that may say "
        "who somebody is. Unset: nobody may.",
    )
    proxy_auth_header: str = Field(
        "X-Forwarded-Email",
        validation_alias=AliasChoices("RADIANT_PROXY_AUTH_HEADER", "proxy_auth_header"),
        description="Header with the e-mail address, e.g. X-Auth-Request-Email. The proxy has to "
        "remove it from what browsers send.",
    )
    proxy_auth_tenant: str | None = Field(
        None,
        validation_alias=AliasChoices("RADIANT_PROXY_AUTH_TENANT", "proxy_auth_tenant"),
        description="Tenant (slug) in which the address is looked up.",
    )
    proxy_auth_tenant_header: str | None = Field(
        None,
        validation_alias=AliasChoices(
            "RADIANT_PROXY_AUTH_TENANT_HEADER", "proxy_auth_tenant_header"
        ),
        description="Header in which the proxy names the tenant instead.",
    )
    api_rate_per_minute: int = Field(
        600,
        ge=1,
        le=1_000_000,
        validation_alias=AliasChoices("RADIANT_API_RATE_PER_MINUTE", "api_rate_per_minute"),
        description="Requests a minute of one key or browser session; more get 429.",
    )

    event_days: int = Field(
        90,
        ge=1,
        le=36_500,
        validation_alias=AliasChoices("RADIANT_EVENT_DAYS", "event_days"),
        description="Days after which events are deleted, with the deliveries that arrived or were "
        "given up.",
    )
    api_url: str | None = Field(
        None,
        validation_alias=AliasChoices("RADIANT_API_URL", "api_url"),
        description="A Mission Control elsewhere: `radiant think`, `sessions`, `approvals` and "
        "`feedback` then go through its API and need no database. Needs RADIANT_API_KEY.",
    )
    api_key: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("RADIANT_API_KEY", "api_key"),
        description="Key for RADIANT_API_URL; who acts, for which tenant and in which roles is "
        "the key's.",
    )

    @field_validator("allowed_hosts", "proxy_auth_from", mode="before")
    @classmethod
    def _words(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(word.strip() for word in value.split(",") if word.strip())
        return value

    @field_validator("proxy_auth_from")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for word in value:
            try:
                ipaddress.ip_network(word)
            except ValueError:
                raise ValueError("must hold addresses such as 10.0.0.5 or 10.0.0.0/24") from None
        return value

    @field_validator("own_mission_control_url", "api_url")
    @classmethod
    def _own_url(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("http://", "https://")):
            raise ValueError("must start with http:// or https://")
        return value.rstrip("/") if value else value

    @property
    def mission_control_address(self) -> str:
        """Return our Mission Control's URL as people reach it."""
        port = self.mission_control_port or DEFAULT_PORT
        return self.own_mission_control_url or f"http://127.0.0.1:{port}"

    @property
    def serves_https(self) -> bool:
        """Whether browsers reach us by TLS."""
        return self.mission_control_address.startswith("https://")

    @property
    def trusted_networks(self) -> tuple[Network, ...]:
        """Return where proxy headers are believed from."""
        return tuple(ipaddress.ip_network(word) for word in self.proxy_auth_from)

    @property
    def answered_hosts(self) -> frozenset[str]:
        """Return every host name that Mission Control answers to, without ports."""
        own = urlsplit(self.mission_control_address).hostname or ""
        named = (word.lower() for word in self.allowed_hosts)
        return frozenset({"localhost", "127.0.0.1", "::1", own.lower(), *named})

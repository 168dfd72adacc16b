"""Runs Mission Control with uvicorn, on loopback unless somebody vouches for TLS in front."""

import ipaddress

import uvicorn
from starlette.applications import Starlette

from radiant_dagster.adapters.server_settings import DEFAULT_PORT
from radiant_dagster.adapters.settings import Settings
from radiant_dagster.errors import ConfigurationError
from radiant_dagster.mission_control.app import create_app


def require_safe_bind(settings: Settings) -> None:
    """Refuse to send keys over a network in the clear.

    Raises:
        ConfigurationError: The address is not loopback and nobody said that TLS is in front.
    """
    host = settings.mission_control_host
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = host == "localhost"
    if not loopback and not settings.tls_terminated:
        raise ConfigurationError(
            "RADIANT_MISSION_CONTROL_HOST",
            "is not a loopback address, and Mission Control speaks no TLS itself",
            "Put a proxy with TLS in front of it and set RADIANT_TLS_TERMINATED=1.",
        )


def build_server(app: Starlette, host: str, port: int) -> uvicorn.Server:
    """Return the server; its settings are part of what is safe.

    uvicorn's own handling of X-Forwarded-For is off: who is trusted is decided in `auth`, by the
    address of the connection.
    """
    return uvicorn.Server(
        uvicorn.Config(
            app,
            host=host,
            port=port,
            proxy_headers=False,
            server_header=False,
            access_log=False,
            log_level="warning",
            timeout_keep_alive=75,
            timeout_graceful_shutdown=5,
            ws="none",
        )
    )


def run(settings: Settings) -> None:
    """Serve until interrupted.

    Raises:
        ConfigurationError: See `require_safe_bind`; also where there is no database.
    """
    require_safe_bind(settings)
    port = settings.mission_control_port or DEFAULT_PORT
    build_server(create_app(settings), settings.mission_control_host, port).run()

"""Tells people by e-mail, Slack, Teams and the rest, through Apprise.

Apprise opens its own connections, so an address cannot be pinned for it as for a webhook. Hence
three classes of service: those whose server is fixed in Apprise are taken; those with a server of
the user's have it judged just before each message; any other needs its host in
RADIANT_WEBHOOK_ALLOW. Apprise is imported at the first use: it takes a quarter of a second.
"""

import logging
from typing import Any
from urllib.parse import urlsplit

from radiant_dagster.adapters.webhooks import Reply, Sender
from radiant_dagster.errors import InvalidInput

# Their servers are constants of the plugin; the URL holds tokens only.
FIXED = frozenset({
    "slack", "discord", "tgram", "msteams", "gchat", "pover", "pagerduty", "opsgenie", "twilio",
    "wxteams", "zulip", "pbul", "sns", "ses", "sendgrid",
})  # fmt: skip
# Their server is part of the URL.
JUDGED = frozenset({"mailto", "mailtos", "workflow", "workflows"})
CONNECT_SECONDS, READ_SECONDS = 4.0, 10.0
TITLE = "RADIANT"
QUIET = logging.CRITICAL + 1


def service_of(url: str) -> str:
    """Return the scheme of an Apprise URL, which alone may be shown."""
    try:
        return urlsplit(url).scheme.lower()
    except ValueError:
        return ""


class Notifier:
    """Sends one sentence to one Apprise URL.

    Args:
        sender: Knows which hosts may be reached.
    """

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    def check(self, url: str) -> str:
        """Refuse a URL that could never be used.

        Returns:
            The service's name.

        Raises:
            InvalidInput: With the reason; never the URL, which is a secret.
        """
        service = service_of(url)
        plugin = _plugin(url)
        if plugin is None:
            raise InvalidInput(
                "url",
                "is no URL of a service that Apprise knows",
                "See its documentation, for instance mailtos://user:password@example.org.",
            )
        if self._refusal(service, plugin) == "host_not_listed":
            raise InvalidInput(
                "url",
                f"{service} goes to a server of your own that RADIANT_WEBHOOK_ALLOW does not hold",
                "Add its host there, or use another service.",
            )
        return service

    def send(self, url: str, text: str) -> Reply:
        """Try once.

        Args:
            url: The route's Apprise URL.
            text: Domain, deadline and link.
        """
        plugin = _plugin(url)
        if plugin is None:
            return Reply(None, "url_refused")
        refused = self._refusal(service_of(url), plugin)
        if refused is not None:
            return Reply(None, refused)
        # Apprise says yes or no; what went wrong it tells its log, together with the URL.
        sent = bool(plugin.notify(body=text, title=TITLE))
        return Reply(None, None if sent else "not_taken")

    def _refusal(self, service: str, plugin: Any) -> str | None:
        if service in FIXED:
            return None
        host = str(getattr(plugin, "smtp_host", None) or getattr(plugin, "host", None) or "")
        if service in JUDGED:
            return self._sender.refusal_of_host(host, int(getattr(plugin, "port", None) or 443))
        return None if self._sender.lists(host) else "host_not_listed"


def _plugin(url: str) -> Any:
    # Before the import: Apprise logs while it reads a URL, and the libraries below it log paths
    # and tokens for debugging.
    for name in ("apprise", "requests_oauthlib", "urllib3.connectionpool"):
        logging.getLogger(name).setLevel(QUIET)
    import apprise

    asset = apprise.AppriseAsset(
        app_id="RADIANT", secure_logging=True, async_mode=False, http_redirects=False
    )
    kind: Any = apprise.Apprise  # partly untyped
    plugin = kind.instantiate(url, asset=asset, suppress_exceptions=True)
    if plugin is not None:
        # A URL may ask for more patience than a thread of ours has, and for redirects.
        plugin.socket_connect_timeout, plugin.socket_read_timeout = CONNECT_SECONDS, READ_SECONDS
        plugin.redirects = False
    return plugin

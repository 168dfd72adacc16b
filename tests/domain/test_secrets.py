"""Secrets in what is stored: everything detect-secrets knows by its format, and what it does not.

Samples are put together here so that none of them stands in a file.
"""

import pytest
from detect_secrets.plugins.artifactory import ArtifactoryDetector
from detect_secrets.plugins.aws import AWSKeyDetector
from detect_secrets.plugins.azure_storage_key import AzureStorageKeyDetector
from detect_secrets.plugins.base import BasePlugin
from detect_secrets.plugins.basic_auth import BasicAuthDetector
from detect_secrets.plugins.discord import DiscordBotTokenDetector
from detect_secrets.plugins.github_token import GitHubTokenDetector
from detect_secrets.plugins.gitlab_token import GitLabTokenDetector
from detect_secrets.plugins.jwt import JwtTokenDetector
from detect_secrets.plugins.mailchimp import MailchimpDetector
from detect_secrets.plugins.npm import NpmDetector
from detect_secrets.plugins.openai import OpenAIDetector
from detect_secrets.plugins.private_key import PrivateKeyDetector
from detect_secrets.plugins.pypi_token import PypiTokenDetector
from detect_secrets.plugins.sendgrid import SendGridDetector
from detect_secrets.plugins.slack import SlackDetector
from detect_secrets.plugins.square_oauth import SquareOAuthDetector
from detect_secrets.plugins.stripe import StripeDetector
from detect_secrets.plugins.telegram_token import TelegramBotTokenDetector
from detect_secrets.plugins.twilio import TwilioKeyDetector

from radiant_dagster.domain.phi import RuleDetector
from radiant_dagster.domain.safety import check_storage

MIXED = "aB3dE5gH7jK9mN1pQ2sT4vW6yZ8" * 5
HEX = "0123456789abcdef" * 8

PEERS: list[tuple[BasePlugin, str]] = [
    (ArtifactoryDetector(), " AKC" + MIXED[:40]),
    (AWSKeyDetector(), "AKIA" + "Q3EGRIZ7XWOLN5TS"),
    (AzureStorageKeyDetector(), "AccountKey=" + (MIXED * 2)[:86] + "=="),
    (BasicAuthDetector(), "https://user:" + "wonder4land@host.example/x"),
    (DiscordBotTokenDetector(), "M" + MIXED[:23] + "." + MIXED[:6] + "." + MIXED[:27]),
    (GitHubTokenDetector(), "ghp_" + MIXED[:36]),
    (GitLabTokenDetector(), "glpat-" + MIXED[:20]),
    (JwtTokenDetector(), "eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxMjM0NTY3ODkwIn0." + MIXED[:43]),
    (MailchimpDetector(), HEX[:32] + "-us12"),
    (NpmDetector(), "//registry.example/:_auth" + "Token=npm_" + MIXED[:36]),
    (OpenAIDetector(), "sk-" + MIXED[:20] + "T3BlbkFJ" + MIXED[:20]),
    (PrivateKeyDetector(), "-----BEGIN " + "PGP PRIVATE KEY BLOCK-----"),
    (PypiTokenDetector(), "pypi-AgEIcHlwaS5vcmc" + (MIXED * 2)[:80]),
    (SendGridDetector(), "SG." + MIXED[:22] + "." + MIXED[:43]),
    (SlackDetector(), "xoxb-" + "123456789012-" + MIXED[:24]),
    (SquareOAuthDetector(), "sq0csp-" + MIXED[:43]),
    (StripeDetector(), "sk_live_" + MIXED[:24]),
    (TelegramBotTokenDetector(), "110201543:" + MIXED[:35]),
    (TwilioKeyDetector(), "SK" + HEX[:32]),
]
OTHERS = {
    "Google": "AIza" + MIXED[:35],
    "Hugging Face": "hf_" + MIXED[:34],
    "Anthropic": "sk-ant-" + "api03-" + MIXED[:80],
    "DigitalOcean": "dop_v1_" + HEX[:64],
    "Databricks": "dapi" + HEX[:32],
    "Shopify": "shpat_" + HEX[:32],
    "Docker": "dckr_pat_" + MIXED[:27],
    "age": "AGE-SECRET-KEY-1" + ("QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L" * 2)[:58],
    "our own key": "rk_" + MIXED[:8] + "_" + MIXED[:43],
    "our webhooks'": "whsec_" + MIXED[:32],
    "an assigned one": "password = " + "q8Zr71LmPx02",
}


def codes(sample: str) -> list[str]:
    risk = check_storage(f"Use it like this: {sample}", "session", RuleDetector())
    assert sample not in str(risk)
    return [reason for reason in risk.reasons if reason.startswith("secret:")] * risk.blocked


@pytest.mark.parametrize(("plugin", "sample"), PEERS, ids=lambda v: type(v).__name__)
def test_what_detect_secrets_finds_by_its_format_we_find(plugin: BasePlugin, sample: str) -> None:
    assert list(plugin.analyze_string(sample))
    assert codes(sample)


@pytest.mark.parametrize("whose", OTHERS)
def test_more_kinds_of_secrets_are_found(whose: str) -> None:
    assert codes(OTHERS[whose])


@pytest.mark.parametrize(
    "text",
    [
        "Ratio 1:1000, batch 12345678:A, ISBN 978-3-16-148410-0.",
        "sha256 " + HEX[:64],
        "The key to success is patience; the token of thanks was kept.",
        "Session 3f2504e0-4f89-11d3-9a0c-0305e82c3301 ended.",
        "Secret: none. Passwords are changed every 90 days.",
    ],
)
def test_numbers_hashes_and_words_are_no_secret(text: str) -> None:
    assert codes(text) == []

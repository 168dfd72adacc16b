"""Looks for secrets in the repository's files: ``python -m checks.secrets``.

detect-secrets finds what looks like one; `known_secrets.json` says why a finding is none. Findings
are told apart by file, kind and hash, never by line, so that edits above one change nothing.
``--write`` adds the new ones with an empty reason, which fails until somebody gives one.
Nothing is verified, so nothing leaves the machine, and no secret is printed.
"""

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from detect_secrets.core.secrets_collection import SecretsCollection
from detect_secrets.settings import transient_settings

KNOWN = Path(__file__).with_name("known_secrets.json")
# Generated, or nothing but hashes of packages.
SKIPPED = (".lock", "docs/openapi.json", "docs/api.md", "domain/prices.py", "known_secrets.json")
PLUGINS = (
    "ArtifactoryDetector", "AWSKeyDetector", "AzureStorageKeyDetector",
    "CloudantDetector", "DiscordBotTokenDetector", "GitHubTokenDetector", "GitLabTokenDetector",
    "IbmCloudIamDetector", "IbmCosHmacDetector", "JwtTokenDetector",
    "MailchimpDetector", "NpmDetector", "OpenAIDetector", "PrivateKeyDetector",
    "PypiTokenDetector", "SendGridDetector", "SlackDetector", "SoftlayerDetector",
    "SquareOAuthDetector", "StripeDetector", "TelegramBotTokenDetector", "TwilioKeyDetector",
)  # fmt: skip
# Words and randomness only suggest a secret. Not asked of tests: they invent many a password.
GUESSES: tuple[dict[str, str | float], ...] = (
    {"name": "BasicAuthDetector"},
    {"name": "KeywordDetector"},
    {"name": "Base64HighEntropyString", "limit": 4.5},
    {"name": "HexHighEntropyString", "limit": 3.0},
)
# They drop uuids, templates and references; none of them verifies.
FILTERS = (
    "allowlist.is_line_allowlisted", "heuristic.is_indirect_reference",
    "heuristic.is_likely_id_string", "heuristic.is_not_alphanumeric_string",
    "heuristic.is_potential_uuid", "heuristic.is_prefixed_with_dollar_sign",
    "heuristic.is_sequential_string", "heuristic.is_templated_secret",
)  # fmt: skip
Key = tuple[str, str, str]


def scan(files: Iterable[str]) -> dict[Key, int]:
    """Return what looks like a secret: file, kind and hash, with its line.

    Args:
        files: Paths from the current folder.
    """
    names = list(files)
    formats = [{"name": name} for name in PLUGINS]
    return _scan([n for n in names if n.startswith("tests/")], formats) | _scan(
        [n for n in names if not n.startswith("tests/")], [*formats, *GUESSES]
    )


def _scan(files: list[str], plugins: list[dict[str, str | float]]) -> dict[Key, int]:
    filters = [{"path": f"detect_secrets.filters.{name}"} for name in FILTERS]
    found = SecretsCollection()
    with transient_settings({"plugins_used": plugins, "filters_used": filters}):
        for file in files:
            found.scan_file(file)
    return {(name, secret.type, secret.secret_hash): secret.line_number for name, secret in found}


def tracked() -> list[str]:
    """Return the repository's files that can hold a secret of ours."""
    listed = subprocess.run(["git", "ls-files"], capture_output=True, text=True, check=True)
    return [name for name in listed.stdout.splitlines() if not name.endswith(SKIPPED)]


def main(words: list[str], known: Path = KNOWN) -> int:
    """Print what nobody explained; returns the exit code."""
    explained: dict[Key, str] = {
        (row["file"], row["type"], row["hash"]): row["why"] for row in json.loads(known.read_text())
    }
    found = scan(tracked())
    new = {key: line for key, line in found.items() if not explained.get(key)}
    gone = [key for key in explained if key not in found]
    if "--write" in words:
        rows = [
            {"file": key[0], "type": key[1], "hash": key[2], "why": explained.get(key, "")}
            for key in sorted(found)
        ]
        known.write_text(json.dumps(rows, indent=1) + "\n")
    for (file, kind, _), line in sorted(new.items()):
        print(f"{file}:{line}: {kind}; remove it and change it where it is used, or say why not")
    for file, kind, _ in sorted(gone):
        print(f"{known.name}: a {kind} of {file} is gone; run `python -m checks.secrets --write`")
    return 1 if new or gone else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

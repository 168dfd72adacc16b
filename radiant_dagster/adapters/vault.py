"""Encrypts the secrets of targets: readable again, but not by whoever reads the database."""

import base64
import binascii
import os
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from radiant_dagster.adapters.settings import Settings
from radiant_dagster.errors import ConfigurationError

NONCE_BYTES = 12
KEY_BYTES = 32
FIX = (
    "Set it to base64 of 32 random bytes, for instance from `openssl rand -base64 32`, and keep it."
)


class Vault:
    """AES-256-GCM; each value is bound to its tenant and row, so that none can be moved to another.

    Args:
        key: 32 bytes.
    """

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    @classmethod
    def of(cls, settings: Settings) -> "Vault":
        """Return the vault under RADIANT_SECRET_KEY.

        Raises:
            ConfigurationError: It is unset or not a key.
        """
        if settings.secret_key is None:
            raise ConfigurationError("RADIANT_SECRET_KEY", "is not set", FIX)
        try:
            key = base64.b64decode(settings.secret_key.get_secret_value(), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if len(key) != KEY_BYTES:
            raise ConfigurationError("RADIANT_SECRET_KEY", "is not base64 of 32 bytes", FIX)
        return cls(key)

    def seal(self, secret: bytes, tenant_id: UUID, row_id: UUID) -> bytes:
        """Return the secret encrypted for one row."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, secret, tenant_id.bytes + row_id.bytes)

    def open(self, sealed: bytes, tenant_id: UUID, row_id: UUID) -> bytes:
        """Return a row's secret.

        Raises:
            ConfigurationError: It was sealed under another key, or for another row.
        """
        nonce, text = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
        try:
            return self._cipher.decrypt(nonce, text, tenant_id.bytes + row_id.bytes)
        except InvalidTag:
            raise ConfigurationError(
                "RADIANT_SECRET_KEY",
                "does not open the stored secrets",
                "Set the key that they were stored under, or remove the targets and add them anew.",
            ) from None

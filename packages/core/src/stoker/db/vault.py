# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The vault: encrypts secrets at rest with the server's master key, and makes keyed hashes."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets as random
import tempfile
from pathlib import Path
from typing import TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Connection, select

from stoker.db.tables import secrets
from stoker.errors import ConfigurationError

KEY_BYTES = 32
_NONCE = 12
_SHORTEST = 6
"""Shorter texts are not redacted: they would eat ordinary words."""

SecretName: TypeAlias = tuple[str, str, int]
"""Plugin, dotted path of the setting, version."""


class Vault:
    """Holds the master key in memory; the database never sees it."""

    def __init__(self, key: bytes) -> None:
        """Take the master key, 32 random bytes."""
        if len(key) != KEY_BYTES:
            raise ConfigurationError(
                f"the master key has {len(key)} bytes instead of {KEY_BYTES}.", remedy="Bring master.key back from a backup."
            )
        self._cipher = AESGCM(hmac.digest(key, b"stoker encrypt", "sha256"))
        self._hash_key = hmac.digest(key, b"stoker hash", "sha256")
        self._known: set[str] = set()
        self._longest_first: list[str] = []

    @classmethod
    def open(cls, path: Path) -> Vault:
        """Read the master key; the first time, make it."""
        if not path.exists():
            write_private(path, random.token_bytes(KEY_BYTES))
        return cls(path.read_bytes())

    def encrypt(self, data: bytes) -> bytes:
        """Encrypt; the same data never gives the same bytes twice."""
        self._remember(data)
        nonce = os.urandom(_NONCE)
        return nonce + self._cipher.encrypt(nonce, data, None)

    def decrypt(self, data: bytes) -> bytes:
        """Undo ``encrypt``.

        Raises:
            ConfigurationError: it was encrypted with another key, or was changed.
        """
        try:
            opened = self._cipher.decrypt(data[:_NONCE], data[_NONCE:], None)
        except InvalidTag as error:
            raise ConfigurationError(
                "a stored secret does not fit the master key.",
                remedy="Bring master.key back from the backup that belongs to this database.",
            ) from error
        self._remember(opened)
        return opened

    def redact(self, text: str) -> str:
        """A text without any secret that passed through this vault: for logs."""
        if len(self._longest_first) != len(self._known):
            self._longest_first = sorted(self._known, key=len, reverse=True)
        for secret in self._longest_first:
            text = text.replace(secret, "[secret]")
        return text

    def _remember(self, data: bytes) -> None:
        text = data.decode("utf-8", "replace")
        if len(text) >= _SHORTEST and text not in self._known:
            # as it is, and as messages of errors quote it
            self._known |= {text, repr(text)[1:-1], json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}

    def keyed_hash(self, data: bytes) -> str:
        """A hash that nobody without the master key can guess from."""
        return hmac.new(self._hash_key, data, hashlib.sha256).hexdigest()

    def all_secrets(self, connection: Connection, environment_id: str) -> dict[SecretName, str]:
        """All secrets of an environment, older versions too: for filling in, and for redacting what is shown."""
        rows = connection.execute(select(secrets).where(secrets.c.environment_id == environment_id))
        return {(row.plugin, row.name, row.version): self.decrypt(row.value).decode() for row in rows}


def write_private(path: Path, data: bytes) -> None:
    """Write a file that only its owner can read, complete or not at all."""
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)  # mode 0600
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    Path(temporary).replace(path)

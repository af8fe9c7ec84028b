# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The row of the key that signs package repositories; its private half is encrypted."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec
from sqlalchemy import Connection, delete, insert, select

from stoker.db.tables import repository_keys


class KeyRow(msgspec.Struct, frozen=True, kw_only=True):
    """A key as it is stored."""

    fingerprint: str
    public_key: str
    private_key: bytes
    """Encrypted by the vault."""
    created_at: float


def find_key(connection: Connection) -> KeyRow | None:
    """The key, if there is one yet."""
    row = connection.execute(select(repository_keys).order_by(repository_keys.c.created_at)).first()
    if row is None:
        return None
    return KeyRow(fingerprint=row.fingerprint, public_key=row.public_key, private_key=row.private_key, created_at=row.created_at)


def keep_key(connection: Connection, fingerprint: str, public: str, private: str, encrypt: Callable[[bytes], bytes]) -> None:
    """Keep the key instead of the one before."""
    connection.execute(delete(repository_keys))
    row = {"fingerprint": fingerprint, "public_key": public, "private_key": encrypt(private.encode()), "created_at": time.time()}
    connection.execute(insert(repository_keys).values(row))

# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Tokens: the admin token that the first start writes to a file only its owner can read."""

from __future__ import annotations

import hashlib
import secrets
import time

from sqlalchemy import delete, insert, select

from stoker.db.tables import tokens
from stoker.db.vault import write_private
from stoker.services.context import ServerContext

ADMIN = "admin"


def ensure_admin_token(context: ServerContext) -> None:
    """Make the admin token where there is none; the database keeps its hash alone."""
    path = context.config.token_file
    if not path.exists():
        write_private(path, f"stoker_{secrets.token_urlsafe(32)}\n".encode())
    path.chmod(0o600)
    digest = hashlib.sha256(path.read_text().strip().encode()).hexdigest()
    if digest in token_hashes(context):
        return
    with context.database.transaction() as connection:
        connection.execute(delete(tokens).where(tokens.c.id == ADMIN))
        connection.execute(insert(tokens).values(id=ADMIN, name=ADMIN, sha256=digest, created_at=time.time()))


def token_hashes(context: ServerContext) -> list[str]:
    """SHA-256 sums of all tokens."""
    with context.database.read() as connection:
        return list(connection.execute(select(tokens.c.sha256)).scalars())

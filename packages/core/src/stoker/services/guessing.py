# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Guessing passwords is slow: failed sign-ins are counted in the database, per user and per address, for all API processes."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Mapping
from typing import Final

from sqlalchemy import Connection, delete, func, insert, select

from stoker.db.tables import failed_sign_ins
from stoker.errors import TooManyAttemptsError

WINDOW_SECONDS: Final = 15 * 60.0
PER_USER: Final = 10
"""How often the password of one user may be wrong within the window."""
PER_ADDRESS: Final = 50
"""How often it may be from one address, whoever is tried."""


def limits(user: str, address: str) -> dict[str, int]:
    """What counts for an attempt; names are hashed, for people type passwords into the wrong field."""
    found = {_key("user", user): PER_USER}
    if address:
        found[_key("address", address)] = PER_ADDRESS
    return found


def _key(kind: str, value: str) -> str:
    return f"{kind}:{hashlib.sha256(value.encode('utf-8', 'surrogateescape')).hexdigest()[:32]}"


def begin(connection: Connection, counted: Mapping[str, int]) -> None:
    """Count an attempt as failed before its password is checked, so that many at once are counted too.

    Raises:
        TooManyAttemptsError: there were too many; this one does not count.
    """
    table, now = failed_sign_ins, time.time()
    connection.execute(delete(table).where(table.c.at <= now - WINDOW_SECONDS))
    for who, most in counted.items():
        count, first = connection.execute(select(func.count(), func.min(table.c.at)).where(table.c.who == who)).one()
        if count >= most:
            seconds = max(1, math.ceil(first + WINDOW_SECONDS - now))
            raise TooManyAttemptsError(
                "too many wrong passwords for this user or from this address.",
                remedy=f"Wait {seconds} s. An admin can look into the audit for where they came from.",
                retry_after=seconds,
            )
    connection.execute(insert(table), [{"who": who, "at": now} for who in counted])


def succeeded(connection: Connection, counted: Mapping[str, int]) -> None:
    """The password was right: the user's count begins anew, the address's loses this attempt."""
    table = failed_sign_ins
    for who in counted:
        if who.startswith("user:"):
            connection.execute(delete(table).where(table.c.who == who))
        else:
            latest = select(func.max(table.c.id)).where(table.c.who == who).scalar_subquery()
            connection.execute(delete(table).where(table.c.id == latest))

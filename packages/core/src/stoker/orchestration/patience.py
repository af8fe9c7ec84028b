# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Patience with the database: what it cannot do because it is locked, full or away is tried again, and told once."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from typing import Final, ParamSpec, TypeVar

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError

logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

_BACKOFF: Final = (0.1, 0.2, 0.5, 1.0, 2.0)
_PASSING: Final = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_READONLY,
    }
)
"""SQLite says all the others, a missing table for example, for faults that stay."""


def passes(error: Exception) -> bool:
    """Whether a failure may pass by itself: the same transaction can succeed later."""
    if not isinstance(error, DBAPIError):
        return False
    code = getattr(error.orig, "sqlite_errorcode", None)
    if isinstance(code, int):
        return code & 0xFF in _PASSING
    return error.connection_invalidated or isinstance(error, OperationalError | InterfaceError)


def reason(error: BaseException) -> str:
    """An error in one line for people, without the statement and its values."""
    told = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    return " ".join(str(told).split()) or type(told).__name__


class Patience:
    """Tells how long to wait before the next try."""

    def __init__(self, what: str) -> None:
        """Take what is tried, for the log."""
        self._what = what
        self._tries = 0

    def pause(self, error: SQLAlchemyError) -> float:
        """Seconds until the next try."""
        if not self._tries:
            logger.warning("%s: the database cannot be used (%s); it is tried until it can", self._what, reason(error))
        seconds = _BACKOFF[min(self._tries, len(_BACKOFF) - 1)]
        self._tries += 1
        return seconds

    def over(self) -> None:
        """It worked."""
        if self._tries:
            logger.warning("%s: the database can be used again", self._what)
            self._tries = 0


async def patiently(what: str, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Do something with the database in a thread, as often as it takes.

    Raises:
        SQLAlchemyError: trying again would not help.
    """
    patience = Patience(what)
    while True:
        try:
            result = await asyncio.to_thread(work, *args, **kwargs)
        except SQLAlchemyError as error:
            if not passes(error):
                raise
            await asyncio.sleep(patience.pause(error))
        else:
            patience.over()
            return result

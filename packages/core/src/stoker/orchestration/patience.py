# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Patience with the database: what it cannot do because it is locked, full or away is tried again, and told once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final, ParamSpec, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from stoker.db.faults import passes, reason

logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

_BACKOFF: Final = (0.1, 0.2, 0.5, 1.0, 2.0)


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

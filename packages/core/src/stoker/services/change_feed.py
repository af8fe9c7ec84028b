# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The feed of changes: looks for new ones while somebody follows them, once for all followers of a process, and wakes them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from stoker.db import changes
from stoker.db.database import Database

LOOK_SECONDS: Final = 0.5


class ChangeFeed:
    """Wake-up calls within one event loop; whichever process made a change, it is found in the database."""

    def __init__(self, database: Database) -> None:
        """Nobody follows yet."""
        self._database = database
        self._followers: set[asyncio.Event] = set()
        self._looking: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether the server is ending: followers let go."""
        return self._closed

    @contextmanager
    def follow(self) -> Iterator[asyncio.Event]:
        """An event that is set whenever there are new changes; the follower clears it before each look."""
        changed = asyncio.Event()
        self._followers.add(changed)
        if self._looking is None:
            self._looking = asyncio.create_task(self._look(), name="feed of changes")
        try:
            yield changed
        finally:
            self._followers.discard(changed)
            if not self._followers and self._looking is not None:
                self._looking.cancel()
                self._looking = None

    def close(self) -> None:
        """Let all followers go: the server ends."""
        self._closed = True
        self._wake()

    def _wake(self) -> None:
        for changed in self._followers:
            changed.set()

    async def _look(self) -> None:
        last = -1
        while True:
            with suppress(SQLAlchemyError):  # the database is away: what happens meanwhile is found when it is back
                newest = await asyncio.to_thread(self._newest)
                if newest != last:
                    last = newest
                    self._wake()
            await asyncio.sleep(LOOK_SECONDS)

    def _newest(self) -> int:
        with self._database.read() as connection:
            return changes.newest(connection)

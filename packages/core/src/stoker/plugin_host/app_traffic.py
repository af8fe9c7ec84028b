# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Requests on their way through plugins' applications: they end where their version is no longer the one in use."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final

from stoker.domain.actor import STRANGER, Actor

_LOG = logging.getLogger("stoker.plugins")
COME_AGAIN: Final = 1012
"""WebSocket's "service restart": the client connects anew, and meets the version that is in use then."""
NOT_ALLOWED: Final = 1008
"""WebSocket's "policy violation"."""
RIGHTS_SECONDS: Final = 5.0
"""How often it is looked whether a stream's reader still may."""
LOOK_SECONDS: Final = 0.05
"""How often it is looked, while anything is on its way."""


class Passage:
    """One request, or one WebSocket, on its way."""

    def __init__(
        self, plugin: str, environment: str, version: str, who: Actor = STRANGER, leaving: asyncio.Event | None = None
    ) -> None:
        """Say where it goes, who asks, and what is set when its worker shall go."""
        self.who = who
        self.looked_at = time.monotonic()
        """When it was last looked whether they still may."""
        self.plugin = plugin
        self.environment = environment
        """The environment's id; empty at the server's address."""
        self.version = version
        self.stream = False
        """Whether it may last for ever, so that its client knows how to come again."""
        self.closed = ""
        """Why it was ended from here; empty as long as it was not."""
        self.code = COME_AGAIN
        """What a WebSocket is closed with."""
        self._ends: list[Callable[[], None]] = []
        self._leaving = leaving
        self._switched_at: float | None = None

    def at_end(self, act: Callable[[], None]) -> None:
        """Say what ends it; at once if it has been ended already."""
        self._ends.append(act)
        if self.closed:
            act()

    def end(self, why: str, code: int = COME_AGAIN) -> None:
        """End it from here."""
        if not self.closed:
            self.closed, self.code = why, code
            for act in self._ends:
                act()

    def look(self, current: str, now: float, drain: float) -> None:
        """End it where another version is in use: a stream at once, else when its time is over."""
        if current == self.version:
            self._switched_at = None
            if self.stream and self._leaving is not None and self._leaving.is_set():
                self.end(f"the worker of plugin {self.plugin} {self.version} ends")
            return
        if self._switched_at is None:
            self._switched_at = now
        if self.stream or now - self._switched_at >= drain:
            why = f"plugin {self.plugin} {self.version} is no longer in use here"
            self.end(f"{why}, {current} is" if current else why)


class Traffic:
    """All requests on their way; all of it happens in the event loop's thread."""

    def __init__(self, current: Callable[[str, str], str], stands: Callable[[Actor], Awaitable[bool]], drain: float) -> None:
        """Take what tells the version in use (for a plugin and an environment's id), who may still come in, and what is left to
        old requests in seconds.
        """
        self._current = current
        self._stands = stands
        self._drain = drain
        self._under_way: set[Passage] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._looking: set[asyncio.Task[None]] = set()

    @contextmanager
    def passing(
        self, plugin: str, environment: str, version: str, who: Actor, leaving: asyncio.Event | None = None
    ) -> Iterator[Passage]:
        """One request, for as long as it is entered."""
        made = Passage(plugin, environment, version, who, leaving)
        self._under_way.add(made)
        if self._timer is None:
            self._arm()
        try:
            yield made
        finally:
            self._under_way.discard(made)

    def count(self, plugin: str, version: str) -> int:
        """How many requests of a plugin version are on their way."""
        return sum(one.plugin == plugin and one.version == version for one in self._under_way)

    def look(self) -> None:
        """End what is no longer to be answered."""
        now = time.monotonic()
        for one in list(self._under_way):
            one.look(self._current(one.plugin, one.environment), now, self._drain)
            if one.stream and not one.closed and now - one.looked_at >= RIGHTS_SECONDS:
                one.looked_at = now
                looking = asyncio.create_task(self._look_at_rights(one), name="rights of a stream's reader")
                self._looking.add(looking)
                looking.add_done_callback(self._looking.discard)

    async def _look_at_rights(self, one: Passage) -> None:
        if not await self._stands(one.who):
            one.end("who asked for it would not be let in any more", NOT_ALLOWED)

    def _arm(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._tick)

    def _tick(self) -> None:
        self._timer = None
        if self._under_way:
            try:
                self.look()
            except Exception:  # noqa: BLE001  the next look is in a moment
                _LOG.exception("the requests on their way through plugins could not be looked at")
            self._arm()

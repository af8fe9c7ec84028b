# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Places for workers: there are so many and no more; who gets the next one, and whose worker makes place."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from typing import Final

from stoker.errors import WorkerError
from stoker.plugin_host.worker import Worker

Key = tuple[str, str]
_PASSED_OVER: Final = 30.0
"""So many seconds nobody asks a worker again to make place that did not finish its work when it was asked."""


class Slot:
    """The place of one plugin version's worker."""

    def __init__(self, plugin: str, version: str) -> None:
        """Begin without a worker."""
        self.plugin = plugin
        self.version = version
        self.users = 0
        self.since = self.last_used = time.monotonic()
        self.ending = False
        """It is being stopped: who wants the plugin version waits until it is gone."""
        self.pressed = False
        """It is asked to finish, because others wait: nobody new comes in."""
        self.not_before = 0.0
        self.gone = asyncio.Event()
        self.quiet = asyncio.Event()
        """Nobody uses it."""
        self.starting: asyncio.Task[Worker] | None = None

    @property
    def worker(self) -> Worker | None:
        """Its worker, if it runs."""
        task = self.starting
        if task is None or not task.done() or task.cancelled() or task.exception() is not None:
            return None
        return task.result()

    def enter(self) -> None:
        """Somebody uses it."""
        self.users += 1
        self.quiet.clear()

    def leave(self) -> None:
        """They do not any more."""
        self.users -= 1
        self.last_used = time.monotonic()
        if self.users == 0:
            self.quiet.set()


class Places:
    """All places, and who waits for one."""

    def __init__(self, most: int) -> None:
        """There are ``most`` places."""
        self.most = most
        self.slots: dict[Key, Slot] = {}
        self._waiting: list[tuple[str, asyncio.Future[None]]] = []
        self._turns = 0

    @property
    def awaited(self) -> bool:
        """Whether somebody waits, or has the turn and no place yet: who comes now comes after them."""
        return self._turns > 0 or any(not turn.done() for _, turn in self._waiting)

    @property
    def free(self) -> bool:
        """Whether there is a place."""
        return len(self.slots) < self.most

    def idle(self) -> Slot | None:
        """Whose worker makes place: one that nobody uses, of the plugin that has most, unused for longest."""
        found = [slot for slot in self.slots.values() if slot.users == 0 and not slot.ending]
        count = self._count()
        return min(found, key=lambda slot: (-count[slot.plugin], slot.last_used), default=None)

    def busy(self) -> Slot | None:
        """Who is asked to finish its work, so that others come to theirs: of the plugin that has most, at work for longest."""
        now = time.monotonic()
        found = [slot for slot in self.slots.values() if slot.users and not slot.ending and slot.not_before < now and slot.worker]
        count = self._count()
        return min(found, key=lambda slot: (-count[slot.plugin], slot.since), default=None)

    def pass_over(self, slot: Slot) -> None:
        """It did not finish: it goes on, and others are asked."""
        slot.pressed = False
        slot.not_before = time.monotonic() + _PASSED_OVER

    async def wait(self, plugin: str, version: str, until: float) -> None:
        """Wait for one's turn to look for a place; then nobody else looks until ``over`` says that one has finished.

        Raises:
            WorkerError: it did not come in time.
        """
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.append((plugin, turn))
        try:
            async with asyncio.timeout_at(loop.time() + until - time.monotonic()):
                await turn
        except BaseException as error:
            self._waiting = [one for one in self._waiting if one[1] is not turn]
            if turn.done() and not turn.cancelled():
                self.wake()  # it was ours, and we go
            if isinstance(error, TimeoutError):
                raise self.full(plugin, version) from error
            raise
        self._waiting = [one for one in self._waiting if one[1] is not turn]
        self._turns += 1

    def full(self, plugin: str, version: str) -> WorkerError:
        """What to say to who found no place."""
        what = f"all {self.most} workers are at work for other plugins."
        remedy = "Ask again later, or raise workers_max in the server's configuration."
        return WorkerError(plugin, version, "busy", what, remedy=remedy)

    def over(self) -> None:
        """One's turn is over."""
        self._turns -= 1
        if self.free or self.idle() is not None:
            self.wake()

    def wake(self) -> None:
        """It is somebody's turn: of the plugin that has fewest, who waits for longest."""
        if self._turns:
            return
        count = self._count()
        found = [(count[plugin], index, turn) for index, (plugin, turn) in enumerate(self._waiting) if not turn.done()]
        if found:
            min(found, key=lambda one: one[:2])[2].set_result(None)

    def wake_all(self) -> None:
        """There will be no places any more."""
        for _, turn in self._waiting:
            if not turn.done():
                turn.set_result(None)

    def _count(self) -> Mapping[str, int]:
        return Counter(slot.plugin for slot in self.slots.values())

# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Workers: starts them when they are needed, stops them when they are not, and never has more than agreed."""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Protocol

import msgspec

from stoker.errors import WorkerError
from stoker.plugin_host.back import BackChannel
from stoker.plugin_host.sandbox.start import Start
from stoker.plugin_host.worker import Worker, start
from stoker.plugin_host.worker_code import WorkerCode
from stoker.plugin_host.worker_output import Outputs
from stoker.plugin_host.worker_pauses import Pauses
from stoker.plugin_host.worker_places import Places, Slot
from stoker.plugin_host.worker_watch import Watch

_LOG = logging.getLogger(__name__)
CodeOf = Callable[[str, str], WorkerCode]
"""What a plugin version's worker is started from. Raises StokerError: it has no code, or no venv."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How many workers there are, and for how long."""

    most: int = 8
    """How many live at once."""
    idle_seconds: float = 300
    """After so many seconds without work one is stopped."""
    wait_seconds: float = 30
    """How long somebody waits for a place."""
    press_seconds: float = 2
    """After so many seconds somebody else is asked to finish and make place, for so many seconds."""


class Confining(Protocol):
    """What says how workers are started."""

    @property
    def why(self) -> Mapping[str, str]:
        """Why sandboxes that do not work do not."""
        ...

    def find(self) -> str:
        """What works here."""
        ...

    def close(self) -> None:
        """Delete what all workers shared."""
        ...

    def plan(self, plugin: str, version: str, code: WorkerCode) -> Start:
        """How one is started. Raises StokerError: not at all."""
        ...

    def finished(self, start: Start) -> None:
        """Nothing of it is left."""
        ...


class Workers:
    """All workers of a server."""

    def __init__(
        self,
        limits: Limits,
        code_of: CodeOf,
        sandbox: Confining,
        back: BackChannel,
    ) -> None:
        """Take what says how one is started; nothing is started yet."""
        self.limits = limits
        self.outputs = Outputs()
        self._code_of = code_of
        self.sandbox = sandbox
        self._back = back
        self._places = Places(limits.most)
        self._watch = Watch(self._watched)
        self._pauses = Pauses()
        self._closed = False
        self._tidying: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._pressing: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def using(self, plugin: str, version: str) -> AsyncIterator[Worker]:
        """A plugin version's worker, started if it is not there; busy as long as the block lasts.

        Raises:
            WorkerError: it cannot be started, or there is no place for it.
            StokerError: the plugin version has no code, or its venv is not there.
        """
        slot, worker = await self._enter(plugin, version)
        try:
            yield worker
        finally:
            self._leave(slot)

    async def stop(self, plugin: str, version: str | None = None, *, drain: float) -> None:
        """Stop a plugin's workers: those who work finish within so many seconds."""
        slots = [slot for slot in self._places.slots.values() if slot.plugin == plugin and version in (None, slot.version)]
        await asyncio.gather(*(self._end(slot, drain) for slot in slots))

    async def close(self) -> None:
        """Stop all; from now on there are none."""
        self._closed = True
        for task in (self._tidying, self._watching, self._pressing):
            if task is not None:
                task.cancel()
        self._places.wake_all()
        slots = [*self._places.slots.values()]
        for slot in slots:
            if slot.starting is not None and not slot.starting.done():
                slot.starting.cancel()
        await asyncio.gather(*(self._end(slot, 0) for slot in slots))
        await asyncio.to_thread(self.sandbox.close)

    def alive(self) -> list[Worker]:
        """Those that run now."""
        return [worker for slot in self._places.slots.values() if (worker := slot.worker) is not None]

    async def _enter(self, plugin: str, version: str) -> tuple[Slot, Worker]:
        until = time.monotonic() + self.limits.wait_seconds
        while not self._closed:
            if (slot := await self._slot(plugin, version, until)) is None:
                continue
            slot.enter()
            try:
                worker = await self._started(slot)
            except BaseException:
                self._leave(slot)
                raise
            if worker.alive and not slot.ending:
                return slot, worker
            self._leave(slot)
            await worker.gone.wait()
            await asyncio.sleep(0)
        raise WorkerError(plugin, version, "busy", "the server is being stopped.", remedy="Ask again when it runs.")

    async def _slot(self, plugin: str, version: str, until: float) -> Slot | None:
        """The place of a plugin version, with a worker that at least starts; ``None``: look again."""
        slot = self._places.slots.get((plugin, version))
        if slot is not None and not (slot.ending or slot.pressed):
            return slot
        if slot is not None:
            await _within(slot.gone, 0.1)
            return None
        if not self._places.awaited and await self._room():
            return self._begin(plugin, version)
        self._press()
        await self._places.wait(plugin, version, until)
        try:
            while not self._closed and (plugin, version) not in self._places.slots:
                if await self._room():
                    return self._begin(plugin, version)
                if time.monotonic() > until:
                    raise self._places.full(plugin, version)
                self._press()
                await asyncio.sleep(0.02)
            return None
        finally:
            self._places.over()

    def _leave(self, slot: Slot) -> None:
        slot.leave()
        if slot.users == 0:
            self._places.wake()

    async def _room(self) -> bool:
        """Whether there is a place, or one could be made."""
        if self._places.free:
            return True
        if (idle := self._places.idle()) is None:
            return False
        await self._end(idle, 0)
        return self._places.free

    def _press(self) -> None:
        """Somebody waits: see to it that somebody else finishes."""
        if self._pressing is None or self._pressing.done():
            self._pressing = asyncio.create_task(self._make_place(), name="a place for a worker")

    async def _make_place(self) -> None:
        await asyncio.sleep(self.limits.press_seconds)
        while self._places.awaited:
            if (slot := self._places.busy()) is None or (worker := slot.worker) is None:
                await asyncio.sleep(self.limits.press_seconds)
                continue
            slot.pressed = True
            worker.leaving.set()  # streams end, and come again
            await _within(slot.quiet, self.limits.press_seconds)
            if slot.users == 0:
                await self._end(slot, 0)
            else:
                self._places.pass_over(slot)
                worker.leaving.clear()

    def _begin(self, plugin: str, version: str) -> Slot | None:
        """Take the place that is there now; ``None``: while it was made, somebody began the same."""
        if (plugin, version) in self._places.slots or not self._places.free:
            return None
        slot = self._places.slots[plugin, version] = Slot(plugin, version)
        slot.starting = asyncio.create_task(self._start(slot), name=f"start of {plugin} {version}")
        return slot

    @staticmethod
    async def _started(slot: Slot) -> Worker:
        assert slot.starting is not None
        try:
            return await asyncio.shield(slot.starting)
        except asyncio.CancelledError:
            if not slot.starting.cancelled():
                raise
            raise WorkerError(slot.plugin, slot.version, "interrupted", "it was stopped before it had started.") from None

    async def _start(self, slot: Slot) -> Worker:
        plugin, version = slot.plugin, slot.version
        closing = AsyncExitStack()
        begun = time.monotonic()
        try:
            await asyncio.sleep(self._pauses.before_start(plugin, version))
            begun = time.monotonic()
            code = await asyncio.to_thread(self._code_of, plugin, version)
            plan = await asyncio.to_thread(self.sandbox.plan, plugin, version, code)
            closing.callback(self._clear_up, plan)
            back = self._back.serving(plugin, version, plan.folder, api_access=code.api_access, user=plan.user)
            await closing.enter_async_context(back)
            worker = await start(plugin, version, plan, self.outputs.of(plugin, version))
        except BaseException:
            await asyncio.shield(closing.aclose())
            self._forget(slot)
            raise
        _LOG.info("worker of %s %s started in %.2f s", plugin, version, time.monotonic() - begun, extra={"plugin": plugin})
        if self._tidying is None:
            self._tidying = asyncio.create_task(self._tidy(), name="idle workers")
            self._watching = asyncio.create_task(self._watch.run(), name="watch over workers")
        following = asyncio.create_task(self._follow(slot, worker, closing), name=f"place of {plugin} {version}")
        worker.following = following
        return worker

    async def _follow(self, slot: Slot, worker: Worker, closing: AsyncExitStack) -> None:
        await worker.gone.wait()
        if worker.out_of_memory:
            self._pauses.note(slot.plugin, slot.version)
        await closing.aclose()
        self._forget(slot)

    def _clear_up(self, plan: Start) -> None:
        if plan.group is not None:
            plan.group.remove()
        shutil.rmtree(plan.folder, ignore_errors=True)
        self.sandbox.finished(plan)

    def _forget(self, slot: Slot) -> None:
        if self._places.slots.get((slot.plugin, slot.version)) is slot:
            del self._places.slots[slot.plugin, slot.version]
        slot.gone.set()
        self._places.wake()

    def _watched(self) -> list[tuple[Worker, int]]:
        slots = [(slot.worker, slot.users) for slot in self._places.slots.values() if not slot.ending]
        return [(worker, users) for worker, users in slots if worker is not None and worker.alive]

    async def _end(self, slot: Slot, drain: float) -> None:
        """Stop a slot's worker after those who use it, or after so many seconds."""
        if slot.ending:
            await slot.gone.wait()
            return
        slot.ending = True
        if slot.starting is not None:
            await asyncio.wait([slot.starting])
        worker = slot.worker
        if worker is not None:
            worker.leaving.set()
            if slot.users and drain > 0:
                await _within(slot.quiet, drain)
            await worker.stop()
            await slot.gone.wait()

    async def _tidy(self) -> None:
        """Stop those that have nothing to do."""
        while True:
            await asyncio.sleep(min(self.limits.idle_seconds / 4, 15))
            old = time.monotonic() - self.limits.idle_seconds
            for slot in [*self._places.slots.values()]:
                if slot.users == 0 and not slot.ending and slot.last_used < old:
                    await self._end(slot, 0)


async def _within(event: asyncio.Event, seconds: float) -> None:
    """Wait for an event, but not longer."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()

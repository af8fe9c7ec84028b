# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Workers: starts them when they are needed, stops them when they are not, and never has more than agreed."""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Protocol

import msgspec

from stoker.errors import WorkerError
from stoker.plugin_host.back import BackChannel
from stoker.plugin_host.sandbox.start import Start
from stoker.plugin_host.worker import Worker, start
from stoker.plugin_host.worker_code import WorkerCode
from stoker.plugin_host.worker_output import Outputs

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


class Slot:
    """The place of one plugin version."""

    def __init__(self, plugin: str, version: str) -> None:
        """Begin without a worker."""
        self.plugin = plugin
        self.version = version
        self.users = 0
        self.last_used = time.monotonic()
        self.ending = False
        self.gone = asyncio.Event()
        self.quiet = asyncio.Event()
        self.starting: asyncio.Task[Worker] | None = None


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
        self._slots: dict[tuple[str, str], Slot] = {}
        self._waiting: list[tuple[str, asyncio.Future[None]]] = []
        self._closed = False
        self._tidying: asyncio.Task[None] | None = None

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
        slots = [slot for slot in self._slots.values() if slot.plugin == plugin and version in (None, slot.version)]
        await asyncio.gather(*(self._end(slot, drain) for slot in slots))

    async def close(self) -> None:
        """Stop all; from now on there are none."""
        self._closed = True
        if self._tidying is not None:
            self._tidying.cancel()
        for _, waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)
        await asyncio.gather(*(self._end(slot, 0) for slot in [*self._slots.values()]))
        await asyncio.to_thread(self.sandbox.close)

    def alive(self) -> list[Worker]:
        """Those that run now."""
        started = [slot.starting for slot in self._slots.values() if slot.starting is not None and slot.starting.done()]
        return [task.result() for task in started if not task.cancelled() and task.exception() is None]

    async def _enter(self, plugin: str, version: str) -> tuple[Slot, Worker]:
        key = (plugin, version)
        until = time.monotonic() + self.limits.wait_seconds
        while not self._closed:
            slot = self._slots.get(key)
            if slot is not None and slot.ending:
                await slot.gone.wait()
                continue
            if slot is None:
                if not await self._room(plugin, version, until):
                    continue
                slot = self._slots[key] = Slot(plugin, version)
                slot.starting = asyncio.create_task(self._start(slot), name=f"start of {plugin} {version}")
            assert slot.starting is not None
            slot.users += 1
            try:
                worker = await asyncio.shield(slot.starting)
            except BaseException:
                self._leave(slot)
                raise
            if worker.alive and not slot.ending:
                return slot, worker
            self._leave(slot)
            await worker.gone.wait()
            await asyncio.sleep(0)
        raise WorkerError(plugin, version, "busy", "the server is being stopped.", remedy="Ask again when it runs.")

    def _leave(self, slot: Slot) -> None:
        slot.users -= 1
        slot.last_used = time.monotonic()
        if slot.users == 0:
            slot.quiet.set()
            self._wake()

    async def _room(self, plugin: str, version: str, until: float) -> bool:
        """Whether there is a place now; if not, something may have changed meanwhile, and it is to be looked again."""
        if len(self._slots) < self.limits.most:
            return True
        idle = [slot for slot in self._slots.values() if slot.users == 0 and not slot.ending]
        if idle:
            await self._end(min(idle, key=lambda slot: slot.last_used), 0)
            return False
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((plugin, waiter))
        try:
            async with asyncio.timeout_at(asyncio.get_running_loop().time() + until - time.monotonic()):
                await waiter
        except TimeoutError as error:
            raise WorkerError(
                plugin,
                version,
                "busy",
                f"all {self.limits.most} workers are at work for other plugins.",
                remedy="Ask again later, or raise workers_max in the server's configuration.",
            ) from error
        finally:
            self._waiting = [one for one in self._waiting if one[1] is not waiter]
        return False

    def _wake(self) -> None:
        for _, waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)
                return

    async def _start(self, slot: Slot) -> Worker:
        plugin, version = slot.plugin, slot.version
        closing = AsyncExitStack()
        begun = time.monotonic()
        try:
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
        following = asyncio.create_task(self._follow(slot, worker, closing), name=f"place of {plugin} {version}")
        worker.following = following
        return worker

    async def _follow(self, slot: Slot, worker: Worker, closing: AsyncExitStack) -> None:
        await worker.gone.wait()
        await closing.aclose()
        self._forget(slot)

    def _clear_up(self, plan: Start) -> None:
        if plan.group is not None:
            plan.group.remove()
        shutil.rmtree(plan.folder, ignore_errors=True)
        self.sandbox.finished(plan)

    def _forget(self, slot: Slot) -> None:
        if self._slots.get((slot.plugin, slot.version)) is slot:
            del self._slots[slot.plugin, slot.version]
        slot.gone.set()
        self._wake()

    async def _end(self, slot: Slot, drain: float) -> None:
        """Stop a slot's worker after those who use it, or after so many seconds."""
        if slot.ending:
            await slot.gone.wait()
            return
        slot.ending = True
        try:
            worker = await slot.starting if slot.starting is not None else None
        except Exception:  # noqa: BLE001  told to those who wait for it
            worker = None
        if worker is not None:
            worker.leaving.set()
            slot.quiet.clear()
            if slot.users and drain > 0:
                await asyncio.wait([asyncio.create_task(slot.quiet.wait())], timeout=drain)
            await worker.stop()
            await slot.gone.wait()

    async def _tidy(self) -> None:
        """Stop those that have nothing to do."""
        while True:
            await asyncio.sleep(min(self.limits.idle_seconds / 4, 15))
            old = time.monotonic() - self.limits.idle_seconds
            for slot in [*self._slots.values()]:
                if slot.users == 0 and not slot.ending and slot.last_used < old:
                    await self._end(slot, 0)

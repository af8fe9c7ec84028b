# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The delivery of events to plugins: at least once, in order for one plugin and object, again with growing pauses."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, TypeAlias

import msgspec
from sqlalchemy import Connection, Row
from sqlalchemy.exc import SQLAlchemyError
from stoker_sdk.context.values import Event
from stoker_sdk.extension_points.events import EventHandler

from stoker.db import plugin_events as rows
from stoker.db.database import Database
from stoker.errors import StokerError
from stoker.plugin_host.dispatch import BACKGROUND_CALLER, CallEnvironment, Dispatcher
from stoker.plugin_host.quarantine import HookQuarantinedError
from stoker.services import audit
from stoker.services.declared_hooks import hook_of
from stoker.telemetry.metrics import METRICS

_LOG = logging.getLogger(__name__)
AT_ONCE: Final = 8
"""So many events are told at once, and at most half of them to one plugin."""
LOOK_SECONDS: Final = 1.0
"""How often it is looked for events while a plugin has handlers."""
IDLE_SECONDS: Final = 15.0
"""How often it is looked whether there is such a plugin; its installation wakes anyway."""
FIRST_PAUSE: Final = 1.0
MOST_PAUSE: Final = 300.0
"""Seconds until an event is tried again; each time in vain doubles them."""
TIDY_SECONDS: Final = 600.0
FAREWELL_SECONDS: Final = 10.0
"""How long a plugin's going may be kept up for what it is still to be told."""
_DRAIN_SHARE: Final = 0.5
_MOST_REASON: Final = 1000

_Queue: TypeAlias = tuple[str, str, str]


class Target(msgspec.Struct, frozen=True):
    """Who is told an event, and what their code is given."""

    version: str
    handlers: tuple[EventHandler, ...]
    settings: dict[str, object]


TargetOf: TypeAlias = Callable[[Connection, Row[Any]], Target]
"""Finds out for an event's row who is told it."""


class EventDelivery:
    """Tells plugins what the database has for them; one task in the process that does all work."""

    def __init__(
        self, database: Database, dispatcher: Dispatcher, target_of: TargetOf, clock: Callable[[], float] = time.time
    ) -> None:
        """Nothing is told before ``run``."""
        self._database, self._dispatcher, self._target_of, self._clock = database, dispatcher, target_of, clock
        self._loop: asyncio.AbstractEventLoop | None = None
        self._woken = asyncio.Event()
        self._busy: dict[_Queue, asyncio.Task[None]] = {}
        self._done_meanwhile: set[_Queue] = set()
        """Queues of which an event was done with while the database was looked at: what was read of them is old."""
        self._tidied = 0.0

    def wake(self) -> None:
        """There may be something new; from any thread."""
        if self._loop is not None:
            with suppress(RuntimeError):  # it is closed: the server ends
                self._loop.call_soon_threadsafe(self._woken.set)

    async def run(self) -> None:
        """Tell events until cancelled."""
        self._loop = asyncio.get_running_loop()
        self._woken = asyncio.Event()  # of this loop
        try:
            while True:
                self._woken.clear()
                seconds = await self._round()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._woken.wait(), seconds)
        finally:
            self._loop = None
            for task in self._busy.values():
                task.cancel()
            await asyncio.gather(*self._busy.values(), return_exceptions=True)

    async def _round(self) -> float:
        """Begin what can be begun; how many seconds to wait for the next round."""
        of_plugins = Counter(plugin for plugin, _, _ in self._busy)
        full = [plugin for plugin, number in of_plugins.items() if number >= AT_ONCE // 2]
        self._done_meanwhile.clear()
        try:
            found = await asyncio.to_thread(self._look, full)
        except SQLAlchemyError as error:  # the database is away: what it has is there when it is back
            _LOG.warning("events for plugins cannot be read: %s", error)
            return LOOK_SECONDS
        if found is None:
            return IDLE_SECONDS
        for row in found:
            queue = (row.plugin, row.environment_id, row.object_id)
            if queue in self._busy or queue in self._done_meanwhile:
                continue
            if len(self._busy) >= AT_ONCE or of_plugins[row.plugin] >= AT_ONCE // 2:
                continue
            of_plugins[row.plugin] += 1
            task = self._busy[queue] = asyncio.create_task(self._deliver(row), name=f"event {row.id} for {row.plugin}")
            task.add_done_callback(lambda _, queue=queue: self._ended(queue))  # type: ignore[misc]
        return LOOK_SECONDS

    def _ended(self, queue: _Queue) -> None:
        self._busy.pop(queue, None)
        self._done_meanwhile.add(queue)
        self._woken.set()

    def _look(self, full: list[str]) -> list[Row[Any]] | None:
        now = self._clock()
        if now - self._tidied > TIDY_SECONDS:
            self._tidied = now
            self._tidy(now)
        with self._database.read() as connection:
            if not rows.anybody_interested(connection):
                return None
            return rows.heads(connection, now, full)

    def _tidy(self, now: float) -> None:
        with self._database.transaction() as connection:
            for plugin, number in rows.drop_old(connection, now).items():
                _LOG.warning("plugin %s: %d events could not be told and are dropped", plugin, number, extra={"plugin": plugin})
                METRICS.events_told.labels(plugin, "dropped").inc(number)
                audit.record(connection, "event.drop", plugin, plugin, before={"undelivered": number})

    async def _deliver(self, row: Row[Any]) -> None:
        try:
            told, reason, wait = await self._tell(row)
            await asyncio.to_thread(self._note, row, told, reason, wait)
        except SQLAlchemyError as error:  # it is told again: at least once, not exactly once
            _LOG.warning("event %d for plugin %s: %s", row.id, row.plugin, error, extra={"plugin": row.plugin})
            await asyncio.sleep(LOOK_SECONDS)

    def _note(self, row: Row[Any], told: list[str], reason: str, wait: float | None) -> None:
        with self._database.transaction() as connection:
            if not reason:
                rows.drop_told(connection, [row.id])
                return
            attempts = row.attempts + (wait is None)
            pause = min(MOST_PAUSE, FIRST_PAUSE * 2.0 ** min(attempts - 1, 20)) if wait is None else wait
            next_try = self._clock() + pause
            rows.postpone(connection, row.id, told=told, attempts=attempts, next_try=next_try, reason=reason[:_MOST_REASON])

    async def _tell(self, row: Row[Any], seconds: float = float("inf")) -> tuple[list[str], str, float | None]:
        """Tell all handlers that have not heard it; who has, why others have not, and how long their quarantine lasts."""
        told: list[str] = msgspec.json.decode(row.told, type=list[str])
        target = await asyncio.to_thread(self._target, row)
        reason, wait = "", None
        ends = asyncio.get_running_loop().time() + seconds
        environment = CallEnvironment(id=row.environment_id, name=row.environment) if row.environment_id else None
        for handler in target.handlers:
            if handler.name in told:
                continue
            left = ends - asyncio.get_running_loop().time()
            hook = hook_of(row.plugin, target.version, handler)
            try:
                await self._dispatcher.call(
                    msgspec.structs.replace(hook, deadline=max(0.1, min(hook.deadline, left))),
                    {"event": msgspec.json.encode(_event(row))},
                    environment=environment,
                    caller=BACKGROUND_CALLER,
                    settings=target.settings,
                )
            except HookQuarantinedError as error:
                reason = error.detail
                wait = max(FIRST_PAUSE, min(MOST_PAUSE, float(error.data["next_try"]) - self._clock()))
            except StokerError as error:
                reason, wait = error.detail, None
                METRICS.events_told.labels(row.plugin, "failed").inc()
            else:
                told.append(handler.name)
                METRICS.events_told.labels(row.plugin, "told").inc()
        return told, reason, wait

    def _target(self, row: Row[Any]) -> Target:
        with self._database.read() as connection:
            return self._target_of(connection, row)

    async def say_farewell(self, event: str, plugin: str, version: str, environment: tuple[str, str] | None) -> None:
        """Tell a plugin what it is still to be told, as far as half of the time reaches, and then that it goes.

        What it did not hear stays: whoever takes the plugin away drops it. May raise a StokerError or SQLAlchemyError.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        identity, name = environment or ("", "")
        where = identity if environment else None
        await asyncio.to_thread(self._hurry, plugin, where)
        while loop.time() - began < FAREWELL_SECONDS * _DRAIN_SHARE and await asyncio.to_thread(self._untried, plugin, where):
            self.wake()
            await asyncio.sleep(0.05)
        held = await asyncio.to_thread(self._hold, event, plugin, version, identity, name)
        left = began + FAREWELL_SECONDS - loop.time() - 0.2
        _, reason, _ = await self._tell(held, left)
        if reason:
            _LOG.warning("plugin %s %s was not told %s: %s", plugin, version, event, reason, extra={"plugin": plugin})
        else:
            await asyncio.to_thread(self._note, held, [], "", None)

    def _hurry(self, plugin: str, environment_id: str | None) -> None:
        with self._database.transaction() as connection:
            rows.hurry(connection, plugin, environment_id)

    def _untried(self, plugin: str, environment_id: str | None) -> bool:
        with self._database.read() as connection:
            return rows.waiting(connection, plugin, environment_id, untried=True) > 0

    def _hold(self, event: str, plugin: str, version: str, identity: str, name: str) -> Row[Any]:
        with self._database.transaction() as connection:
            return rows.add_held(connection, event, plugin, version, identity, name, {"version": version})


def _event(row: Row[Any]) -> Event:
    data = msgspec.json.decode(row.data, type=dict[str, Any])
    if isinstance(changed := data.get("changed"), str):
        data["changed"] = changed.split()
    data.pop("v", None)
    return Event(id=row.id, name=row.event, at=row.at, object_id=row.object_id, object_name=row.object, data=data)

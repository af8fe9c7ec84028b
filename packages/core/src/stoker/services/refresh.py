# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The refresh of what serializer hooks add: gathers changes for a moment, calls the hooks in batches, stores what they give."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, Protocol

from sqlalchemy.exc import SQLAlchemyError
from stoker_sdk.context.values import Caller, Environment

from stoker.db.database import Database
from stoker.errors import HookFailedError, InvalidInputError, StokerError
from stoker.plugin_host.dispatch import BACKGROUND_CALLER, Hook
from stoker.services import refresh_work as work
from stoker.services.context import ServerContext
from stoker.services.hook_answers import Judged, judge
from stoker.services.hook_inputs import HookCallInput, encode_objects, objects_of, read_hook
from stoker.services.refresh_work import Key, Outcome, Take

_LOG = logging.getLogger("stoker.hooks")
START_SECONDS: Final = 1.0
"""The server answers before the first hook is called."""
LOOK_SECONDS: Final = 0.2
GATHER_SECONDS: Final = 0.2
"""Changes that come together are worked on together."""
BATCH: Final = 500
"""Objects in one call, at most."""
PATIENCE_SECONDS: Final = 2.0
"""So long slow hooks hold up what has changed since; then they go on by themselves."""
_AT_ONCE: Final = 4
"""Plugins whose hooks are called at the same time."""
_STORED_EACH: Final = 0.3
"""Seconds between two times that results are stored, at least; and ten times as long as storing took."""
_AWAY_SECONDS: Final = 1.0


class HookCall(Protocol):
    """As :meth:`stoker.plugin_host.dispatch.Dispatcher.call`."""

    async def __call__(
        self,
        hook: Hook,
        arguments: Mapping[str, bytes],
        *,
        environment: Environment | None,
        caller: Caller,
        settings: Mapping[str, object],
        accept: Callable[[bytes], str] | None = None,
    ) -> bytes:
        """Call a hook."""
        ...


@asynccontextmanager
async def refreshing(context: ServerContext) -> AsyncIterator[None]:
    """Keep fresh what plugins add, meanwhile; a process that calls no plugin, and one in safe mode, leaves it as it is."""
    if context.dispatcher is None or context.config.safe_mode:
        yield
        return
    task = asyncio.create_task(Refresher(context.database, context.dispatcher.call).run(), name="refresh of plugins' data")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class Refresher:
    """Works off the queue, in the one process that does all work."""

    def __init__(self, database: Database, call: HookCall) -> None:
        """Nothing is done before ``run``."""
        self._database = database
        self._call = call
        self._plugins = asyncio.Semaphore(_AT_ONCE)
        self._outcomes: dict[Key, Outcome] = {}
        self._results = asyncio.Event()
        self._storing = asyncio.Lock()
        self._running: dict[Key, asyncio.Task[None]] = {}
        self._apart: dict[Key, int] = {}
        """Hooks that go on by themselves, and their rows in the queue."""

    async def run(self) -> None:
        """Work until cancelled; what is not done then is done after the next start."""
        self._results = asyncio.Event()  # of this loop
        storing = asyncio.create_task(self._keep_storing(), name="storing of what hooks give")
        try:
            await asyncio.sleep(START_SECONDS)
            await self._lasting(self._begin)
            while True:
                if await self._lasting(self._is_waiting):
                    await asyncio.sleep(GATHER_SECONDS)
                    await self.once()
                else:
                    await asyncio.sleep(LOOK_SECONDS)
        finally:
            storing.cancel()
            for task in self._running.values():
                task.cancel()
            await asyncio.gather(storing, *self._running.values(), return_exceptions=True)

    async def once(self) -> None:
        """Make anew what waits now; hooks that take long go on by themselves."""
        async with self._storing:
            taken: Take = await self._lasting(self._take)
        groups: dict[tuple[str, str], list[Key]] = {}
        for key in taken.wanted:
            groups.setdefault((key.environment_id, key.plugin), []).append(key)
        for keys in groups.values():
            task = asyncio.create_task(self._call_plugin(keys, taken.wanted), name=f"hooks of {keys[0].plugin}")
            for key in keys:
                self._running[key] = task
        if taken.wanted:
            await asyncio.wait({self._running[key] for key in taken.wanted}, timeout=PATIENCE_SECONDS)
        await self._flush(taken)

    async def _lasting(self, do: Any, *args: Any) -> Any:  # noqa: ANN401  any work in the database
        """Do something in the database, again and again while it is away."""
        while True:
            try:
                return await asyncio.to_thread(do, *args)
            except SQLAlchemyError as error:
                _LOG.warning("the refresh of plugins' data waits for the database: %s", type(error).__name__)
                await asyncio.sleep(_AWAY_SECONDS)

    def _begin(self) -> None:
        with self._database.transaction() as connection:
            work.begin(connection)

    def _is_waiting(self) -> bool:
        with self._database.read() as connection:
            return work.is_waiting(connection, self._running.keys())

    def _take(self) -> Take:
        with self._database.transaction() as connection:
            return work.take(connection, self._running.keys(), set(self._apart.values()))

    async def _flush(self, taken: Take | None = None) -> None:
        """Store what hooks gave since the last time; with what was taken off the queue, note that it is done."""
        async with self._storing:
            self._results.clear()
            outcomes, self._outcomes = self._outcomes, {}
            ended = {key for key, outcome in outcomes.items() if outcome.ended}
            unfinished = set() if taken is None else {key for key in taken.wanted if key in self._running} - ended
            if outcomes or taken is not None:
                self._apart |= await self._lasting(self._store, outcomes, ended, taken, unfinished)
            for key in ended:
                self._apart.pop(key, None)
                self._running.pop(key, None)

    def _store(
        self, outcomes: Mapping[Key, Outcome], ended: Collection[Key], taken: Take | None, unfinished: Collection[Key]
    ) -> dict[Key, int]:
        with self._database.transaction() as connection:
            work.store(connection, outcomes)
            for key in ended:
                if key in self._apart:
                    work.drop_row(connection, self._apart[key])
            return {} if taken is None else work.finish(connection, taken, unfinished)

    async def _keep_storing(self) -> None:
        """Store results of hooks that take long, now and then."""
        pause = _STORED_EACH
        while True:
            await self._results.wait()
            await asyncio.sleep(pause)
            begun = time.monotonic()
            await self._flush()
            pause = max(_STORED_EACH, 10 * (time.monotonic() - begun))

    async def _call_plugin(self, keys: Sequence[Key], wanted: Mapping[Key, Collection[str] | None]) -> None:
        """Call the hooks of one plugin in one environment, one after the other."""
        async with self._plugins:
            for key in keys:
                await self._call_hook(key, wanted[key])

    async def _call_hook(self, key: Key, only: Collection[str] | None) -> None:
        given, objects = await self._lasting(self._prepare, key, only)
        if given is None:
            self._add(key, Outcome(target="", made_of="", ended=True))
            return
        outcome = Outcome(target=given.declared.target, made_of=given.made_of, ended=True)
        try:
            for start in range(0, len(objects), BATCH):
                judged = await self._call_batch(key, given, objects[start : start + BATCH])
                outcome.fault = outcome.fault or judged.fault
                self._add(key, Outcome(target=outcome.target, made_of=outcome.made_of, fragments=judged.fragments))
        except StokerError as error:
            outcome.fault = error.detail
        except Exception as error:  # noqa: BLE001  a fault of ours ends no other hook's refresh
            _LOG.exception("hook %s of plugin %s could not be called", key.name, key.plugin, extra={"plugin": key.plugin})
            outcome.fault = f"{type(error).__name__}: see the server's log"
        if outcome.fault:
            told = {"plugin": key.plugin, "environment": given.environment.name}
            _LOG.warning("data of hook %s of plugin %s stay as they were: %s", key.name, key.plugin, outcome.fault, extra=told)
        self._add(key, outcome)

    def _prepare(self, key: Key, only: Collection[str] | None) -> tuple[HookCallInput | None, list[str]]:
        with self._database.read() as connection:
            given = read_hook(connection, *key)
            return given, objects_of(connection, given.declared.target, key.environment_id, only) if given is not None else []

    async def _call_batch(self, key: Key, given: HookCallInput, objects: Sequence[str]) -> Judged:
        encoded = await self._lasting(self._encode, given, objects)
        declared = given.declared
        hook = Hook(
            plugin=key.plugin,
            version=given.version,
            point="serializer_hooks",
            name=key.name,
            function=declared.call,
            deadline=declared.deadline,
        )
        judged: list[Judged] = []

        def accept(answer: bytes) -> str:
            try:
                judged.append(judge(given.manifest, key.name, objects, answer))
            except InvalidInputError as error:
                return error.detail
            return judged[0].fault

        try:
            await self._call(
                hook,
                {"objects": encoded},
                environment=given.environment,
                caller=BACKGROUND_CALLER,
                settings=given.settings,
                accept=accept,
            )
        except HookFailedError as error:
            if not judged:
                raise
            return Judged(judged[0].fragments, error.detail)  # what does fit, of other objects, is stored
        return judged[0]

    def _encode(self, given: HookCallInput, objects: Sequence[str]) -> bytes:
        with self._database.read() as connection:
            return encode_objects(connection, given.declared, given.environment, objects)

    def _add(self, key: Key, outcome: Outcome) -> None:
        """Keep what a hook gave until it is stored."""
        before = self._outcomes.get(key)
        if before is None:
            self._outcomes[key] = outcome
        else:
            before.fragments.update(outcome.fragments)
            before.ended, before.fault = outcome.ended, outcome.fault
        self._results.set()

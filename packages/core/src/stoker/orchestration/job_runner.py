# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The job runner: carries queued jobs out, a few at a time and fair between plugins, and sees every one of them to its end."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Final, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from stoker.db import jobs
from stoker.db.database import Database
from stoker.errors import NotFoundError, StokerError
from stoker.orchestration.running_job import JobRow, RunningJob

_LOG = logging.getLogger(__name__)
T = TypeVar("T")
AT_ONCE: Final = 4
"""How many jobs run at once."""
GRACE_SECONDS: Final = 15.0
"""How long a job that shall end may take to do so; then its worker is stopped."""
MOST_RESULT: Final = 256 * 1024
"""Bytes of what a job gives, as JSON."""
_FLUSH_SECONDS: Final = 0.4
_AGAIN_SECONDS: Final = 1.0
_ENDED_UNDER_IT: Final = frozenset({"died", "memory", "protocol", "interrupted"})
"""Reasons of failures that are the process's, not the function's."""
_MOST_DEATHS: Final = 1
"""How often a job that can go on is called again after its worker ended under it."""

CallJob = Callable[[JobRow], Awaitable[bytes]]
"""Calls the action's function for a job; gives its result as JSON, and raises a StokerError if there is none."""
StopWorker = Callable[[str, str], Awaitable[None]]
"""Stops the worker of a plugin's version at once."""


class JobRunner:
    """Runs jobs in the server's event loop; handlers in threads call ``wake`` and ``cancel`` alone."""

    def __init__(self, database: Database, call: CallJob, stop_worker: StopWorker, *, grace: float = GRACE_SECONDS) -> None:
        """Nothing runs yet.

        Args:
            database: where jobs are.
            call: calls an action's function.
            stop_worker: ends a job by force.
            grace: how long a cancelled job may take to end, in seconds.
        """
        self._database = database
        self._call = call
        self._stop_worker = stop_worker
        self._grace = grace
        self._running: dict[str, RunningJob] = {}
        self._early: set[str] = set()
        """Jobs that were cancelled while they were being claimed, perhaps."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._woken = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._turns: Counter[str] = Counter()
        """When each plugin had its last turn."""

    def start(self) -> None:
        """Go on with what a server before this one left, and run what is queued; must be called in the event loop."""
        self._loop = asyncio.get_running_loop()
        self._woken = asyncio.Event()  # of this loop
        self._begin(self._work(), "jobs")

    async def close(self) -> None:
        """Let go: what runs is taken up by the next server."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._loop = None

    def wake(self) -> None:
        """Look for queued jobs; any thread may call it."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._woken.set)

    def cancel(self, identity: str) -> None:
        """Let a running job end, by force if it does not; any thread may call it."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._cancel, identity)

    def running(self, identity: str) -> RunningJob:
        """A job that runs.

        Raises:
            NotFoundError: it does not run.
        """
        if (found := self._running.get(identity)) is None:
            raise NotFoundError(f"job {identity!r} does not run.", remedy="Return from the action's function: its time is over.")
        return found

    async def checkpoint(self, identity: str, state: bytes) -> None:
        """Keep a state (JSON) of a running job; it is stored when this returns."""
        job = self.running(identity)
        await self._write(job, checkpoint=state.decode())

    async def _work(self) -> None:
        again, broken = await self._stored(jobs.recover)
        if again or broken:
            _LOG.info("jobs after the restart: %d go on, %d are broken off", again, broken)
        while True:
            self._woken.clear()
            self._early.clear()
            while len(self._running) < AT_ONCE and (job := await self._stored(self._next)) is not None:
                self._running[job.row.id] = job
                self._begin(self._run(job), f"job {job.row.id}")
                if job.row.id in self._early:
                    self._cancel(job.row.id)
            await self._woken.wait()

    def _next(self, connection: Connection) -> RunningJob | None:
        """Claim a job of the plugin that has the fewest running, and had its turn longest ago."""
        busy = Counter(job.row.plugin for job in self._running.values())
        waiting = jobs.queued(connection)
        if not waiting:
            return None
        order = {plugin: (busy[plugin], self._turns[plugin]) for plugin, _ in waiting}
        plugin, identity = min(waiting, key=lambda item: order[item[0]])
        self._turns[plugin] = max(self._turns.values(), default=0) + 1
        row = jobs.claim(connection, identity)
        return RunningJob(JobRow.of(row), jobs.size_of_log(connection, identity)) if row is not None else None

    async def _run(self, job: RunningJob) -> None:
        row = job.row
        _LOG.info("job %s: %s.%s begins", row.id, row.plugin, row.action, extra={"plugin": row.plugin})
        flushing = asyncio.create_task(self._flush(job), name=f"log of job {row.id}")
        try:
            values = await self._outcome(job)
            job.ended.set()
            await flushing  # cancelled, it could lose what it is writing
            await self._write(job)
            await self._stored(lambda connection: self._ended(connection, job, values))
        finally:
            flushing.cancel()
            self._running.pop(row.id, None)
            self._woken.set()
        _LOG.info("job %s: %s", row.id, values["state"], extra={"plugin": row.plugin})

    async def _outcome(self, job: RunningJob) -> dict[str, object]:
        try:
            result = await self._call(job.row)
        except StokerError as error:
            return self._failed(job, error)
        except Exception:  # noqa: BLE001  whatever it is, the job must come to an end
            _LOG.exception("job %s cannot be called", job.row.id, extra={"plugin": job.row.plugin})
            return {"state": "failed", "error": "the server failed; its log says why."}
        if job.cancelled:
            return {"state": "cancelled"}
        if len(result) > MOST_RESULT:
            return {
                "state": "failed",
                "error": f"it gave {len(result)} bytes, and may give {MOST_RESULT} at most: large things go into records.",
            }
        return {"state": "succeeded", "result": result.decode(), "progress": 1.0}

    def _failed(self, job: RunningJob, error: StokerError) -> dict[str, object]:
        reason = str(getattr(error, "reason", ""))
        if job.cancelled:
            forced = reason in _ENDED_UNDER_IT
            return {"state": "cancelled", "error": "its worker was stopped: it did not end by itself." if forced else ""}
        if reason in _ENDED_UNDER_IT and job.row.restartable and job.row.deaths < _MOST_DEATHS:
            job.log(f"{error.detail} It is called again from its last checkpoint.")
            return {"state": "queued", "deaths": job.row.deaths + 1}
        return {"state": "failed", "error": error.detail, "traceback": str(getattr(error, "traceback", ""))}

    @staticmethod
    def _ended(connection: Connection, job: RunningJob, values: dict[str, object]) -> None:
        if values["state"] == "queued":
            jobs.put(connection, job.row.id, **values)
        else:
            jobs.end(connection, job.row.id, values)
            jobs.prune(connection)

    def _cancel(self, identity: str) -> None:
        job = self._running.get(identity)
        if job is None:
            self._early.add(identity)
        elif not job.cancelled:
            job.cancelled = True
            self._begin(self._insist(job), f"end of job {identity}")

    async def _insist(self, job: RunningJob) -> None:
        """Stop the worker of a job that does not end."""
        await asyncio.sleep(self._grace)
        if self._running.get(job.row.id) is job:
            _LOG.warning("job %s does not end: the worker of plugin %s is stopped", job.row.id, job.row.plugin)
            await self._stop_worker(job.row.plugin, job.row.version)

    async def _flush(self, job: RunningJob) -> None:
        while not job.ended.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(job.ended.wait(), _FLUSH_SECONDS)
            await self._write(job, always=False)

    async def _write(self, job: RunningJob, *, always: bool = True, **values: object) -> None:
        """Store what a job said, and more."""
        said, lines = job.take()
        if not (always or said or lines):
            return
        try:
            await self._stored(lambda connection: job.write(connection, {**said, **values}, lines))
        except asyncio.CancelledError:
            job.give_back(said, lines)
            raise

    async def _stored(self, write: Callable[[Connection], T]) -> T:
        """Write to the database, however long it is away."""
        while True:
            with suppress(SQLAlchemyError):
                return await asyncio.to_thread(self._in_transaction, write)
            _LOG.warning("a job cannot be written down: the database is away")
            await asyncio.sleep(_AGAIN_SECONDS)

    def _in_transaction(self, write: Callable[[Connection], T]) -> T:
        with self._database.transaction() as connection:
            return write(connection)

    def _begin(self, work: Coroutine[None, None, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

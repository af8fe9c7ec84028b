# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The journal: one thread that commits what happens in groups; whoever waits for an entry knows that it is on disk."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from stoker.db.database import Database
from stoker.db.faults import passes
from stoker.db.journal import JournalEntry, was_written, write_batch
from stoker.errors import StokerError
from stoker.orchestration.patience import Patience
from stoker.telemetry.metrics import METRICS
from stoker.transport.slices import Slices

logger = logging.getLogger(__name__)

LEASE_SECONDS = 15.0
SECONDS_PER_NODE = 0.004
LONGEST_SECONDS = 0.1
"""From the beginning of a commit to that of the next one, so much for each node at work and at most: what comes meanwhile is one
group. Few nodes wait for nothing; with many, a commit for each task would cost more than the task."""
FULL_GROUP = 64
"""So many entries are worth a commit of their own: nobody waits for more."""


class LostLeaseError(StokerError):
    """Another server took the deployment over; this one must let go of it."""

    kind = "lost-lease"


class Journal:
    """Takes entries from one event loop and writes them in order.

    The first entry after a pause is committed at once. A commit takes everything that came since the one before: the busier, the
    larger the groups. While the database is locked, full or away, a group is tried again and again: nothing new starts meanwhile,
    because a dispatch must be on disk first, and what runs on nodes runs on. A lease that ran out does no harm: as long as nobody
    took the deployment over, its epoch is ours.
    """

    def __init__(self, database: Database, on_commit: Callable[[set[str]], None] = lambda _ids: None) -> None:
        """Start the thread; must be called in the event loop.

        Args:
            database: where to write.
            on_commit: called in the event loop with the ids of deployments that got new rows.
        """
        self._database = database
        self._on_commit = on_commit
        self._loop = asyncio.get_running_loop()
        self._pending: list[tuple[JournalEntry, asyncio.Future[None]]] = []
        self._changed = threading.Condition()
        self._closing = False
        self._nodes = 0
        self._patience = Patience("The journal")
        self._telling = Slices(_tell)
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def submit(self, entry: JournalEntry) -> asyncio.Future[None]:
        """Queue an entry; the future is done when it is on disk, and fails with LostLeaseError if the deployment is not ours."""
        future: asyncio.Future[None] = self._loop.create_future()
        with self._changed:
            self._pending.append((entry, future))
            if len(self._pending) in (1, FULL_GROUP):
                self._changed.notify()
        return future

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """One more node writes entries until the end of the block: the more there are, the larger the groups."""
        self._nodes += 1
        try:
            yield
        finally:
            self._nodes -= 1

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    async def close(self) -> None:
        """Write what is queued and end the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        with self._database.writer() as connection:
            begun = 0.0
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._pending or self._closing)
                    self._changed.wait_for(
                        lambda: len(self._pending) >= FULL_GROUP or self._closing,
                        max(0.0, begun + min(LONGEST_SECONDS, SECONDS_PER_NODE * self._nodes) - time.monotonic()),
                    )
                    batch, self._pending = self._pending, []
                begun = time.monotonic()
                if not batch:
                    return
                self._commit(connection, batch)

    def _commit(self, connection: Connection, batch: list[tuple[JournalEntry, asyncio.Future[None]]]) -> None:
        lost: set[str] = set()
        failure: Exception | None = None
        try:
            lost = self._write(connection, [entry for entry, _ in batch])
        except (SQLAlchemyError, TypeError, ValueError) as error:  # every waiter gets it and stops its deployment there
            if len(owners := {entry.deployment_id for entry, _ in batch}) > 1:  # but not those of the others
                for owner in owners:
                    self._commit(connection, [item for item in batch if item[0].deployment_id == owner])
                return
            logger.exception("The journal could not be written")
            failure = error
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._resolve, batch, lost, failure)

    def _write(self, connection: Connection, entries: list[JournalEntry]) -> set[str]:
        tried: list[float] = []
        while True:
            begun = time.monotonic()
            tried.append(time.time() + LEASE_SECONDS)
            try:
                with self._database.transaction(connection):
                    written = was_written(connection, entries, tried[:-1]) if tried[:-1] else None
                    lost = write_batch(connection, entries, tried[-1]) if written is None else written
            except SQLAlchemyError as error:
                if self._closing or not passes(error):
                    raise
                with self._changed:
                    self._changed.wait_for(lambda: self._closing, self._patience.pause(error))
            else:
                self._patience.over()
                METRICS.journal_batch.observe(len(entries))
                METRICS.journal_seconds.observe(time.monotonic() - begun)
                return lost

    def _resolve(self, batch: list[tuple[JournalEntry, asyncio.Future[None]]], lost: set[str], failure: Exception | None) -> None:
        self._telling.add((future, failure or (_lost(entry) if entry.deployment_id in lost else None)) for entry, future in batch)
        if failure is None:
            self._on_commit({entry.deployment_id for entry, _ in batch} - lost)


def _lost(entry: JournalEntry) -> LostLeaseError:
    return LostLeaseError(
        f"deployment {entry.deployment_id} was taken over by another server.", remedy="Nothing: it goes on there."
    )


def _tell(told: tuple[asyncio.Future[None], Exception | None]) -> None:
    future, failure = told
    if future.done():
        return
    if failure is None:
        future.set_result(None)
    else:
        future.set_exception(failure)

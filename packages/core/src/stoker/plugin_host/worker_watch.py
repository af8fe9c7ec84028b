# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The watch over workers: those that no longer answer, take too much memory, or work although nobody asked them, are ended."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import msgspec

from stoker.plugin_host.worker import Worker

EVERY: Final = 1.0
"""Seconds between two looks."""
_SILENT_SECONDS: Final = 15.0
"""Who does not answer for so long never will."""
_UNASKED_SECONDS: Final = 20.0
"""So many seconds of processor time a worker may take in a minute while nobody asks it anything."""
_MINUTE: Final = 60.0
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_MOST_PROCESSES: Final = 64
_MIB: Final = 1024 * 1024


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """What the processes of a worker take together."""

    seconds: float
    """Processor time."""
    memory: int
    """Bytes that are theirs alone."""


def usage(process: int) -> Usage:
    """What a process and its descendants take."""
    seconds, memory = 0.0, 0
    todo, seen = [process], 0
    while todo and seen < _MOST_PROCESSES:
        one = todo.pop()
        seen += 1
        try:
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
            pages = Path(f"/proc/{one}/statm").read_text().split()
            todo += [int(child) for child in Path(f"/proc/{one}/task/{one}/children").read_text().split()]
        except (OSError, ValueError, IndexError):
            continue
        seconds += sum(int(fields[index]) for index in (11, 12, 13, 14)) / _TICKS
        memory += (int(pages[1]) - int(pages[2])) * _PAGE
    return Usage(seconds=seconds, memory=memory)


class Watch:
    """Looks at the workers of a server again and again."""

    def __init__(self, workers: Callable[[], Iterable[tuple[Worker, int]]]) -> None:
        """Take what gives the workers that run, each with the number of those who use it."""
        self._workers = workers
        self._unasked: dict[Worker, tuple[float, float]] = {}
        self._asking: dict[Worker, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Look until nobody wants it any more."""
        while True:
            await asyncio.sleep(EVERY)
            found = [*self._workers()]
            for worker, users in found:
                taken = await asyncio.to_thread(usage, worker.pid)
                if worker.start.group is None and taken.memory > worker.start.memory * _MIB:
                    worker.kill("memory", f"it used more than its {worker.start.memory} MiB of memory; its process was ended")
                self._look_at_unasked(worker, users, taken.seconds)
                if worker not in self._asking:
                    self._asking[worker] = asyncio.create_task(self._ask(worker), name=f"watch over {worker.plugin}")
            alive = {worker for worker, _ in found}
            self._unasked = {worker: kept for worker, kept in self._unasked.items() if worker in alive}

    def _look_at_unasked(self, worker: Worker, users: int, seconds: float) -> None:
        now = time.monotonic()
        since, before = self._unasked.get(worker, (now, seconds))
        if users or now - since > _MINUTE:
            since, before = now, seconds
        self._unasked[worker] = (since, before)
        if seconds - before > _UNASKED_SECONDS:
            worker.kill("interrupted", "its process was ended, because it worked although nobody asked it anything")

    async def _ask(self, worker: Worker) -> None:
        try:
            async with asyncio.timeout(_SILENT_SECONDS):
                answers = await worker.answers()
        except TimeoutError:
            worker.kill("interrupted", f"its process was ended, because it did not answer for {_SILENT_SECONDS:g} seconds")
        else:
            if not answers:
                worker.kill("protocol", "it closed its socket; its process was ended")
        finally:
            self._asking.pop(worker, None)

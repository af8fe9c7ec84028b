# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Workers whose application did not answer in time: one that is blocked for everybody is ended, so that the next one answers."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Final
from weakref import WeakKeyDictionary

from stoker_sdk.worker.protocol import HELLO

from stoker.plugin_host.unix_http import BrokenExchangeError, Exchange
from stoker.plugin_host.worker import Worker

GREETING_SECONDS: Final = 2.0
"""How soon a worker that is not blocked says hello."""
MOST_LATE: Final = 8
"""So many threads of a WSGI application may be busy for ever."""


class LateWorkers:
    """Who was late, and how often."""

    def __init__(self) -> None:
        """Nobody was."""
        self._counts: WeakKeyDictionary[Worker, Counter[str]] = WeakKeyDictionary()
        self._looking: dict[int, asyncio.Task[None]] = {}

    def looked_at(self, worker: Worker) -> None:
        """Note that an answer was late, and look in the background whether the worker can go on."""
        count = self._counts.setdefault(worker, Counter())
        count["late"] += 1
        if id(worker) not in self._looking:
            made = asyncio.create_task(self._look(worker, count), name=f"late worker of {worker.plugin} {worker.version}")
            self._looking[id(worker)] = made
            made.add_done_callback(lambda _: self._looking.pop(id(worker), None))

    async def _look(self, worker: Worker, count: Counter[str]) -> None:
        if worker.hello.application == "wsgi" and count["late"] >= MOST_LATE:
            worker.kill("interrupted", f"its process was ended, because {MOST_LATE} requests of its application do not end")
        elif worker.alive and not await _greets(worker):
            worker.kill("interrupted", "its process was ended, because its application blocked it")


async def _greets(worker: Worker) -> bool:
    try:
        exchange = await Exchange.connect(worker.socket)
    except BrokenExchangeError:
        return True  # it ended by itself
    try:
        async with asyncio.timeout(GREETING_SECONDS):
            await exchange.begin("GET", HELLO, [(b"host", b"worker")])
            await exchange.end()
            await exchange.answer()
    except TimeoutError:
        return False
    except BrokenExchangeError:
        return True
    finally:
        exchange.close()
    return True

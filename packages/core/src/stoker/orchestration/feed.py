# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The feed: wakes those who follow a deployment's events as soon as new rows are on disk."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable


class Feed:
    """In-process wake-up calls; whoever misses one finds the rows at the next look."""

    def __init__(self) -> None:
        """Nobody listens yet."""
        self._waiting: dict[str, set[asyncio.Future[None]]] = defaultdict(set)

    def notify(self, deployment_ids: Iterable[str]) -> None:
        """These deployments have new rows; called in the event loop."""
        for deployment_id in deployment_ids:
            for waiter in self._waiting.pop(deployment_id, ()):
                if not waiter.done():
                    waiter.set_result(None)

    async def wait(self, deployment_id: str, seconds: float) -> None:
        """Wait for new rows, at most so long."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiting[deployment_id].add(waiter)
        await asyncio.wait([waiter], timeout=seconds)
        waiters = self._waiting.get(deployment_id)
        if waiters is not None:
            waiters.discard(waiter)
            if not waiters:
                del self._waiting[deployment_id]

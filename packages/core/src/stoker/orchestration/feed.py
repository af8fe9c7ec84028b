# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The feed: wakes those who follow a deployment's events as soon as new rows are on disk."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager


class Feed:
    """In-process wake-up calls. Who listens before looking at the rows misses none."""

    def __init__(self) -> None:
        """Nobody listens yet."""
        self._listening: dict[str, set[asyncio.Event]] = defaultdict(set)
        self._relays: set[Callable[[Collection[str]], None]] = set()

    def notify(self, deployment_ids: Iterable[str]) -> None:
        """These deployments have new rows; called in the event loop."""
        changed_ids = list(deployment_ids)
        for deployment_id in changed_ids:
            for changed in self._listening.get(deployment_id, ()):
                changed.set()
        for relay in self._relays:
            relay(changed_ids)

    @contextmanager
    def relayed(self, relay: Callable[[Collection[str]], None]) -> Iterator[None]:
        """Until the end of the block, hand every call on: to the server's other processes."""
        self._relays.add(relay)
        try:
            yield
        finally:
            self._relays.discard(relay)

    @contextmanager
    def listen(self, deployment_id: str) -> Iterator[asyncio.Event]:
        """An event that is set whenever there are new rows; the listener clears it before each look."""
        changed = asyncio.Event()
        self._listening[deployment_id].add(changed)
        try:
            yield changed
        finally:
            listeners = self._listening[deployment_id]
            listeners.discard(changed)
            if not listeners:
                del self._listening[deployment_id]

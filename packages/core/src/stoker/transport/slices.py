# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Slices: what becomes possible for many nodes at once is let loose a few a turn of the loop; others are answered between."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, Generic, TypeVar

T = TypeVar("T")
AT_ONCE: Final = 8
"""So many a turn: a worker that goes on takes a tenth of a millisecond or two."""


class Slices(Generic[T]):
    """Hands items on in their order, some in each turn of the loop; the loop looks at its sockets between two turns."""

    def __init__(self, hand_on: Callable[[T], None]) -> None:
        """Take who gets the items; nothing waits yet."""
        self._hand_on = hand_on
        self._waiting: deque[T] = deque()

    def add(self, items: Iterable[T]) -> None:
        """Queue items; the first ones are handed on now, if none wait before them. Must be called in the event loop."""
        idle = not self._waiting
        self._waiting.extend(items)
        if idle:
            self._turn()

    def _turn(self) -> None:
        for _ in range(min(AT_ONCE, len(self._waiting))):
            self._hand_on(self._waiting.popleft())
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._turn)

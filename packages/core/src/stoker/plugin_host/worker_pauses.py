# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Pauses before a worker is started again: code that takes all its memory again and again costs the whole machine each time."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Final

PAUSES: Final = (0.0, 0.0, 2.0, 5.0)
"""Seconds between the end of a worker that took too much memory and the next start, by how many did so lately."""
LATELY: Final = 60.0
"""Seconds."""


class Pauses:
    """When workers took too much memory."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with none."""
        self._clock = clock
        self._seen: dict[tuple[str, str], deque[float]] = {}

    def note(self, plugin: str, version: str) -> None:
        """A worker of this plugin version took too much memory, and was ended."""
        self._seen.setdefault((plugin, version), deque(maxlen=len(PAUSES) - 1)).append(self._clock())

    def before_start(self, plugin: str, version: str) -> float:
        """How many seconds to wait before the next start."""
        now = self._clock()
        seen = [at for at in self._seen.get((plugin, version), ()) if at > now - LATELY]
        if not seen:
            self._seen.pop((plugin, version), None)
            return 0.0
        return max(0.0, seen[-1] + PAUSES[len(seen)] - now)

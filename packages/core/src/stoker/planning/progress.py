# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""What planning works on just now, kept where somebody else can read it after this process was ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

Note: TypeAlias = tuple[str, str, str, str]
"""Plugin, contribution, field, file."""


class Progress:
    """Passes a note on before work that a plugin's text could make endless."""

    def __init__(self) -> None:
        """Start without anybody who listens."""
        self._last: Note | None = None
        self._sink: Callable[[Note], None] | None = None

    def listen(self, sink: Callable[[Note], None]) -> None:
        """Let somebody know from now on."""
        self._sink = sink

    def note(self, plugin: str, contribution: str, field: str, file: str = "") -> None:
        """The next work is on this."""
        if self._sink is not None:
            now = (plugin, contribution, field, file)
            if now != self._last:
                self._last = now
                self._sink(now)


PROGRESS = Progress()
"""The process's own."""

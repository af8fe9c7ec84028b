# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""What workers write on standard output and error: the last of it is kept, and who writes too much has to wait."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from typing import Final

import msgspec

MOST_KEPT: Final = 128 * 1024
"""Bytes kept of one plugin version."""
MOST_PLUGINS: Final = 64
"""Plugin versions of which something is kept."""
MOST_LINE: Final = 4000
_OF_A_LINE: Final = 100
"""Bytes that a line takes beside its text: empty ones take place, too."""
_CHUNK: Final = 32 * 1024
_EACH_SECOND: Final = 256 * 1024
"""Bytes taken from one worker in a second; then it waits until the next one."""


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line that a plugin's code wrote."""

    at: float
    """Seconds since 1970."""
    text: str


class Output:
    """The last lines of one plugin version."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._lines: deque[Line] = deque()
        self._bytes = 0
        self._open = b""

    def add(self, data: bytes) -> None:
        """Take what was written; a line without an end waits for it."""
        *lines, self._open = (self._open + data).split(b"\n")
        if len(self._open) > MOST_LINE:
            lines.append(self._open)
            self._open = b""
        now = time.time()
        for line in lines:
            text = line[:MOST_LINE].decode("utf-8", "replace").rstrip("\r")
            self._lines.append(Line(at=now, text=text))
            self._bytes += len(text) + _OF_A_LINE
        while self._bytes > MOST_KEPT:
            self._bytes -= len(self._lines.popleft().text) + _OF_A_LINE

    def finish(self) -> None:
        """The process ended: what it wrote last is a line, too."""
        if self._open:
            self.add(b"\n")

    def lines(self) -> list[Line]:
        """What is kept, oldest first."""
        return [*self._lines]

    def tail(self, count: int = 20) -> str:
        """The last lines as a text."""
        return "\n".join(line.text for line in [*self._lines][-count:])


class Outputs:
    """What all plugin versions wrote."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._of: OrderedDict[tuple[str, str], Output] = OrderedDict()

    def of(self, plugin: str, version: str) -> Output:
        """A version's output, to add to; the one that wrote longest ago is forgotten if there are too many."""
        found = self._of.setdefault((plugin, version), Output())
        self._of.move_to_end((plugin, version))
        while len(self._of) > MOST_PLUGINS:
            self._of.popitem(last=False)
        return found

    def lines(self, plugin: str, version: str) -> list[Line]:
        """What is kept of a version."""
        return self._of[plugin, version].lines() if (plugin, version) in self._of else []

    def of_plugin(self, plugin: str) -> dict[str, list[Line]]:
        """What is kept of a plugin's versions; safe for threads."""
        return {version: output.lines() for (name, version), output in [*self._of.items()] if name == plugin}

    def forget(self, plugin: str, version: str) -> None:
        """Keep nothing of a version."""
        self._of.pop((plugin, version), None)


async def collect(stream: asyncio.StreamReader, output: Output) -> None:
    """Read what a process writes until it ends, not faster than is good for others."""
    while data := await stream.read(_CHUNK):
        output.add(data)
        await asyncio.sleep(len(data) / _EACH_SECOND)
    output.finish()

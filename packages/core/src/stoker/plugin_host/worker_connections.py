# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Connections to one worker: HTTP over its Unix socket, kept open; what comes back is read with distrust."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

MOST_RESULT: Final = 32 * 1024 * 1024
"""Bytes of one result."""
_MOST_HEAD: Final = 16 * 1024
_STATUS: Final = slice(9, 12)


class ProtocolError(Exception):
    """The worker said what it must not say."""


class WorkerConnections:
    """As many connections as there are calls at once."""

    def __init__(self, path: Path) -> None:
        """Take the worker's socket."""
        self._path = path
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """Ask, and give status and body.

        Raises:
            OSError: the socket or the connection is closed.
            EOFError: it ended in the middle.
            ProtocolError: what came is no answer.
        """
        if self._free:
            reader, writer = self._free.pop()
        else:
            reader, writer = await asyncio.open_unix_connection(str(self._path), limit=_MOST_HEAD)
        try:
            head = f"{method} {path} HTTP/1.1\r\nHost: worker\r\nContent-Length: {len(body)}\r\n\r\n"
            writer.write(head.encode("ascii") + body)
            await writer.drain()
            status, given = await _read(reader)
        except BaseException:
            writer.close()
            raise
        self._free.append((reader, writer))
        return status, given

    def close(self) -> None:
        """Close those that nobody uses."""
        while self._free:
            self._free.pop()[1].close()


async def _read(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError as error:
        raise ProtocolError("its answer has too long a head") from error
    first, *lines = head[:-4].split(b"\r\n")
    if not first.startswith(b"HTTP/1.1 ") or not first[_STATUS].isdigit():
        raise ProtocolError("its answer is not HTTP/1.1")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
    length = headers.get(b"content-length", b"")
    if not length.isdigit() or b"transfer-encoding" in headers:
        raise ProtocolError("its answer has no length")
    if int(length) > MOST_RESULT:
        raise ProtocolError(f"its answer has {int(length)} bytes, more than {MOST_RESULT}")
    return int(first[_STATUS]), await reader.readexactly(int(length))

# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The HTTP side of the way back: a small server for one worker's socket, which reads what comes with distrust."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import h11
import msgspec

MOST_BODY: Final = 32 * 1024 * 1024
"""Bytes of one request."""
MOST_CONNECTIONS: Final = 96
"""How many connections one worker may hold."""
_CHUNK: Final = 64 * 1024
_QUIET_SECONDS: Final = 3600.0
_READ_SECONDS: Final = 60.0


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One request of a worker."""

    method: str
    target: str
    headers: list[tuple[bytes, bytes]]
    body: bytes

    def header(self, name: bytes) -> bytes:
        """A header's value; empty if it is not there."""
        return next((value for key, value in self.headers if key == name), b"")


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """What it is answered."""

    status: int
    body: bytes
    media_type: str = "application/json"


Answer = Callable[[Asked], Awaitable[Answered]]


@asynccontextmanager
async def serving(path: Path, answer: Answer, user: int | None = None) -> AsyncIterator[None]:
    """Answer what comes at a socket, which belongs to the worker's user; when the block ends, nobody is answered any more."""
    held: set[asyncio.Task[None]] = set()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        held.add(task)
        try:
            if len(held) <= MOST_CONNECTIONS:
                await _talk(reader, writer, answer)
        except (OSError, EOFError, TimeoutError, h11.ProtocolError, asyncio.CancelledError):
            pass  # the worker went, or says what is no HTTP; or its time is over
        finally:
            held.discard(task)
            writer.close()

    server = await asyncio.start_unix_server(take, sock=private_socket(path))
    if user is not None:
        os.chown(path, user, -1)
    try:
        yield
    finally:
        server.close()
        for task in [*held]:
            task.cancel()
        with suppress(FileNotFoundError):
            os.unlink(path)  # noqa: PTH108  takes no time


def private_socket(path: Path) -> socket.socket:
    """A socket at a path, from its first moment for its owner alone; not by the umask, which is that of all threads.

    Raises:
        OSError: it cannot be made.
    """
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        os.fchmod(made.fileno(), 0o600)  # Linux gives the file this mode
        made.bind(str(path))
        path.chmod(0o600)  # and others have it now
    except BaseException:
        made.close()
        raise
    return made


async def _talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Answer) -> None:
    """Requests on one connection, one after the other."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=16 * 1024)
    while (asked := await _request(connection, reader)) is not None:
        given = await answer(asked)
        headers = [("content-type", given.media_type), ("content-length", str(len(given.body)))]
        writer.write(connection.send(h11.Response(status_code=given.status, headers=headers)) or b"")
        if asked.method != "HEAD":
            writer.write(connection.send(h11.Data(data=given.body)) or b"")
        writer.write(connection.send(h11.EndOfMessage()) or b"")
        async with asyncio.timeout(_READ_SECONDS):
            await writer.drain()
        if connection.our_state is h11.MUST_CLOSE or connection.their_state is not h11.DONE:
            return
        connection.start_next_cycle()


async def _request(connection: h11.Connection, reader: asyncio.StreamReader) -> Asked | None:
    head: h11.Request | None = None
    parts: list[bytes] = []
    size = 0
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            async with asyncio.timeout(_QUIET_SECONDS if head is None else _READ_SECONDS):
                connection.receive_data(await reader.read(_CHUNK))
        elif isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            size += len(event.data)
            if size > MOST_BODY:
                return None
            parts.append(bytes(event.data))
        elif isinstance(event, h11.EndOfMessage) and head is not None:
            return Asked(
                method=head.method.decode("ascii"),
                target=head.target.decode("latin-1"),
                headers=[(bytes(name), bytes(value)) for name, value in head.headers],
                body=b"".join(parts),
            )
        else:
            return None

# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""One HTTP exchange over a Unix socket, piece by piece in both directions, with a peer that nobody trusts."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import h11
import msgspec

from stoker.errors import StokerError

CONNECT_SECONDS: Final = 5.0
_PIECE: Final = 64 * 1024
_LARGEST_HEAD: Final = 48 * 1024
"""Bytes of status line and headers together; a peer that sends more is broken."""


class BrokenExchangeError(StokerError):
    """The peer cannot be reached, ends in the middle, or does not speak HTTP."""

    status = 502
    kind = "broken-exchange"

    def __init__(self, reason: str, *, sent: bool) -> None:
        """Keep the reason, and whether the peer may have begun to act."""
        self.sent = sent
        super().__init__(reason)


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """How an answer begins."""

    status: int
    headers: list[tuple[bytes, bytes]]


class Exchange:
    """One request and its answer on a connection of its own.

    A connection for each costs some tens of microseconds, and no request can be lost on one that the peer was about to close.
    """

    def __init__(self, connection: socket.socket) -> None:
        """Take a connection; ``connect`` makes one.

        It is a plain socket, for with a stream what the peer said last is lost as soon as it listens no more.
        """
        self._socket = connection
        self._loop = asyncio.get_running_loop()
        self._state = h11.Connection(h11.CLIENT, max_incomplete_event_size=_LARGEST_HEAD)
        self._sent = False
        self._ended = False
        self._writable = True

    @classmethod
    async def connect(cls, path: Path) -> Exchange:
        """Connect to a socket. Raises BrokenExchangeError."""
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            made.setblocking(False)
            async with asyncio.timeout(CONNECT_SECONDS):
                await asyncio.get_running_loop().sock_connect(made, str(path))
        except OSError as error:  # TimeoutError is one
            made.close()
            reason = f"it cannot be reached: {error.strerror or 'it takes no connection'}"
            raise BrokenExchangeError(reason, sent=False) from error
        except BaseException:
            made.close()
            raise
        return cls(made)

    async def begin(self, method: str, target: str, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """Send the request's head; ``headers`` say its length, if it has a body. Raises BrokenExchangeError."""
        request = h11.Request(method=method, target=target, headers=[*headers, (b"connection", b"close")])
        self._sent = True
        await self._send(request)

    async def send(self, data: bytes) -> None:
        """Send a piece of the body, as fast as the peer takes it; one that listens no more may have answered already."""
        await self._send(h11.Data(data=data))

    async def end(self) -> None:
        """Say that the body has ended."""
        await self._send(h11.EndOfMessage())

    async def _send(self, event: h11.Event) -> None:
        if not self._writable:
            return
        try:
            if data := self._state.send(event):
                await self._loop.sock_sendall(self._socket, data)
        except (OSError, h11.LocalProtocolError):  # what it answered before it stopped listening can still be read
            self._writable = False

    async def answer(self) -> Answer:
        """Wait for the answer's head; what is said before it (1xx) goes no further. Raises BrokenExchangeError."""
        while True:
            event = await self._next()
            if isinstance(event, h11.Response):
                if sum(len(name) + len(value) for name, value in event.headers) > _LARGEST_HEAD:
                    raise BrokenExchangeError(f"its headers have more than {_LARGEST_HEAD} bytes", sent=True)
                return Answer(status=event.status_code, headers=list(event.headers))
            if not isinstance(event, h11.InformationalResponse):
                raise BrokenExchangeError("it ended without an answer", sent=self._sent)

    async def pieces(self, idle: float) -> AsyncIterator[bytes]:
        """The answer's body; ``idle`` says how many seconds may pass without a piece. Raises BrokenExchangeError."""
        while True:
            try:
                async with asyncio.timeout(idle):
                    event = await self._next()
            except TimeoutError as error:
                raise BrokenExchangeError(f"its answer stood still for {idle:g} s", sent=True) from error
            if not isinstance(event, h11.Data):
                return
            yield bytes(event.data)

    async def _next(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        try:
            while (event := self._state.next_event()) is h11.NEED_DATA:
                self._state.receive_data(await self._read())
        except h11.RemoteProtocolError as error:
            what = "it closed the connection" if self._ended else f"it does not speak HTTP: {error}"
            raise BrokenExchangeError(what, sent=self._sent) from error
        return event

    async def _read(self) -> bytes:
        try:
            data = await self._loop.sock_recv(self._socket, _PIECE)
        except OSError:  # it closed with something unread, or was closed from here
            data = b""
        self._ended = not data
        return data

    def break_off(self) -> None:
        """End the connection at once; who waits for a piece gets BrokenExchangeError."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Give the connection back, when nobody sends or waits any more."""
        self._socket.close()

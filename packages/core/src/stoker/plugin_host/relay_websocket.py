# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Relaying WebSockets: messages go both ways between a client and a process behind a Unix socket, until one of them ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage, InvalidStatus, WebSocketException
from websockets.typing import Subprotocol

from stoker.plugin_host.app_headers import Headers
from stoker.plugin_host.app_traffic import Passage
from stoker.plugin_host.relay import AnswerError, LateAnswerError, Receive, Send
from stoker.plugin_host.unix_http import Answer

LARGEST_MESSAGE: Final = 16 * 1024 * 1024
_WENT_WRONG: Final = 1011
_NORMAL: Final = 1000
_SENT_BY_NOBODY: Final = frozenset({1004, 1005, 1006, 1015})
_OWN_CODES: Final = range(3000, 5000)
_STANDARD_CODES: Final = range(1000, 1015)
_LONGEST_REASON: Final = 120
_OF_THE_HANDSHAKE: Final = frozenset({b"host", b"content-type"})


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """How a WebSocket is opened."""

    socket: Path
    target: str
    host: str
    headers: Headers
    subprotocols: list[str]
    who: str
    timeout: float


class _Connect(connect):
    """Follows no redirect: where a plugin sends a client is for the client to see."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


async def relay_websocket(
    opening: Opening, receive: Receive, send: Send, answer_headers: Callable[[Answer], Headers], passage: Passage
) -> None:
    """Open the other side, accept the client's, and pass messages until either ends or the passage is ended.

    Raises:
        StokerError: the other side was not opened, and this is to be told.
    """
    if (await receive())["type"] != "websocket.connect":
        return
    passage.stream = True
    try:
        other = await _open(opening)
    except InvalidStatus as error:
        response = error.response
        told = Answer(
            status=response.status_code, headers=[(n.encode(), v.encode("latin-1")) for n, v in response.headers.raw_items()]
        )
        body = bytes(response.body or b"")
        headers = [(n, v) for n, v in answer_headers(told) if n != b"content-length"]
        length = (b"content-length", str(len(body)).encode())
        await send({"type": "websocket.http.response.start", "status": told.status, "headers": [*headers, length]})
        await send({"type": "websocket.http.response.body", "body": body, "more_body": False})
        return
    try:
        await send({"type": "websocket.accept", "subprotocol": other.subprotocol, "headers": []})
        code, reason = await _pass(other, receive, send, passage)
        if code:
            await send({"type": "websocket.close", "code": code, "reason": reason[:_LONGEST_REASON]})
    finally:
        other.transport.abort()


async def _open(opening: Opening) -> ClientConnection:
    try:
        return await _Connect(
            f"ws://{opening.host}{opening.target}",
            unix=True,
            path=str(opening.socket),
            additional_headers=[
                (name.decode("latin-1"), value.decode("latin-1"))
                for name, value in opening.headers
                if name not in _OF_THE_HANDSHAKE
            ],
            subprotocols=[Subprotocol(name) for name in opening.subprotocols] or None,
            user_agent_header=None,
            compression=None,
            proxy=None,
            open_timeout=opening.timeout,
            ping_interval=None,
            max_size=LARGEST_MESSAGE,
            close_timeout=1,
        )
    except InvalidStatus:
        raise
    except TimeoutError as error:
        raise LateAnswerError(
            f"{opening.who} did not answer within {opening.timeout:g} s.", remedy="Try again; if it stays so, tell its author."
        ) from error
    except (OSError, InvalidHandshake, InvalidMessage, WebSocketException, EOFError) as error:
        raise AnswerError(
            f"{opening.who} opened no WebSocket: {error}.", remedy="'stoker plugins doctor' and the server's log say more."
        ) from error


async def _pass(other: ClientConnection, receive: Receive, send: Send, passage: Passage) -> tuple[int, str]:
    """Pass messages; answers the code and the reason with which the client's side is to be closed, 0 if it is closed."""
    ended = asyncio.Event()
    passage.at_end(ended.set)
    up = asyncio.create_task(_up(other, receive), name="WebSocket to a plugin")
    down = asyncio.create_task(_down(other, send), name="WebSocket of a plugin")
    over = asyncio.create_task(ended.wait(), name="WebSocket's end")
    try:
        done, _ = await asyncio.wait({up, down, over}, return_when=asyncio.FIRST_COMPLETED)
        left = up.result() if up in done else None
        if left is not None:
            await other.close(*_closing(*left))
            return 0, ""
        if passage.closed:
            await other.close(passage.code, passage.closed[:_LONGEST_REASON])
            return passage.code, f"{passage.closed}: connect again"
        await down
        return _closing(other.close_code or _WENT_WRONG, other.close_reason or "")
    finally:
        for task in (up, down, over):
            task.cancel()
        await asyncio.gather(up, down, over, return_exceptions=True)


async def _up(other: ClientConnection, receive: Receive) -> tuple[int, str] | None:
    """From the client; answers how it closed its side, nothing if the other side was closed first."""
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            return int(message.get("code") or _NORMAL), str(message.get("reason") or "")
        text, data = message.get("text"), message.get("bytes")
        try:
            await other.send(text if text is not None else data or b"")
        except ConnectionClosed:
            return None


async def _down(other: ClientConnection, send: Send) -> None:
    """To the client."""
    try:
        async for message in other:
            kind = "text" if isinstance(message, str) else "bytes"
            await send({"type": "websocket.send", kind: message})
    except ConnectionClosed:
        return


def _closing(code: int, reason: str) -> tuple[int, str]:
    """A code that may be sent: 1005 and 1006 are never on the wire."""
    if code in _SENT_BY_NOBODY:
        return (_NORMAL if code == 1005 else _WENT_WRONG), reason[:_LONGEST_REASON]  # no code was given, or none came
    if code in _STANDARD_CODES or code in _OWN_CODES:
        return code, reason[:_LONGEST_REASON]
    return _WENT_WRONG, reason[:_LONGEST_REASON]

# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Relaying: a client's request goes on to a process behind a Unix socket and the answer comes back, as it comes, in pieces."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from http import HTTPStatus
from typing import Any, Final, TypeAlias

import msgspec

from stoker.errors import StokerError
from stoker.plugin_host.app_headers import Headers
from stoker.plugin_host.app_traffic import Passage
from stoker.plugin_host.unix_http import Answer, BrokenExchangeError, Exchange

_LOG = logging.getLogger("stoker.plugins")
IDLE_SECONDS: Final = 300.0
"""How long a body, in either direction, may stand still."""
_LAST_WORD: Final = 1.0
"""Seconds that a client has to take the piece that is being sent to it, when its request is ended from here."""
_BODILESS: Final = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.RESET_CONTENT, HTTPStatus.NOT_MODIFIED})

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Any]]
Send: TypeAlias = Callable[[Any], Awaitable[None]]


class AnswerError(StokerError):
    """A plugin's application gave no answer, or none that can be passed on."""

    status = 502
    kind = "plugin-answer"


class NoAnswerError(AnswerError):
    """A plugin's application ended, or closed the connection, without an answer."""


class LateAnswerError(StokerError):
    """A plugin's application did not begin its answer in time."""

    status = 504
    kind = "plugin-late"


class StalledRequestError(StokerError):
    """A client stopped in the middle of its request's body."""

    status = 408
    kind = "request-stalled"


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked."""

    method: str
    target: str
    headers: Headers
    """Those that pass, without the body's length."""
    length: bytes = b""
    """The body's length; empty if it is not known."""
    has_body: bool = False
    who: str
    """Whom messages name, e.g. ``plugin hello 1.0.0``."""
    timeout: float | None
    """Seconds until the answer must begin; ``None`` where the peer itself sees to it."""


class HttpRelay:
    """One request, its answer, and what may end either before its time."""

    def __init__(
        self, request: Request, exchange: Exchange, answer_headers: Callable[[Answer], Headers], passage: Passage
    ) -> None:
        """Take what is asked, the connection, what makes the answer's headers, and the passage that may be ended."""
        self._request = request
        self._exchange = exchange
        self._answer_headers = answer_headers
        self._passage = passage
        self._client_gone = False
        self._uploaded = False
        self.begun = False
        """Whether an answer has begun: a problem can no longer be told."""

    async def run(self, receive: Receive, send: Send) -> None:
        """Relay until the answer has ended.

        Raises:
            StokerError: nothing was answered yet, and this is to be told.
        """
        task = asyncio.current_task()
        loop = asyncio.get_running_loop()
        last: asyncio.TimerHandle | None = None

        def end() -> None:
            nonlocal last
            self._exchange.break_off()
            if task is not None:
                last = loop.call_later(_LAST_WORD, task.cancel)

        self._passage.at_end(end)
        try:
            await self._run(receive, send)
        except BrokenExchangeError as error:
            if not self._client_gone:
                await self._broken(error, send)
        except asyncio.CancelledError:
            if not self._passage.closed:
                raise
        finally:
            self._exchange.close()
            if last is not None:
                last.cancel()

    async def _run(self, receive: Receive, send: Send) -> None:
        request = self._request
        framing = [] if not request.has_body else [_framing(request.length)]
        await self._exchange.begin(request.method, request.target, [*request.headers, *framing])
        uploading: asyncio.Task[None] | None = None
        try:
            try:
                async with asyncio.timeout(None) as limit:
                    uploading = asyncio.create_task(self._upload(receive, limit), name="upload to a plugin")
                    answer = await self._exchange.answer()
            except TimeoutError as error:
                raise self._late() from error
            await self._download(answer, send)
        finally:
            if uploading is not None:
                uploading.cancel()
                await asyncio.gather(uploading, return_exceptions=True)

    async def _upload(self, receive: Receive, limit: asyncio.Timeout) -> None:
        """The client's body, then wait for the client to go."""
        now = asyncio.get_running_loop().time
        more = self._request.has_body
        while more:
            _postpone(limit, now() + IDLE_SECONDS)
            message = await receive()
            if message["type"] == "http.disconnect":
                return self._gone()
            await self._exchange.send(message.get("body", b""))
            more = message.get("more_body", False)
        await self._exchange.end()
        self._uploaded = True
        _postpone(limit, None if self._request.timeout is None else now() + self._request.timeout)
        while (await receive())["type"] != "http.disconnect":
            pass
        return self._gone()

    def _gone(self) -> None:
        self._client_gone = True
        self._exchange.break_off()

    async def _download(self, answer: Answer, send: Send) -> None:
        headers = self._answer_headers(answer)
        empty = answer.status in _BODILESS
        if empty:
            headers = [(name, value) for name, value in headers if name not in (b"content-length", b"content-type")]
        self._passage.stream = self._passage.stream or any(
            name == b"content-type" and value.lower().startswith(b"text/event-stream") for name, value in headers
        )
        self.begun = True
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        async for piece in self._exchange.pieces(IDLE_SECONDS):
            if not empty:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _broken(self, error: BrokenExchangeError, send: Send) -> None:
        if self._passage.closed and self._passage.stream:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        elif self._passage.closed and not self.begun:
            raise AnswerError(f"{self._request.who}: {self._passage.closed}.", remedy="Send the request again.") from error
        elif not self.begun:
            raise NoAnswerError(
                f"{self._request.who} gave no answer: {error.detail}.",
                remedy="Try again; 'stoker plugins doctor' and the server's log say more.",
            ) from error
        else:  # the web server ends the connection where an answer stays unfinished, which is how a client is told
            _LOG.warning("%s broke off an answer: %s", self._request.who, self._passage.closed or error.detail)

    def _late(self) -> StokerError:
        if not self._uploaded:
            return StalledRequestError(
                f"the request's body stood still for {IDLE_SECONDS:g} s.", remedy="Send it again, without a pause."
            )
        return LateAnswerError(
            f"{self._request.who} did not begin to answer within {self._request.timeout:g} s.",
            remedy="Try again; if it stays so, tell the plugin's author, who may raise 'timeout' of its application.",
        )


def _postpone(limit: asyncio.Timeout, when: float | None) -> None:
    if not limit.expired():
        try:
            limit.reschedule(when)
        except RuntimeError:  # the answer has begun: nobody waits for it any more
            return


def _framing(length: bytes) -> tuple[bytes, bytes]:
    return (b"content-length", length) if length else (b"transfer-encoding", b"chunked")


def body_of(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether a request has a body."""
    return any(
        name.lower() == b"transfer-encoding" or (name.lower() == b"content-length" and value.strip() != b"0")
        for name, value in headers
    )

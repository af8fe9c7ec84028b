# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Forwarding: an API process hands what changes something or takes long to the supervisor, with the caller's identity."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import httpx
import msgspec
from litestar.enums import ScopeType
from litestar.handlers.base import BaseRouteHandler
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send

from stoker.domain import actor
from stoker.errors import StokerError

ACTOR_HEADER: Final = "x-stoker-actor"
"""Who asks, as the API process's door found; believed on the supervisor's own socket alone."""
SCHEME_HEADER: Final = "x-stoker-scheme"
"""How the client came (http, https, ws, wss); believed on the supervisor's own socket alone."""
SUPERVISED: Final = "supervised"
"""The key of a handler's ``opt`` that says that only the supervisor can answer, although nothing there shows it."""

_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_BETWEEN_TWO: Final = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"expect",
    }
)
"""Headers that say something of one connection."""
_SECRET: Final = frozenset({b"authorization", b"host", ACTOR_HEADER.encode(), SCHEME_HEADER.encode()})
"""Headers that end at the door, or that nobody but us may send."""


class SupervisorGoneError(StokerError):
    """The process that does the work does not answer; it is being started again, or was told to stop."""

    status = 503
    kind = "supervisor-gone"


def is_forwarded(method: str, handler: BaseRouteHandler) -> bool:
    """Whether a request is the supervisor's: all that change something, and all that take long."""
    return method not in _READING or bool(handler.opt.get(SUPERVISED)) or takes_long(handler)


def takes_long(handler: BaseRouteHandler) -> bool:
    """Whether a handler uses ``ServerContext.at_length``; one that is not asynchronous cannot."""
    code = getattr(handler.fn, "__code__", None)  # what runs in a thread is wrapped
    return code is not None and "at_length" in code.co_names


class Forwarding(ASGIMiddleware):
    """Stands before the handlers of an API process; what it forwards is checked and carried out by the supervisor alone."""

    scopes = (ScopeType.HTTP,)

    def __init__(self, supervisor: Path) -> None:
        """Take the supervisor's socket."""
        transport = httpx.AsyncHTTPTransport(uds=str(supervisor), limits=httpx.Limits(max_connections=None))
        self._client = httpx.AsyncClient(
            transport=transport, base_url="http://supervisor", timeout=httpx.Timeout(None, connect=5.0)
        )

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Answer here, or let the supervisor answer."""
        if scope["type"] != ScopeType.HTTP or not is_forwarded(scope["method"], scope["route_handler"]):
            await next_app(scope, receive, send)
            return
        request = self._client.build_request(
            scope["method"], _target(scope), headers=_headers(scope), content=_body(receive) if _has_body(scope) else None
        )
        try:
            answer = await self._client.send(request, stream=True)
        except httpx.TransportError as error:
            raise SupervisorGoneError(
                "the process that does the server's work does not answer.",
                remedy="Try again in a moment; look first whether it was done after all.",
            ) from error
        try:
            headers = [(name, value) for name, value in answer.headers.raw if name.lower() not in _BETWEEN_TWO]
            await send({"type": "http.response.start", "status": answer.status_code, "headers": headers})
            async for chunk in answer.aiter_raw():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            await answer.aclose()


def _target(scope: HTTPScope) -> str:
    query = scope["query_string"].decode("latin-1")
    path = scope["raw_path"].decode("latin-1").partition("?")[0]
    return f"{path}?{query}" if query else path


def _headers(scope: HTTPScope) -> list[tuple[bytes, bytes]]:
    kept = [(name, value) for name, value in scope["headers"] if name not in _BETWEEN_TWO and name not in _SECRET]
    present = base64.b64encode(msgspec.json.encode(actor.current()))
    return [*kept, (ACTOR_HEADER.encode(), present)]


def _has_body(scope: HTTPScope) -> bool:
    return any(name in (b"content-length", b"transfer-encoding") for name, _ in scope["headers"])


async def _body(receive: Receive) -> AsyncIterator[bytes]:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise httpx.ReadError("the client went away")
        if message["type"] == "http.request":
            yield message["body"]
            if not message["more_body"]:
                return

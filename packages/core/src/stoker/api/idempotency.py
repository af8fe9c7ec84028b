# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The header Idempotency-Key: who does not know whether a request arrived sends it again, and it is carried out once."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import msgspec
from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send
from sqlalchemy.exc import SQLAlchemyError

from stoker.errors import BadRequestError
from stoker.services import repeats
from stoker.services.context import ServerContext
from stoker.services.repeats import Answer, Claim

HEADER: Final = "Idempotency-Key"
REPLAYED: Final = "idempotency-replayed"
"""The header of an answer that was given before."""
_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_FITS: Final = re.compile(rb"[\x21-\x7e]{1,200}")
_KEPT_HEADERS: Final = frozenset({b"content-type", b"etag", b"location"})
_BYTES: Final = b"application/octet-stream"


class Idempotency(ASGIMiddleware):
    """Stands before the handlers; requests that only read, or have no key, go through untouched."""

    scopes = (ScopeType.HTTP,)

    def __init__(self, context: ServerContext, largest_body: int) -> None:
        """Take the server, and how large a body may be that is repeated."""
        self._context = context
        self._largest = largest_body

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Carry a request out once; answer a repetition as before."""
        if scope["type"] != ScopeType.HTTP or scope["method"] in _READING:
            await next_app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        key = headers.get(HEADER.lower().encode())
        # A bundle is known by its bytes: whoever sends it twice is told that it is there.
        if key is None or headers.get(b"content-type", b"").startswith(_BYTES):
            await next_app(scope, receive, send)
            return
        if not _FITS.fullmatch(key):
            raise BadRequestError(
                f"the header {HEADER} is no key.", remedy="Use up to 200 visible ASCII characters, e.g. a random UUID."
            )
        messages, body = await self._read(receive)
        if body is None:
            await next_app(scope, _again(messages, receive), send)  # too large: the handler says so
            return
        context = self._context
        claim = repeats.claim_of(context, key.decode(), _whole(scope, body))
        before = await asyncio.to_thread(repeats.take, context, claim)
        if before is not None:
            await _answer(before, send)
            return
        async with self._under_way(claim):
            answered: list[Message] = []
            try:
                await next_app(scope, _again(messages, receive), _collecting(answered))
            except Exception:
                await asyncio.to_thread(repeats.let_go, context, claim)
                raise
            await self._keep(claim, answered)
        for message in answered:
            await send(message)

    async def _read(self, receive: Receive) -> tuple[list[Any], bytes | None]:
        """The messages of a request, and its body if it is not too large."""
        messages: list[Any] = []
        size = 0
        while True:
            message = await receive()
            messages.append(message)
            if message["type"] != "http.request":
                return messages, b""
            size += len(message["body"])
            if size > self._largest:
                return messages, None
            if not message["more_body"]:
                return messages, b"".join(item["body"] for item in messages if item["type"] == "http.request")

    @asynccontextmanager
    async def _under_way(self, claim: Claim) -> AsyncIterator[None]:
        """Give signs of life while a request is carried out."""

        async def renew() -> None:
            while True:
                await asyncio.sleep(repeats.LEASE_SECONDS / 3)
                with suppress(SQLAlchemyError):  # where the database is away, the lease ends meanwhile
                    await asyncio.to_thread(repeats.renew, self._context, claim)

        renewing = asyncio.create_task(renew(), name="idempotency")
        try:
            yield
        finally:
            renewing.cancel()

    async def _keep(self, claim: Claim, answered: list[Message]) -> None:
        start = next((item for item in answered if item["type"] == "http.response.start"), None)
        if start is None or start["status"] >= 300:  # refused, so nothing was changed
            await asyncio.to_thread(repeats.let_go, self._context, claim)
            return
        headers = {name.lower(): value for name, value in start["headers"]}
        body: bytes | None = b"".join(item["body"] for item in answered if item["type"] == "http.response.body")
        if b"no-store" in headers.get(b"cache-control", b""):
            body = None
        kept = [(name.decode(), value.decode("latin-1")) for name, value in headers.items() if name in _KEPT_HEADERS]
        await asyncio.to_thread(repeats.keep, self._context, claim, Answer(status=start["status"], headers=kept, body=body))


def describe(document: dict[str, Any]) -> dict[str, Any]:
    """The API's description with this header at every request that may have it, and the problems that come of it."""
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    parameter = {
        "name": HEADER,
        "in": "header",
        "required": False,
        "schema": {"type": "string", "minLength": 1, "maxLength": 200, "pattern": r"^[\x21-\x7e]+$"},
        "description": "Made up by the caller: a request that comes again under its key is carried out once, and answered alike.",
    }
    for methods in document["paths"].values():
        for method, operation in methods.items():
            if method.upper() in _READING or "application/octet-stream" in operation.get("requestBody", {}).get("content", {}):
                continue
            operation.setdefault("parameters", []).append(parameter)
            for status, meaning in _MEANINGS.items():
                operation["responses"].setdefault(status, {"description": meaning, "content": problem})
    return document


_MEANINGS: Final = {
    "409": "The first request under this Idempotency-Key is under way, broke off, or its answer is not kept.",
    "422": "Another request had this Idempotency-Key before.",
}


def _whole(scope: HTTPScope, body: bytes) -> bytes:
    """Everything that a request says."""
    headers = dict(scope["headers"])
    parts = (
        scope["method"],
        scope["path"],
        scope["query_string"].decode("latin-1"),
        headers.get(b"if-match", b"").decode("latin-1"),
    )
    return msgspec.msgpack.encode((parts, body))


def _again(messages: list[Any], receive: Receive) -> Receive:
    """Give messages that were read already, then further ones."""
    waiting = list(messages)

    async def give() -> Any:  # noqa: ANN401  a message of the server's own
        return waiting.pop(0) if waiting else await receive()

    return give


def _collecting(answered: list[Message]) -> Send:
    collect: Callable[[Message], None] = answered.append

    async def take(message: Message) -> None:
        collect(message)

    return take


async def _answer(before: Answer, send: Send) -> None:
    body = before.body or b""
    headers = [(name.encode(), value.encode("latin-1")) for name, value in before.headers]
    headers += [(b"content-length", str(len(body)).encode()), (REPLAYED.encode(), b"true")]
    await send({"type": "http.response.start", "status": before.status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})

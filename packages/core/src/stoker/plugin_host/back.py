# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The way back: what a plugin's code may ask of the server while it works, and for whom."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

import msgspec
from stoker_sdk.worker.protocol import BACK, CORE_SOCKET

from stoker.domain import actor
from stoker.domain.access import AccessLevel
from stoker.domain.actor import Actor
from stoker.errors import ForbiddenError, NotFoundError, StokerError, UnauthorizedError
from stoker.plugin_host.back_http import Answered, Asked, serving

_LOG = logging.getLogger(__name__)
API: Final = "/api/"
MOST_ANSWER: Final = 32 * 1024 * 1024
"""Bytes of the API's answer to a plugin."""
API_SECONDS: Final = 60.0
_BEARER: Final = b"Bearer "
_INTERNAL: Final = 500
_GRACE: Final = 5.0

AsgiApp = Callable[[MutableMapping[str, Any], Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[None]]


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """What a call or request is about: the bounds of what its code may ask for."""

    plugin: str
    version: str
    environment_id: str | None
    """The environment that it is for; ``None``: the whole server."""
    actor: Actor
    """Who it is made for."""
    permissions: Sequence[str] = ()
    """Those of this plugin that the actor has."""
    job_id: str = ""
    """The job that it works on."""
    ends_at: float = 0
    """When its token ends in any case, in seconds since 1970; 0: with the block in which it is open."""


Operation = Callable[[Scope, bytes], Awaitable[bytes]]
"""JSON in, JSON out. Raises StokerError, which the plugin's code gets as a problem document."""


class BackChannel:
    """The ways back of all workers."""

    def __init__(self) -> None:
        """Begin with no operation and no token."""
        self._operations: dict[str, Operation] = {}
        self._open: dict[str, Scope] = {}
        self._api: AsgiApp | None = None

    def register(self, name: str, operation: Operation) -> None:
        """Let plugins' code do an operation, e.g. ``records.get``."""
        self._operations[name] = operation

    def serve_api(self, app: AsgiApp) -> None:
        """Let plugins' code use the server's API, as far as their manifests say that they need it."""
        self._api = app

    @contextmanager
    def open(self, scope: Scope) -> Iterator[str]:
        """A token for one call; it ends with the block."""
        token = secrets.token_urlsafe(24)
        self._open[token] = scope
        try:
            yield token
        finally:
            del self._open[token]

    @asynccontextmanager
    async def serving(
        self, plugin: str, version: str, folder: Path, *, api_access: str = "", user: int | None = None
    ) -> AsyncIterator[None]:
        """Answer the worker of one plugin version at its own socket, where tokens of no other one count."""

        async def answer(asked: Asked) -> Answered:
            try:
                scope = self._scope(plugin, version, asked)
                if asked.target.startswith(API):
                    return await self._ask_api(scope, asked, api_access)
                return Answered(status=200, body=await self._operate(scope, asked))
            except StokerError as error:
                return _refusal(error)
            except Exception:  # noqa: BLE001  told to the log, and without details to the plugin
                _LOG.exception("%s failed for plugin %s %s", asked.target[:100], plugin, version, extra={"plugin": plugin})
                return _refusal(StokerError("the server failed.", remedy="Its log says why."))

        async with serving(folder / CORE_SOCKET, answer, user):
            yield

    def _scope(self, plugin: str, version: str, asked: Asked) -> Scope:
        given = asked.header(b"authorization")
        scope = self._open.get(given[len(_BEARER) :].decode("latin-1")) if given.startswith(_BEARER) else None
        if scope is None or (scope.plugin, scope.version) != (plugin, version) or 0 < scope.ends_at < time.time():
            raise UnauthorizedError(
                "the call that this is asked for has ended.", remedy="Ask while a call or request is being answered."
            )
        return scope

    async def _operate(self, scope: Scope, asked: Asked) -> bytes:
        name = asked.target.removeprefix(BACK)
        operation = self._operations.get(name) if asked.method == "POST" and asked.target.startswith(BACK) else None
        if operation is None:
            raise NotFoundError(f"there is no operation {name[:80]!r} on the way back.", remedy="Use what the SDK gives.")
        actor.set_current(scope.actor)
        return await operation(scope, asked.body)

    async def _ask_api(self, scope: Scope, asked: Asked, api_access: str) -> Answered:
        if self._api is None or not api_access:
            raise ForbiddenError(
                f"plugin {scope.plugin} does not say that its code uses the server's API.",
                remedy="Its author writes api_access in the plugin.",
            )
        access = scope.actor.access.at_most(AccessLevel(api_access))
        acting = msgspec.structs.replace(scope.actor, access=access, through=scope.plugin, address=f"plugin {scope.plugin}")
        async with asyncio.timeout(API_SECONDS):
            return await asyncio.create_task(_through(self._api, acting, asked))


async def _through(app: AsgiApp, acting: Actor, asked: Asked) -> Answered:
    """One request to the API as somebody."""
    actor.set_current(acting)
    path, _, query = asked.target.partition("?")
    kept = [
        (name, value) for name, value in asked.headers if name in (b"content-type", b"accept", b"if-match", b"idempotency-key")
    ]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": asked.method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode("latin-1"),
        "root_path": "",
        "query_string": query.encode("latin-1"),
        "headers": [*kept, (b"host", b"localhost"), (b"content-length", str(len(asked.body)).encode())],
        "client": ("worker", 0),
        "server": ("localhost", 80),
    }
    status, media_type, parts, size = _INTERNAL, "application/json", [], 0
    told = False
    done = asyncio.Event()

    async def receive() -> MutableMapping[str, Any]:
        nonlocal told
        if not told:
            told = True
            return {"type": "http.request", "body": asked.body, "more_body": False}
        await done.wait()
        return {"type": "http.disconnect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        nonlocal status, media_type, size
        if message["type"] == "http.response.start":
            status = message["status"]
            media_type = next((v.decode("latin-1") for k, v in message["headers"] if k == b"content-type"), media_type)
            return
        size += len(message.get("body", b""))
        if size > MOST_ANSWER:
            raise StokerError(f"the answer has more than {MOST_ANSWER} bytes.", remedy="Ask for less at once.")
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            done.set()

    await app(scope, receive, send)
    return Answered(status=status, body=b"".join(parts), media_type=media_type)


def _refusal(error: StokerError) -> Answered:
    document = {
        **error.data,
        "type": f"urn:stoker:problem:{error.kind}",
        "title": error.kind.replace("-", " ").capitalize(),
        "status": error.status,
        "detail": error.detail,
        "remedy": error.remedy,
    }
    return Answered(status=error.status, body=msgspec.json.encode(document, enc_hook=str), media_type="application/problem+json")

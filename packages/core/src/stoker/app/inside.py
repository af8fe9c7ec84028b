# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The supervisor's own door: a Unix socket for its API processes, who say on whose behalf they ask."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import os
import socket
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import httpx
import msgspec
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from stoker.api.refusals import refuse
from stoker.app.forwarding import ACTOR_HEADER, SCHEME_HEADER
from stoker.domain import actor
from stoker.domain.actor import Actor
from stoker.errors import BadRequestError
from stoker.orchestration.feed import Feed
from stoker.plugin_host.back_http import private_socket
from stoker.telemetry.subject import set_about

FEED_PATH: Final = "/inside/feed"
"""Where API processes hear which deployments have new events."""
_LONGEST_PATH: Final = 100
"""Bytes that a Unix socket's path may have, somewhat less than the system's 107."""
_LISTENING: Final = 512
_QUIET_SECONDS: Final = 10.0


@contextmanager
def inside_socket(data_dir: Path) -> Iterator[tuple[socket.socket, Path]]:
    """Listen where only this server's user comes: in the data folder, or in a private one where its path is too long."""
    with tempfile.TemporaryDirectory(prefix="stoker-") as short:
        path = data_dir / "supervisor.sock"
        if len(os.fsencode(path)) > _LONGEST_PATH:
            path = Path(short) / "supervisor.sock"
        path.unlink(missing_ok=True)
        with private_socket(path) as made:
            made.listen(_LISTENING)
            try:
                yield made, path
            finally:
                path.unlink(missing_ok=True)


class Inside:
    """Stands before the application in place of the outer door."""

    def __init__(self, app: ASGIApp, feed: Feed) -> None:
        """Take the application, without a door, and what wakes the followers of deployments."""
        self._app = app
        self._feed = feed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Do what is asked as the one who asks."""
        if scope["type"] == ScopeType.HTTP and scope["path"] == FEED_PATH:
            await self._relay(receive, send)
        elif (known := _actor(scope)) is None:
            error = BadRequestError("nobody is named who asks.", remedy="This socket is for the server's own processes.")
            await refuse(error, scope, send)
        else:
            actor.set_current(known)
            set_about(request=known.request_id)
            if scheme := dict(scope["headers"]).get(SCHEME_HEADER.encode()):
                scope["scheme"] = scheme.decode("latin-1")
            await self._app(scope, receive, send)

    async def _relay(self, receive: Receive, send: Send) -> None:
        """A line of JSON for each group of deployments that have new events, until the API process goes."""
        waiting: asyncio.Queue[Collection[str]] = asyncio.Queue()
        gone = asyncio.ensure_future(_gone(receive))
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/jsonl")]})
        try:
            with self._feed.relayed(waiting.put_nowait):
                while not gone.done():
                    changed: Collection[str] = ()
                    with suppress(TimeoutError):
                        changed = await asyncio.wait_for(waiting.get(), _QUIET_SECONDS)
                    await send({"type": "http.response.body", "body": json.dumps([*changed]).encode() + b"\n", "more_body": True})
        finally:
            gone.cancel()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _actor(scope: Scope) -> Actor | None:
    given = dict(scope["headers"]).get(ACTOR_HEADER.encode(), b"")
    try:
        return msgspec.json.decode(base64.b64decode(given, validate=True), type=Actor)
    except (binascii.Error, msgspec.DecodeError):
        return None


async def hear(supervisor: Path, feed: Feed) -> None:
    """In an API process: wake followers as the supervisor says, for as long as it lives."""
    transport = httpx.AsyncHTTPTransport(uds=str(supervisor))
    async with httpx.AsyncClient(transport=transport, base_url="http://supervisor", timeout=3 * _QUIET_SECONDS) as client:
        while True:
            with suppress(httpx.TransportError):
                async with client.stream("GET", FEED_PATH) as answer:
                    async for line in answer.aiter_lines():
                        feed.notify(json.loads(line))
            await asyncio.sleep(0.1)

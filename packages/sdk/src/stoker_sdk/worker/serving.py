# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Serving: the HTTP side of a worker. Answers what the server asks, and passes requests to the plugin's application."""

from __future__ import annotations

import asyncio
import base64
import binascii
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import msgspec

from stoker_sdk import __version__
from stoker_sdk.context.present import set_current
from stoker_sdk.worker.application import Application, Receive, Scope, Send
from stoker_sdk.worker.calling import CallFailed, Plugin, carry_out, fault_of, present
from stoker_sdk.worker.channel import Line
from stoker_sdk.worker.protocol import (
    APPLICATION,
    CALL,
    CONTEXT_HEADER,
    HEADERS,
    HELLO,
    PROTOCOL,
    ROOT_HEADER,
    STOP,
    Call,
    CallContext,
    Fault,
    Hello,
)

CALLS_AT_ONCE: Final = 64
"""How many functions run at once; further calls wait."""


class Serving:
    """The ASGI application that a worker serves."""

    def __init__(self, plugin: Plugin, application: Application | None, core: Path, broken: Fault | None = None) -> None:
        """Take what was loaded; with ``broken``, why that was not possible."""
        self._plugin = plugin
        self._application = application
        self._broken = broken
        self._line = Line(core)
        self._threads = ThreadPoolExecutor(CALLS_AT_ONCE, thread_name_prefix="call")
        self.stop = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or the beginning and end of the application's life."""
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
        elif scope["path"].startswith(f"{APPLICATION}/") or scope["path"] == APPLICATION:
            await self._forward(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
        else:
            status, body = await self._answer(scope["method"], scope["path"], receive)
            headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._application is not None and self._application.kind == "asgi":
            await self._application.asgi(scope, receive, send)
            return
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    async def _answer(self, method: str, path: str, receive: Receive) -> tuple[int, bytes]:
        if (method, path) == ("GET", HELLO):
            return self._hello()
        body = await _read(receive)
        if (method, path) == ("POST", STOP):
            self.stop.set()
            return 200, b"null"
        if (method, path) != ("POST", CALL):
            return 404, b"null"
        try:
            call = msgspec.json.decode(body, type=Call)
            work = asyncio.get_running_loop().run_in_executor(self._threads, carry_out, call, self._plugin, self._line)
            return 200, await work
        except CallFailed as failed:
            return 500, msgspec.json.encode(failed.fault)
        except msgspec.DecodeError as error:
            return 500, msgspec.json.encode(Fault(kind="missing", message=f"the call cannot be read: {error}"))
        except Exception as error:  # noqa: BLE001  what is wrong with this SDK is told as well
            return 500, msgspec.json.encode(fault_of(error))

    def _hello(self) -> tuple[int, bytes]:
        if self._broken is not None:
            self.stop.set()
            return 500, msgspec.json.encode(self._broken)
        hello = Hello(
            protocols=[PROTOCOL],
            plugin=self._plugin.name,
            version=self._plugin.version,
            sdk=__version__,
            application=self._application.kind if self._application else "",
        )
        return 200, msgspec.json.encode(hello)

    async def _forward(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the plugin's application answer; it sees nothing of the server's own headers."""
        ours = {name: value for name, value in scope["headers"] if name.startswith(HEADERS.encode())}
        about = _context(ours.get(CONTEXT_HEADER.encode(), b""))
        if self._application is None or about is None:
            status = 404 if self._application is None else 400
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1000})
                return
            await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body", "body": b""})
            return
        root = ours.get(ROOT_HEADER.encode(), b"").decode("latin-1")
        rest, raw = scope["path"][len(APPLICATION) :], scope["raw_path"][len(APPLICATION) :]
        inner = {
            **scope,
            "scheme": _scheme(scope),
            "root_path": root,
            "path": root + rest,
            "raw_path": root.encode() + raw,
            "headers": [(name, value) for name, value in scope["headers"] if name not in ours],
        }
        context, _ = present(self._plugin, about, self._line)
        set_current(context)
        await self._application.asgi(inner, receive, send)


def _scheme(scope: Scope) -> str:
    """How the client reached the server, which says so; never what a client says."""
    scheme = str(scope["scheme"])
    secure = any(name == b"x-forwarded-proto" and value == b"https" for name, value in scope["headers"])
    return f"{scheme}s" if secure and scheme in ("http", "ws") else scheme


def _context(header: bytes) -> CallContext | None:
    try:
        return msgspec.json.decode(base64.b64decode(header, validate=True), type=CallContext)
    except (binascii.Error, msgspec.DecodeError):
        return None


async def _read(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)

# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The server of package repositories: an application of its own that reads files below one folder and can do nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
import stat
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from email.utils import formatdate, parsedate_to_datetime
from pathlib import Path
from typing import Any, Final, TypeAlias

import uvicorn

from stoker.errors import ConfigurationError
from stoker.plugin_host.back_http import private_socket

PREFIX: Final = "repositories"
_PIECE: Final = 256 * 1024
_PART: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~:@!-]*")
_PROXIED: Final = re.compile(r"https?://[^/]*")

Scope: TypeAlias = dict[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[dict[str, Any]]]
Send: TypeAlias = Callable[[dict[str, Any]], Awaitable[None]]


class RepositoryFiles:
    """The ASGI application: GET and HEAD of ``/repositories/...``, without authentication, for what it gives is signed."""

    def __init__(self, root: Path) -> None:
        """Serve what is below a folder."""
        self._root = root

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        if scope["method"] not in ("GET", "HEAD"):
            await _say(send, 405, b"Only GET and HEAD.\n", [(b"allow", b"GET, HEAD")])
            return
        file = await asyncio.to_thread(self._open, scope["path"])
        if file is None:
            await _say(send, 404, b"There is no such file.\n")
            return
        descriptor, status = file
        try:
            await _send_file(scope, send, descriptor, status)
        finally:
            os.close(descriptor)

    def _open(self, path: str) -> tuple[int, os.stat_result] | None:
        """A regular file below the root, opened; nothing that a link leads to."""
        parts = [part for part in _PROXIED.sub("", path, count=1).split("/") if part not in ("", ".")]
        if len(parts) < 2 or parts[0] != PREFIX or not all(_PART.fullmatch(part) for part in parts):
            return None
        place = self._root.joinpath(*parts[1:])
        try:
            if place.parent.resolve() != self._root.resolve().joinpath(*parts[1:-1]):
                return None
            descriptor = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return None
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(descriptor)
            return None
        return descriptor, status


async def _send_file(scope: Scope, send: Send, descriptor: int, status: os.stat_result) -> None:
    modified = formatdate(status.st_mtime, usegmt=True).encode()
    headers = [(b"last-modified", modified), (b"content-type", b"application/octet-stream")]
    if _is_known(scope, status.st_mtime):
        await send({"type": "http.response.start", "status": 304, "headers": headers})
        await send({"type": "http.response.body", "body": b""})
        return
    length = (b"content-length", str(status.st_size).encode())
    await send({"type": "http.response.start", "status": 200, "headers": [*headers, length]})
    left = status.st_size if scope["method"] == "GET" else 0
    while left > 0:
        piece = await asyncio.to_thread(os.read, descriptor, min(left, _PIECE))
        if not piece:
            return  # somebody cut it meanwhile: the client sees that it is too short
        left -= len(piece)
        await send({"type": "http.response.body", "body": piece, "more_body": left > 0})
    if not status.st_size or scope["method"] == "HEAD":
        await send({"type": "http.response.body", "body": b""})


def _is_known(scope: Scope, modified: float) -> bool:
    since = next((value for name, value in scope["headers"] if name == b"if-modified-since"), b"")
    try:
        return bool(since) and parsedate_to_datetime(since.decode("ascii")).timestamp() == int(modified)
    except (ValueError, TypeError):
        return False


async def _say(send: Send, status: int, text: bytes, headers: list[tuple[bytes, bytes]] | None = None) -> None:
    length = (b"content-length", str(len(text)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [length, *(headers or [])]})
    await send({"type": "http.response.body", "body": text})


class _Server(uvicorn.Server):
    """Leaves signals to the server that it lives in."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def serving(root: Path, path: Path, listen: str = "") -> AsyncIterator[None]:
    """Serve repositories as long as this lasts.

    Args:
        root: the folder.
        path: the Unix socket, for connections that come in through SSH.
        listen: ``HOST:PORT`` to listen on besides.

    Raises:
        ConfigurationError: one of them cannot be had.
    """
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(_unix(path))]
        if listen:
            sockets.append(stack.enter_context(_tcp(listen)))
        stack.pop_all()
    settings = uvicorn.Config(
        RepositoryFiles(root), log_config=None, access_log=False, server_header=False, lifespan="off", timeout_graceful_shutdown=1
    )
    server = _Server(settings)
    running = asyncio.create_task(server.serve(sockets=sockets), name="package repositories")
    try:
        yield
    finally:
        server.should_exit = True
        await running
        await asyncio.to_thread(path.unlink, missing_ok=True)


def _unix(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    try:
        made = private_socket(path)
    except OSError as error:
        raise ConfigurationError(
            f"the socket {path} cannot be made: {error.strerror}.", remedy="Choose another data_dir."
        ) from error
    made.listen(1024)
    made.setblocking(False)
    return made


def _tcp(listen: str) -> socket.socket:
    host, separator, port = listen.rpartition(":")
    if not separator or not port.isdecimal():
        raise ConfigurationError(f"repository_listen: {listen!r} is not HOST:PORT.", remedy="Write e.g. 0.0.0.0:8551.")
    try:
        made = socket.create_server(
            (host.strip("[]"), int(port)), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=1024
        )
    except (OSError, OverflowError) as error:
        raise ConfigurationError(
            f"repository_listen: the server cannot listen on {listen}: {error}.", remedy="Choose another address or port."
        ) from error
    made.setblocking(False)
    return made

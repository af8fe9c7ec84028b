# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""An API process: answers requests, does no background work, and ends with its supervisor."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec
import uvicorn
from litestar import Litestar

from stoker.app.composition import Lifespan, build_api_context, build_app, open_vault
from stoker.app.forwarding import Forwarding
from stoker.app.inside import hear
from stoker.app.public_settings import public_settings
from stoker.config import ServerConfig
from stoker.orchestration.feed import Feed
from stoker.services.change_feed import ChangeFeed
from stoker.telemetry import logs
from stoker.telemetry.metrics import METRICS

_LOG = logging.getLogger("stoker.app")
READY: Final = b"ready"
"""What an API process says to its supervisor as soon as it answers."""


class Post(msgspec.Struct, frozen=True, kw_only=True):
    """What an API process is told beside the configuration."""

    listening: list[int]
    """File descriptors of the sockets that clients connect to."""
    link: int
    """The file descriptor of a socket to the supervisor: it ends with it."""
    supervisor: str
    """The path of the supervisor's socket."""
    certificate: str = ""
    key: str = ""
    metrics: str = ""
    """The folder in which all processes count."""


class _Server(uvicorn.Server):
    """Tells the supervisor as soon as it answers."""

    link: socket.socket
    changes: ChangeFeed

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self.link.sendall(READY)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.changes.close()
        await super().shutdown(sockets)


def answer(config: ServerConfig, post: Post) -> None:
    """Answer requests until the supervisor says stop, or is gone."""
    link = socket.socket(fileno=post.link)
    _end_with_the_supervisor(link)
    vault = open_vault(config)
    logs.set_up(config.log_format, config.log_level, vault.redact)
    METRICS.share_through(Path(post.metrics))
    context = build_api_context(config, vault)
    supervisor = Path(post.supervisor)
    app = build_app(
        context, middleware=[Forwarding(supervisor)], lifespan=[_hearing(supervisor, context.feed)], supervisor=supervisor
    )
    certificate, key = (Path(path) if path else None for path in (post.certificate, post.key))
    server = _Server(public_settings(app, config, certificate, key))
    server.link = link
    server.changes = context.changes
    server.run(sockets=[socket.socket(fileno=number) for number in post.listening])


def _hearing(supervisor: Path, feed: Feed) -> Lifespan:
    @asynccontextmanager
    async def run(_app: Litestar) -> AsyncIterator[None]:
        hearing = asyncio.create_task(hear(supervisor, feed), name="the supervisor's feed")
        try:
            yield
        finally:
            hearing.cancel()

    return run


def _end_with_the_supervisor(link: socket.socket) -> None:
    """End when it does, on systems, too, that do not see to it themselves."""

    def watch() -> None:
        with suppress(OSError):
            while link.recv(64):
                pass
        os._exit(1)

    threading.Thread(target=watch, name="supervisor", daemon=True).start()

# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Requests as they are seen from outside the application: an id for each, a line in the log, and the figures."""

from __future__ import annotations

import logging
import re
import secrets
from time import perf_counter
from typing import Final

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from stoker.telemetry.metrics import METRICS
from stoker.telemetry.subject import set_about

_LOG = logging.getLogger("stoker.access")
REQUEST_ID: Final = "x-request-id"
"""The header with a request's id: taken from the client if it fits, else made; always in the answer."""

_FITS: Final = re.compile(rb"[A-Za-z0-9._:-]{1,64}")
_READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_METHODS: Final = _READS | {"POST", "PUT", "PATCH", "DELETE"}
_STREAM: Final = b"text/event-stream"
_CLIENT_ERROR: Final = 400


class Observed:
    """Stands before everything else, so that refused requests are seen, too."""

    def __init__(self, app: ASGIApp) -> None:
        """Take the application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request on and note what became of it."""
        if scope["type"] != ScopeType.HTTP:
            if scope["type"] == ScopeType.WEBSOCKET:
                set_about(request=secrets.token_hex(8))
            await self._app(scope, receive, send)
            return
        request_id = _given(scope) or secrets.token_hex(8)
        set_about(request=request_id)
        status, stream = 500, False
        begun = perf_counter()

        async def sending(message: Message) -> None:
            nonlocal status, stream
            if message["type"] == "http.response.start":
                headers = list(message["headers"])
                status = message["status"]
                stream = any(name.lower() == b"content-type" and value.startswith(_STREAM) for name, value in headers)
                message["headers"] = [*headers, (REQUEST_ID.encode(), request_id.encode())]
            await send(message)

        try:
            await self._app(scope, receive, sending)
        finally:
            _note(scope, status, perf_counter() - begun, stream=stream)


def _given(scope: HTTPScope) -> str:
    """The id that the client gave, if it is one that may stand in a log."""
    found = next((value for name, value in scope["headers"] if name == REQUEST_ID.encode()), b"")
    return found.decode() if _FITS.fullmatch(found) else ""


def _note(scope: HTTPScope, status: int, seconds: float, *, stream: bool) -> None:
    # the template, never the path: a name for each node would be a series for each node
    route = str(scope.get("path_template") or "(none)")
    method = str(scope["method"]) if scope["method"] in _METHODS else "(other)"
    METRICS.requests.labels(method, route, str(status)).inc()
    if not stream:
        METRICS.request_seconds.labels(method, route).observe(seconds)
    level = logging.DEBUG if method in _READS and status < _CLIENT_ERROR else logging.INFO
    if _LOG.isEnabledFor(level):
        # without the query: it may hold what is no business of a log
        _LOG.log(
            level,
            "%s %s %d in %.1f ms",
            scope["method"],
            scope["path"],
            status,
            seconds * 1000,
            extra={"method": scope["method"], "path": scope["path"], "status": status, "milliseconds": round(seconds * 1000, 1)},
        )

# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Refusals before the application: a problem for a request, and for a WebSocket that is not opened."""

from __future__ import annotations

from typing import Any, Final, cast

from litestar.enums import ScopeType
from litestar.types import Scope, Send
from sqlalchemy.exc import SQLAlchemyError

from stoker.api.problems import MEDIA_TYPE, headers_of, of_database, of_error, of_mistake, problem_bytes
from stoker.errors import StokerError

WEBSOCKET: Final = "WEBSOCKET"
"""What a WebSocket is called where there would be a method."""
_REFUSED: Final = 1008
_LONGEST_REASON: Final = 120


def method_of(scope: Scope) -> str:
    """The method of a request, or ``WEBSOCKET``."""
    return str(scope["method"]) if scope["type"] == ScopeType.HTTP else WEBSOCKET


async def refuse(error: Exception, scope: Scope, send: Send) -> None:
    """Answer with the problem that an error means; what is none of ours is a mistake, which the log tells."""
    told = of_database(error) if isinstance(error, SQLAlchemyError) else error
    if isinstance(told, StokerError):
        problem, extra = of_error(told)
        more = headers_of(told)
    else:
        problem, extra = of_mistake(method_of(scope), scope["path"], error)
        more = {}
    body = problem_bytes(problem, extra)
    headers = [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", str(len(body)).encode()), (b"connection", b"close")]
    headers += [(name.lower().encode(), value.encode()) for name, value in more.items()]
    kind = "http.response" if scope["type"] == ScopeType.HTTP else "websocket.http.response"
    if kind.startswith("websocket") and "websocket.http.response" not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close", "code": _REFUSED, "reason": problem.detail[:_LONGEST_REASON]})
        return
    await send(cast("Any", {"type": f"{kind}.start", "status": problem.status, "headers": headers}))
    await send(cast("Any", {"type": f"{kind}.body", "body": body, "more_body": False}))

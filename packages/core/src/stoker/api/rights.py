# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Rights: the access level that each route needs, said in its ``opt`` and checked before it is called."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any, Final, Literal

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler

from stoker.domain import actor
from stoker.domain.access import AccessLevel
from stoker.errors import ForbiddenError
from stoker.services.context import ServerContext
from stoker.services.environments import name_of_environment

READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
ADMIN: Final[Mapping[str, object]] = {"access": AccessLevel.ADMIN}
"""``opt`` of a route for admins alone: what decides who gets root on nodes, or who may come in."""
OPERATOR: Final[Mapping[str, object]] = {"access": AccessLevel.OPERATOR}
"""``opt`` of a reading route that viewers may not use; changing routes need this level anyway."""
OWN: Final[Mapping[str, object]] = {"access": AccessLevel.VIEWER, "own": True}
"""``opt`` of a route about the caller's own session, tokens or password; the service refuses other people's."""
PERMITTED: Final[Mapping[str, object]] = {"access": AccessLevel.VIEWER}
"""``opt`` of a changing route for whoever has a plugin's permission, which may begin at any level; the service refuses others."""
OPEN: Final[Mapping[str, object]] = {"access": "open"}
"""``opt`` of a route that needs no token; the door must know it, too."""

LOOK_AGAIN_SECONDS: Final = 5.0
"""How often it is looked whether a stream's reader still may."""

Level = AccessLevel | Literal["open"]


def level_of(handler: BaseRouteHandler) -> Level:
    """The access level that a route needs: said, else viewer to read and operator to change."""
    said = handler.opt.get("access")
    if said == "open":
        return "open"
    if said is not None:
        return AccessLevel(said)
    methods = handler.http_methods if isinstance(handler, HTTPRouteHandler) else set()
    return AccessLevel.VIEWER if methods and methods <= READING else AccessLevel.OPERATOR


def guard(context: ServerContext) -> Callable[[ASGIConnection[Any, Any, Any, Any], BaseRouteHandler], Awaitable[None]]:
    """What the application asks before each route."""

    async def check(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
        level = level_of(handler)
        who = actor.current()
        method = connection.scope.get("method", "")
        if who.through and method not in READING and (level == "open" or handler.opt.get("own")):
            raise ForbiddenError(  # what it made would last longer than its call, and a session have all rights of the caller
                f"plugin {who.through}: {method} {connection.url.path} is about who is let in, which no plugin decides.",
                remedy="Ask for what the plugin needs by itself; tokens and sessions are made by people.",
            )
        if level == "open":
            return
        if not who.access.covers(level):
            raise ForbiddenError(
                f"{who.name}{f' with token {who.token!r}' if who.token else ''} has access {who.access.value}; "
                f"{method} {connection.url.path} needs {level.value}.",
                remedy=f"Use a token with access {level.value}, or ask an admin for one.",
                access=who.access.value,
                needs=level.value,
            )
        if who.environments is not None and method not in READING and not handler.opt.get("own"):
            await asyncio.to_thread(_refuse_other_environments, context, connection.path_params, who)

    return check


async def while_allowed(context: ServerContext, pieces: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """A stream's pieces, until who asked for it would not be let in any more; then the client asks anew, and is told."""
    who, looked = actor.current(), time.monotonic()
    async with aclosing(pieces):
        async for piece in pieces:
            if time.monotonic() - looked >= LOOK_AGAIN_SECONDS:
                if not await asyncio.to_thread(context.identities.stands, who):
                    return
                looked = time.monotonic()
            yield piece


def _refuse_other_environments(context: ServerContext, parameters: Mapping[str, object], who: actor.Actor) -> None:
    """A token that is limited to environments changes these, and nothing that belongs to none."""
    name = name_of_environment(context, {key: str(value) for key, value in parameters.items()})
    if name is None or name not in (who.environments or ()):
        names = ", ".join(sorted(who.environments or ())) or "no environment"
        what = "nothing that belongs to no environment" if name is None else f"not environment {name}"
        raise ForbiddenError(f"token {who.token!r} may change {names} alone, and {what}.", remedy="Use another token.")

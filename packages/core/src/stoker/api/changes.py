# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Live changes of everything: nodes, environments, plugins, plans in the making, deployments, jobs; taken up again anywhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from litestar import Router, get
from litestar.di import NamedDependency
from litestar.params import FromQuery, HeaderParameter, QueryParameter
from litestar.response import Stream
from sqlalchemy import Row, select

from stoker.api.events import HEARTBEAT_SECONDS
from stoker.api.openapi import problems
from stoker.api.rights import while_allowed
from stoker.db import changes
from stoker.db.environments import find_environment
from stoker.db.tables import environments
from stoker.services.context import ServerContext

Kind: TypeAlias = Literal["node", "environment", "plugin", "plan", "deployment", "job"]
_BATCH = 1000


@get("/events", media_type="text/event-stream", responses=problems(404))
async def follow_changes(
    context: NamedDependency[ServerContext],
    environment: FromQuery[str] = "",
    kinds: Annotated[
        list[Kind] | None, QueryParameter(name="kind", description="Of these kinds only; may be given several times.")
    ] = None,
    last_event_id: Annotated[
        int | None,
        HeaderParameter(
            name="Last-Event-ID", ge=0, le=2**63 - 1, description="The last change that is known; none: from now on."
        ),
    ] = None,
) -> Stream:
    """Changes as they happen; a ``gap`` comes first if some that were not seen are no longer kept."""
    home, last, gap = await asyncio.to_thread(_begin, context, environment, last_event_id)
    stream = while_allowed(context, _stream(context, home, tuple(kinds or ()), last, gap=gap))
    return Stream(stream, media_type="text/event-stream", headers={"Cache-Control": "no-store"})


def _begin(context: ServerContext, environment: str, last: int | None) -> tuple[str, int, bool]:
    """The environment's id, after which change to begin, and whether some are missing."""
    with context.database.read() as connection:
        home = str(find_environment(connection, environment).id) if environment else ""
        newest = changes.newest(connection)
        if last is None:
            return home, newest, False
        if last > newest:  # of another database, e.g. before a backup was restored
            return home, newest, True
        oldest = changes.oldest(connection)
        return home, last, bool(last) and oldest > last + 1


def _read(context: ServerContext, home: str, kinds: tuple[str, ...], last: int) -> tuple[int, list[Row[Any]], dict[str, str]]:
    """The newest change of all, those that are wanted, and the names of environments."""
    with context.database.read() as connection:
        newest = changes.newest(connection)
        rows = changes.changes_after(connection, last, kinds=kinds, environment_id=home, limit=_BATCH)
        wanted = {row.environment_id for row in rows} - {""}
        query = select(environments.c.id, environments.c.name).where(environments.c.id.in_(wanted))
        names = {row.id: row.name for row in connection.execute(query)} if wanted else {}
    return newest, rows, names


async def _stream(
    context: ServerContext, home: str, kinds: tuple[str, ...], last: int, *, gap: bool
) -> AsyncGenerator[bytes, None]:
    if gap:
        yield f'id: {last}\nevent: gap\ndata: {{"kind":"gap","id":{last}}}\n\n'.encode()
    else:
        yield _place(last)
    with context.changes.follow() as changed:
        while not context.changes.closed:
            changed.clear()
            newest, rows, names = await asyncio.to_thread(_read, context, home, kinds, last)
            if rows:
                last = int(rows[-1].id)
                yield b"".join(_event(row, names) for row in rows)
            if len(rows) == _BATCH:
                continue
            last = max(last, newest)  # what was not wanted need not be looked at again
            try:
                await asyncio.wait_for(changed.wait(), HEARTBEAT_SECONDS)
            except TimeoutError:
                yield _place(last)


def _place(last: int) -> bytes:
    """A sign of life, and how far the stream is: who comes back from here misses nothing."""
    return f": here\nid: {last}\n\n".encode()


def _event(row: Row[Any], names: dict[str, str]) -> bytes:
    fields: dict[str, object] = {}
    with suppress(msgspec.DecodeError):
        fields = msgspec.json.decode(row.data, type=dict[str, object])
    fields.pop("v", None)
    fields |= {
        "id": row.id,
        "at": row.at,
        "kind": row.kind,
        "action": row.action,
        "object": row.object,
        "object_id": row.object_id,
        "environment": names.get(row.environment_id, ""),
        "environment_id": row.environment_id,
    }
    return f"id: {row.id}\nevent: {row.kind}\ndata: {msgspec.json.encode(fields).decode()}\n\n".encode()


router = Router(path="/api", route_handlers=[follow_changes], tags=["events"])

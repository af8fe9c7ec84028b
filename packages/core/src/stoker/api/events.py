# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Live events: a deployment's history as server-sent events that can be taken up again anywhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Annotated

import msgspec
from litestar import Router, get
from litestar.di import NamedDependency
from litestar.params import FromPath, HeaderParameter
from litestar.response import Stream
from sqlalchemy import Row

from stoker.api.openapi import problems
from stoker.api.rights import while_allowed
from stoker.db import deployments
from stoker.services.context import ServerContext

HEARTBEAT_SECONDS = 10.0
_BATCH = 1000


@get("/deployments/{deployment:str}/events", media_type="text/event-stream", responses=problems(404))
async def follow_events(
    context: NamedDependency[ServerContext],
    deployment: FromPath[str],
    last_event_id: Annotated[int, HeaderParameter(name="Last-Event-ID", ge=0, le=2**63 - 1)] = 0,
) -> Stream:
    """Events after ``Last-Event-ID``; the stream ends after the event with which the deployment ends."""
    await asyncio.to_thread(_state, context, deployment)
    return Stream(
        while_allowed(context, _stream(context, deployment, last_event_id)),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store"},
    )


def _state(context: ServerContext, deployment: str) -> str:
    with context.database.read() as connection:
        return str(deployments.find_deployment(connection, deployment).state)


def _read(context: ServerContext, deployment: str, last: int) -> tuple[list[Row[tuple[object, ...]]], bool]:
    with context.database.read() as connection:
        ended = deployments.find_deployment(connection, deployment).state not in deployments.UNFINISHED
        return deployments.events_after(connection, deployment, last, limit=_BATCH), ended


async def _stream(context: ServerContext, deployment: str, last: int) -> AsyncGenerator[bytes, None]:
    with context.feed.listen(deployment) as changed:
        while True:
            changed.clear()
            rows, ended = await asyncio.to_thread(_read, context, deployment, last)
            for row in rows:
                last = int(str(row.id))
            if rows:
                yield b"".join(_event(row) for row in rows)
            if ended and len(rows) < _BATCH:
                return
            if not rows:
                yield b": here\n\n"
                with suppress(TimeoutError):
                    await asyncio.wait_for(changed.wait(), HEARTBEAT_SECONDS)


def _event(row: Row[tuple[object, ...]]) -> bytes:
    fields = msgspec.json.decode(str(row.data), type=dict[str, object])
    fields |= {"id": row.id, "kind": row.kind, "node": row.node, "task": row.task, "attempt": row.attempt, "at": row.at}
    return f"id: {row.id}\nevent: {row.kind}\ndata: {msgspec.json.encode(fields).decode()}\n\n".encode()


router = Router(path="/api", route_handlers=[follow_events], tags=["deployments"])

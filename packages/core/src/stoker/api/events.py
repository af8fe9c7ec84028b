# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Live events: server-sent events straight from the rows of a deployment's history."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Annotated

import msgspec
from litestar import Router, get
from litestar.params import Parameter
from litestar.response import Stream

from stoker.orchestration.orchestrator import Orchestrator
from stoker.services import deployments
from stoker.services.context import ServerContext

HEARTBEAT_SECONDS = 15.0
LOOK_SECONDS = 1.0


@get("/deployments/{deployment:str}/events")
async def stream_events(
    context: ServerContext,
    deployment: str,
    last_event_id: Annotated[str | None, Parameter(header="Last-Event-ID")] = None,
) -> Stream:
    """Follow a deployment to its end; ``Last-Event-ID`` goes on after an event that was seen."""
    await asyncio.to_thread(deployments.has_ended, context, deployment)
    last = int(last_event_id) if last_event_id and last_event_id.isdecimal() else 0
    return Stream(_events(context, deployment, last), media_type="text/event-stream", headers={"Cache-Control": "no-store"})


async def _events(context: ServerContext, deployment: str, last: int) -> AsyncIterator[bytes]:
    said = time.monotonic()
    yield b": follows\n\n"
    while True:
        # Look at the state first: what ended it is then among the rows that are read after.
        ended = await asyncio.to_thread(deployments.has_ended, context, deployment)
        events = await asyncio.to_thread(deployments.events, context, deployment, last)
        for event in events:
            last = int(str(event["id"]))
            data = msgspec.json.encode(event)
            yield b"id: %d\nevent: %s\ndata: %s\n\n" % (last, str(event["kind"]).encode(), data)
            said = time.monotonic()
        if events:
            continue
        if ended:
            return
        if time.monotonic() - said > HEARTBEAT_SECONDS:
            yield b": still here\n\n"
            said = time.monotonic()
        await _wait(context, deployment)


async def _wait(context: ServerContext, deployment: str) -> None:
    """Until there may be new rows; another process may write them, so look again anyway."""
    if isinstance(context.orchestrator, Orchestrator):
        await context.orchestrator.feed.wait(deployment, LOOK_SECONDS)
    else:
        await asyncio.sleep(LOOK_SECONDS)


router = Router("/api", route_handlers=[stream_events], tags=["deployments"])

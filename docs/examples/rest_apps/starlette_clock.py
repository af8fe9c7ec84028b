import asyncio
import time
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket
from stoker_sdk import Plugin, RESTAPIPlugin, code
from stoker_sdk.context import current
from stoker_sdk.extension_points import rest_api


async def now(request: Request) -> JSONResponse:
    here = current().environment
    return JSONResponse({"time": time.time(), "environment": here.name if here else None})


async def ticks(request: Request) -> StreamingResponse:
    async def events() -> AsyncIterator[str]:
        for number in range(3):
            yield f"id: {number}\ndata: {time.time()}\n\n"
            await asyncio.sleep(0.1)

    return StreamingResponse(events(), media_type="text/event-stream")


async def talk(websocket: WebSocket) -> None:
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(f"{time.time()} {text}")


async def description(request: Request) -> JSONResponse:
    answers = {"200": {"description": "The time."}}
    paths = {"/now": {"get": {"summary": "What time it is.", "responses": answers}}}
    return JSONResponse({"openapi": "3.1.0", "info": {"title": "Clock", "version": "1"}, "paths": paths})


class Clock(RESTAPIPlugin):
    application = Starlette(
        routes=[
            Route("/now", now),
            Route("/ticks", ticks),
            WebSocketRoute("/talk", talk),
            Route("/openapi.json", description),
        ]
    )


plugin = Plugin(
    name="starlette-clock",
    version="1.0.0",
    title="A clock, with Starlette",
    contributions=[rest_api.RestApi(call=code(Clock), openapi="/openapi.json")],
)

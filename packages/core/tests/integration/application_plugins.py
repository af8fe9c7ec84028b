# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Plugins whose applications do what tests ask of them: tell what they see, answer badly, stream, and speak WebSocket."""

from __future__ import annotations

from pathlib import Path

import code_plugins

PROBE = """
import asyncio
import hashlib
import json
import os
import time
from urllib.parse import parse_qsl

from stoker_sdk.context import current


async def answer(send, body, status=200, headers=()):
    if not isinstance(body, bytes):
        body, headers = json.dumps(body).encode(), [(b"content-type", b"application/json"), *headers]
    await send({"type": "http.response.start", "status": status, "headers": [*headers]})
    await send({"type": "http.response.body", "body": body})


async def read(receive):
    digest, size = hashlib.sha256(), 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None, size
        digest.update(message.get("body", b""))
        size += len(message.get("body", b""))
        if not message.get("more_body"):
            return digest.hexdigest(), size


def about(scope):
    now = current()
    return {
        "version": VERSION,
        "pid": os.getpid(),
        "scheme": scope["scheme"],
        "method": scope.get("method", "WEBSOCKET"),
        "path": scope["path"],
        "root_path": scope["root_path"],
        "query": scope["query_string"].decode(),
        "headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]],
        "caller": [now.caller.kind, now.caller.name, now.caller.access, list(now.caller.permissions)],
        "environment": now.environment.name if now.environment else None,
        "settings": dict(now.settings),
    }


async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    path = scope["path"][len(scope["root_path"]):]
    query = dict(parse_qsl(scope["query_string"].decode(), keep_blank_values=True))
    if scope["type"] == "websocket":
        await socket(scope, receive, send, path)
    elif path == "/with":
        body, status = query.pop("body", "").encode(), int(query.pop("status", 200))
        await answer(send, body, status, [(name.encode(), value.encode()) for name, value in query.items()])
    elif path == "/up":
        digest, size = await read(receive)
        await answer(send, [digest, size])
    elif path == "/down":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/octet-stream")]})
        for number in range(int(query["pieces"])):
            await send({"type": "http.response.body", "body": bytes([number % 256]) * 65536, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    elif path == "/events":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        for number in range(int(query.get("times", 10**6))):
            await send({"type": "http.response.body", "body": f"data: {VERSION} {number}\\n\\n".encode(), "more_body": True})
            await asyncio.sleep(0.01)
        await send({"type": "http.response.body", "body": b""})
    elif path == "/slow":
        await asyncio.sleep(float(query["seconds"]))
        await answer(send, about(scope))
    elif path == "/until-left":
        while (await receive())["type"] != "http.disconnect":
            pass
        open("/tmp/left", "w").close()
    elif path == "/has-left":
        await answer(send, os.path.exists("/tmp/left"))
    elif path == "/exit":
        os._exit(3)
    elif path == "/exit-midway":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        await asyncio.sleep(0.1)
        os._exit(3)
    elif path == "/block":
        time.sleep(1000)
    elif path == "/raise":
        raise RuntimeError("the application made a mistake")
    elif path == "/openapi.json":
        await answer(send, OPENAPI)
    else:
        await answer(send, about(scope))


async def socket(scope, receive, send, path):
    await receive()
    if path == "/refused":
        await send({"type": "websocket.close"})
        return
    protocols = scope["subprotocols"]
    chosen = protocols[-1] if protocols else None
    await send({"type": "websocket.accept", "subprotocol": chosen, "headers": [(b"set-cookie", b"a=b")]})
    await send({"type": "websocket.send", "text": json.dumps(about(scope))})
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            return
        if message.get("text") == "close":
            await send({"type": "websocket.close", "code": 4321, "reason": "as you wish"})
            return
        if message.get("text") == "exit":
            os._exit(3)
        kind = "text" if message.get("text") is not None else "bytes"
        await send({"type": "websocket.send", kind: message[kind]})


class Probe(RESTAPIPlugin):
    application = staticmethod(application)
"""
OPENAPI = {
    "openapi": "3.1.0",
    "info": {"title": "Probe", "version": "1"},
    "paths": {
        "/things/{id}": {
            "get": {
                "operationId": "thing",
                "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}],
                "responses": {
                    "200": {
                        "description": "One.",
                        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}},
                    }
                },
            }
        }
    },
    "components": {"schemas": {"Thing": {"type": "object", "properties": {"id": {"type": "string"}}}}},
}
CONTRIBUTIONS = (
    'permissions.Permission(name="paint", title="Paint things", access="admin")',
    'permissions.Permission(name="look", title="Look at things", access="viewer")',
    'settings.Settings(json_schema={"type": "object", "properties": {"colour": {"type": "string", "default": "red"}}})',
    """rest_api.RestApi(
        call=code(Probe), openapi="/openapi.json", timeout=3,
        routes=[rest_api.Route(path="/paint", permission="paint"), rest_api.Route(path="/paint/look", permission="look"),
                rest_api.Route(path="/ask", methods=["POST"], permission="look")],
    )""",
)


def probe(folder: Path, version: str = "1.0.0", name: str = "probe", openapi: object = OPENAPI) -> Path:
    """The bundle of a plugin with the application that tells what it sees."""
    source = f"VERSION = {version!r}\nOPENAPI = {openapi!r}\n{PROBE}"
    return code_plugins.build(folder, name, version, source=source, contributions=CONTRIBUTIONS)

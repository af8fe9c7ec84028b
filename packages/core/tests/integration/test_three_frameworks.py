# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The manual's three applications, built and installed as their authors would: Flask, Starlette, and nothing but WSGI."""

from __future__ import annotations

import time
from pathlib import Path

import code_plugins
import httpx
import pytest
from stoker_sdk.source import build_bundle
from websockets.sync.client import connect

EXAMPLES = Path(__file__).parents[4] / "docs" / "examples" / "rest_apps"
NEEDS = {"flask-notes": "flask", "starlette-clock": "starlette", "bare-echo": ""}


@pytest.fixture(scope="module")
def server(tmp_path_factory, running_server_class):
    folder = tmp_path_factory.mktemp("frameworks")
    made = running_server_class(folder / "data")
    made.start()
    try:
        with made.client() as admin:
            for name, framework in NEEDS.items():
                needs = ["stoker-sdk", *([framework] if framework else [])]
                project = code_plugins.write(folder, name, dependencies=needs)
                (module,) = project.glob("src/*/__init__.py")
                module.write_text((EXAMPLES / f"{name.replace('-', '_')}.py").read_text())
                installed = admin.post("/api/plugins", content=build_bundle(project, folder).read_bytes())
                assert installed.status_code == 201, installed.text
            assert admin.post("/api/environments", json={"name": "prod"}).is_success
            assert admin.put("/api/environments/prod/plugins/starlette-clock", json={}).is_success
            yield admin, made.port
    finally:
        made.kill()


def test_flask(server) -> None:
    admin, port = server
    notes = "/api/plugins/flask-notes/notes"
    assert admin.get(notes).json() == {"notes": [], "for_whom": "server", "here": notes}
    assert admin.post(notes, json={"text": "one"}).json() == {"notes": ["one"]}
    assert admin.post(notes, content=b"two").status_code == 415
    made = admin.post("/api/tokens", json={"name": "reader", "access": "viewer"}).json()["token"]
    headers = {"Authorization": f"Bearer {made}"}
    assert httpx.post(f"http://127.0.0.1:{port}{notes}", json={"text": "no"}, headers=headers).status_code == 403
    assert httpx.get(f"http://127.0.0.1:{port}{notes}", headers=headers).json()["notes"] == ["one"]


def test_starlette(server) -> None:
    admin, port = server
    assert admin.get("/api/plugins/starlette-clock/now").json()["environment"] is None
    assert admin.get("/api/environments/prod/plugins/starlette-clock/now").json()["environment"] == "prod"
    ticks = admin.get("/api/plugins/starlette-clock/ticks")
    assert ticks.headers["content-type"].startswith("text/event-stream")
    assert ticks.text.count("data: ") == 3
    headers = {"Authorization": admin.headers["authorization"]}
    with connect(f"ws://127.0.0.1:{port}/api/plugins/starlette-clock/talk", additional_headers=headers, proxy=None) as talk:
        talk.send("hello")
        assert str(talk.recv(10)).endswith(" hello")
    end = time.monotonic() + 30
    while "/api/plugins/starlette-clock/now" not in admin.get("/api/openapi.json").json()["paths"]:
        assert time.monotonic() < end
        time.sleep(0.2)


def test_bare_wsgi(server) -> None:
    admin, _ = server
    told = admin.post("/api/plugins/bare-echo/a/b%20c", content=b"x" * 10).json()
    assert told == {"path": "/a/b c", "below": "/api/plugins/bare-echo", "access": "admin", "body": "x" * 10}

# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Versions of plugins come and go under load: no request is lost, and none is answered by the wrong one."""

from __future__ import annotations

import asyncio
import json
import threading
import time

import httpx
import pytest
from application_plugins import probe
from hot_load import NONE, HotLoad, whole_life
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundles")
    return {version: probe(folder, version).read_bytes() for version in ("1.0.0", "2.0.0")}


@pytest.mark.databases("sqlite", "postgresql")
def test_no_request_is_lost_or_answered_wrongly(start_server, database_url, bundles) -> None:
    server = start_server(processes=2, database=database_url, plugin_drain_seconds=5)
    with server.client() as admin:
        assert admin.post("/api/environments", json={"name": "prod"}).is_success
        load = HotLoad(f"http://127.0.0.1:{server.port}", admin.headers["authorization"].split()[1], at_once=8)
        asyncio.run(load.run(lambda made: whole_life(made, admin, bundles, pause=30)))
        gone = admin.get("/api/plugins/probe/")
    assert not load.wrong, (load.wrong[:5], load.counts)
    assert set(load.counts) == {NONE, "1.0.0", "2.0.0"}
    assert len(load.answers) > 350
    assert (gone.status_code, gone.json()["type"]) == (404, "urn:stoker:problem:plugin-gone")
    assert "uninstalled" in gone.json()["detail"]


def test_what_began_before_a_change_ends_and_streams_are_told_to_come_again(start_server, bundles) -> None:
    server = start_server(plugin_drain_seconds=1.2)
    url = f"127.0.0.1:{server.port}/api/plugins/probe"
    with server.client() as admin:
        assert admin.post("/api/plugins", content=bundles["1.0.0"]).is_success
        assert admin.put("/api/plugin-defaults/probe", json={"version": "1.0.0"}).is_success
        assert admin.post("/api/plugins", content=bundles["2.0.0"]).is_success
        assert admin.get("/api/plugins/probe/").json()["version"] == "1.0.0"
        headers = {"Authorization": admin.headers["authorization"]}
        answers: dict[str, object] = {}

        def slow(name: str, seconds: float) -> None:
            try:
                answers[name] = httpx.get(f"http://{url}/slow?seconds={seconds}", headers=headers, timeout=20)
            except httpx.HTTPError as error:
                answers[name] = error

        def events() -> None:
            with httpx.stream("GET", f"http://{url}/events", headers=headers, timeout=20) as stream:
                answers["events"] = list(stream.iter_lines())
                answers["events ended"] = time.monotonic()

        async def websocket() -> None:
            async with connect(f"ws://{url}/ws", additional_headers=headers, proxy=None) as made:
                assert json.loads(await made.recv())["version"] == "1.0.0"
                try:
                    await made.recv()
                except ConnectionClosed as closed:
                    answers["websocket"] = (closed.rcvd.code, closed.rcvd.reason)
                    answers["websocket ended"] = time.monotonic()

        threads = [
            threading.Thread(target=slow, args=("within", 1.0)),
            threading.Thread(target=slow, args=("beyond", 2.9)),
            threading.Thread(target=events),
            threading.Thread(target=lambda: asyncio.run(websocket())),
        ]
        for thread in threads:
            thread.start()
        time.sleep(0.4)
        assert admin.put("/api/plugin-defaults/probe", json={"version": "2.0.0"}).is_success
        switched = time.monotonic()
        assert admin.get("/api/plugins/probe/").json()["version"] == "2.0.0"
        for thread in threads:
            thread.join(20)
    assert answers["within"].json()["version"] == "1.0.0"
    assert answers["beyond"].status_code == 502
    assert answers["beyond"].json()["detail"].endswith("no longer in use here, 2.0.0 is.")
    assert answers["events"][-2].startswith("data: 1.0.0 ")
    assert answers["events ended"] - switched < 1
    code, reason = answers["websocket"]
    assert code == 1012
    assert "connect again" in reason
    assert answers["websocket ended"] - switched < 1

# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Several processes are one server: whoever of them is killed, nothing is lost, repeated or refused for long."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from pathlib import Path

import httpx
import pytest
from simulation import Simulation, until
from stoker.app import build_app
from stoker.app.forwarding import ACTOR_HEADER, is_forwarded
from stoker.client import FINAL_STATES
from stoker.errors import StokerError
from stoker_sdk.extension_points import tasks

API_PROCESSES = 2


def children(pid):
    """The processes that answer."""
    found = [child for task in Path(f"/proc/{pid}/task").glob("*/children") for child in task.read_text().split()]
    return [int(child) for child in found if "--api-process" in Path(f"/proc/{child}/cmdline").read_text()]


def lives(pid):
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@pytest.fixture
def several(tmp_path, running_server_class, database_url):
    made = Simulation(running_server_class(tmp_path / "data", database=database_url, processes=API_PROCESSES), tmp_path)
    try:
        yield made.start()
    finally:
        made.end()


def chain(name, steps):
    made = [tasks.Shell(id="t0", roles=[name], run=f"{name}-t0")]
    return made + [
        tasks.Shell(id=f"t{number}", roles=[name], run=f"{name}-t{number}", after=[f"t{number - 1}"])
        for number in range(1, steps)
    ]


def end_of(simulation, deployment):
    """Wait for a deployment's end, whatever becomes of single requests."""

    def ended():
        with contextlib.suppress(StokerError):
            found = simulation.client.deployment(deployment["id"])
            return found if found["state"] in FINAL_STATES else None

    return until(ended, "the end", 60)


@pytest.mark.databases("sqlite", "postgresql")
def test_whoever_is_killed_nothing_is_lost_or_repeated(several):
    name, nodes, steps = "several", 3, 8
    several.environment(name, *chain(name, steps), nodes=nodes)
    several.behave({"match": name, "delay": 0.2})
    running = several.client.deploy(name)
    until(lambda: len(several.starts()) > nodes, "the second task")
    supervisor = several.server.process.pid
    victim, other = until(lambda: len(children(supervisor)) == API_PROCESSES and children(supervisor), "API processes")
    os.kill(victim, signal.SIGKILL)
    until(lambda: len(set(children(supervisor)) - {victim}) == API_PROCESSES, "a new API process", 5)
    old = children(supervisor)
    several.server.kill()
    until(lambda: not any(lives(pid) for pid in old), "the end of the API processes", 2)
    several.server.start()
    ended = end_of(several, running)
    assert ended["state"] == "ready"
    assert several.ran(ended) == {(f"{name}{node}", f"t{step}"): 1 for node in range(1, nodes + 1) for step in range(steps)}
    assert other in old


def test_followers_hear_of_events_at_once_and_a_stop_reaches_the_one_who_works(several):
    name = "heard"
    several.environment(name, *chain(name, 4))
    several.behave({"match": name, "delay": 0.5})
    running = several.client.deploy(name)
    delays = []
    for event in several.client.events(running["id"]):
        if event["kind"] == "dispatched":
            delays.append(time.time() - event["at"])
        if event["kind"] == "finished" and len(delays) == 2:
            several.client.stop_deployment(running["id"])
    assert several.client.deployment(running["id"])["state"] == "stopped"
    assert max(delays[1:]) < 0.4


def test_a_stop_lets_requests_end_and_leaves_nothing(several):
    supervisor = several.server.process.pid
    old = until(lambda: len(children(supervisor)) == API_PROCESSES and children(supervisor), "API processes")
    refused = []

    def ask():
        with several.server.client() as client:
            while True:
                try:
                    if client.get("/api/environments").status_code != 200:
                        refused.append("status")
                except httpx.ConnectError:
                    return
                except httpx.HTTPError as error:
                    refused.append(error)
                    return

    asking = threading.Thread(target=ask)
    asking.start()
    time.sleep(0.3)
    assert several.server.kill(signal.SIGTERM) in (0, -signal.SIGTERM)
    asking.join(5)
    assert not any(lives(pid) for pid in old)
    assert not (several.data / "supervisor.sock").exists()
    assert not refused or all(isinstance(item, httpx.RemoteProtocolError | httpx.ReadError) for item in refused), refused


def test_nobody_says_who_they_are_by_a_header_and_the_socket_is_private(several):
    assert (several.data / "supervisor.sock").stat().st_mode & 0o777 == 0o600
    with several.server.client() as client:
        claimed = {ACTOR_HEADER: "eyJraW5kIjoic3lzdGVtIn0="}
        assert client.post("/api/environments", json={"name": "mine"}, headers=claimed).status_code == 201
        assert client.post("/api/environments", json={"name": "no"}, headers={**claimed, "Authorization": ""}).status_code == 401
        assert client.post("/api/environments", json={"name": "no spaces"}).json()["type"] == "urn:stoker:problem:invalid-input"
        assert [row["name"] for row in client.get("/api/environments").json()["items"]] == ["mine"]
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(several.data / "supervisor.sock"))) as inside:
        assert inside.get("http://supervisor/api/environments").status_code == 400


def test_every_route_that_needs_the_supervisor_is_forwarded(server_context):
    """Changes and long work are seen by themselves; what else uses the parts that only the supervisor has must say so."""
    seen = set()
    for route in build_app(server_context).routes:
        for method, (handler, _) in getattr(route, "route_handler_map", {}).items():
            function = getattr(handler.fn, "func", handler.fn)
            function = getattr(function, "args", (function,))[0]
            seen.add((is_forwarded(method, handler), method, route.path))
            if set(function.__code__.co_names) & {"at_length", "orchestrator", "transports", "wait"}:
                assert is_forwarded(method, handler), f"{method} {route.path}: say opt={{'supervised': True}}"
    assert (True, "POST", "/api/environments/{env:str}/plans") in seen
    assert (True, "DELETE", "/api/environments/{env:str}") in seen
    assert (False, "GET", "/api/environments/{env:str}/plans") in seen

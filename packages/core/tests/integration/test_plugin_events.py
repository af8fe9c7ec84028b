# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Events for plugins: written with the change, told by real workers in order and again until heard, and before a plugin goes."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from litestar.testing import TestClient
from sqlalchemy import select
from stoker.app import build_app
from stoker.db import plugin_events, tables
from stoker.plugin_host.back import BackChannel
from stoker.plugin_host.dispatch import Dispatcher
from stoker.plugin_host.sandbox.choice import Sandbox
from stoker.plugin_host.workers import Limits, Workers
from stoker.services import event_delivery
from stoker.services.context import ServerContext
from stoker.services.event_delivery import EventDelivery
from stoker.services.plugin_events import target_of
from stoker_sdk.extension_points import events
from worker_venvs import venv

SOURCE = """
import json, os, pathlib, time
from stoker_sdk import Plugin

plugin = Plugin(name="hears", version={version!r}, title="Hears")
FOLDER = pathlib.Path({folder!r})

def told(event, context):
    fault = FOLDER / "fault"
    what = fault.read_text() if fault.exists() else ""
    if what == "raise":
        raise ValueError("not now")
    if what == "quit":
        os._exit(1)
    if what == "sleep":
        time.sleep(60)
    if what == "shape":
        return object()
    where = context.environment and context.environment.name
    line = [event.id, event.name, event.object_name, event.data, where, context.settings]
    with open(FOLDER / "told", "a") as file:
        file.write(json.dumps(line) + "\\n")
"""
ALL = list(events.EVENTS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hears")


@pytest.fixture(scope="module")
def code(folder: Path):
    return {
        version: venv(folder / version, "hears_module", SOURCE.format(folder=str(folder), version=version), "hears", version)
        for version in ("1.0.0", "2.0.0")
    }


class Heard:
    """A server whose plugin ``hears`` writes down what it is told."""

    def __init__(self, client: TestClient, context: ServerContext, folder: Path) -> None:
        self.client, self.context, self.folder = client, context, folder

    def lines(self) -> list[list[object]]:
        file = self.folder / "told"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def names(self) -> list[str]:
        return [str(line[1]) for line in self.lines()]

    def until(self, *names: str, seconds: float = 20) -> list[list[object]]:
        """Wait until exactly these were told, in any order among objects."""
        end = time.monotonic() + seconds
        while sorted(self.names()) != sorted(names) and time.monotonic() < end:
            time.sleep(0.05)
        assert sorted(self.names()) == sorted(names), self.lines()
        lines = self.lines()
        (self.folder / "told").unlink(missing_ok=True)
        return lines

    def fault(self, what: str) -> None:
        (self.folder / "fault").write_text(what)

    def nothing_waits(self) -> None:
        end = time.monotonic() + 5
        while self.waiting() and time.monotonic() < end:
            time.sleep(0.05)
        assert self.waiting() == []

    def waiting(self) -> list[dict[str, object]]:
        return self.client.get("/api/plugin-events").json()["items"]


@pytest.fixture
def impatient(folder: Path, monkeypatch) -> None:
    """Nothing is left of other tests, and pauses are short."""
    monkeypatch.setattr(event_delivery, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(event_delivery, "IDLE_SECONDS", 0.1)
    monkeypatch.setattr(event_delivery, "FIRST_PAUSE", 0.2)
    for name in ("told", "fault"):
        (folder / name).unlink(missing_ok=True)


@pytest.fixture
def heard(server_context: ServerContext, folder: Path, code, tmp_path: Path, impatient) -> Iterator[Heard]:
    with serve(server_context, folder, code, tmp_path) as served:
        yield served


@contextlib.contextmanager
def serve(server_context: ServerContext, folder: Path, code, tmp_path: Path) -> Iterator[Heard]:
    """A server on the context's database, from its start to its end."""
    back = BackChannel()
    sandbox = Sandbox(tmp_path / "w", share=0.5, allow_unconfined=True, kinds=())  # it shall write where the test looks
    workers = Workers(Limits(), lambda _, version: code[version], sandbox, back)
    dispatcher = Dispatcher(workers, back, server_context.quarantine)
    server_context.workers, server_context.back, server_context.dispatcher = workers, back, dispatcher
    server_context.events = EventDelivery(server_context.database, dispatcher, target_of)
    token = server_context.config.token_file.read_text().strip()
    with TestClient(build_app(server_context), base_url="http://127.0.0.1:8550") as client:
        client.headers["Authorization"] = f"Bearer {token}"
        yield Heard(client, server_context, folder)
    sandbox.close()


def bundle(make_bundle, version: str = "1.0.0", deadline: float = 5, **fields: object) -> bytes:
    handler = events.EventHandler(name="told", events=ALL, call="hears_module:told", deadline=deadline)
    return make_bundle(handler, name="hears", version=version, **fields)


@pytest.mark.databases("sqlite", "postgresql")
def test_a_plugin_hears_its_whole_life_in_order(heard: Heard, make_bundle) -> None:
    client = heard.client
    assert client.post("/api/plugins", content=bundle(make_bundle)).status_code == 201
    heard.until("plugin.installed")
    client.post("/api/environments", json={"name": "prod"})
    ((_, name, about, _, environment, settings),) = heard.until("environment.created")
    assert (name, about, environment, settings) == ("environment.created", "prod", "prod", {})
    client.put("/api/environments/prod/plugins/hears", json={})
    heard.until("plugin.enabled", "environment.changed")

    client.post("/api/nodes", json={"name": "n1", "address": "n1", "transport": "simulated"})
    client.put("/api/environments/prod/nodes/n1", json={"roles": []})
    lines = heard.until("node.created", "environment.changed")
    node = next(line for line in lines if line[1] == "node.created")
    assert node[2:5] == ["n1", {"status": "new"}, "prod"]
    with heard.context.database.transaction() as connection:
        connection.execute(tables.nodes.update().values(status="online"))
        connection.execute(tables.nodes.update().values(status="error", address="n2"))
        connection.execute(tables.nodes.update().values(facts_at=5.0))  # nothing that anybody hears of
    lines = heard.until("node.changed", "node.changed")
    assert [line[3] for line in lines] == [
        {"changed": ["status"], "status": "online"},
        {"changed": ["status", "address"], "status": "error"},
    ]
    assert lines[0][0] < lines[1][0]
    client.delete("/api/environments/prod/nodes/n1")
    heard.until("node.removed", "environment.changed")

    client.post("/api/plugins", content=bundle(make_bundle, "2.0.0"))
    heard.until("plugin.installed")
    client.put("/api/environments/prod/plugins/hears", json={"version": "2.0.0"})
    lines = heard.until("plugin.upgraded", "environment.changed")
    assert {"from": "1.0.0", "version": "2.0.0"} in [line[3] for line in lines]
    assert client.delete("/api/environments/prod/plugins/hears").json() == {"state": "gone"}
    heard.until("plugin.disabled")
    assert client.delete("/api/plugin-versions/hears/2.0.0").status_code == 204
    heard.until("plugin.uninstalled")
    client.put("/api/environments/prod/plugins/hears", json={})
    heard.until("plugin.enabled", "environment.changed")
    assert client.delete("/api/environments/prod").status_code == 204
    heard.until("plugin.disabled", "environment.removed")
    heard.nothing_waits()
    assert client.delete("/api/plugin-versions/hears/1.0.0").status_code == 204
    heard.until("plugin.uninstalled")
    with heard.context.database.read() as connection:
        assert connection.execute(select(tables.plugin_events)).all() == []
        assert connection.execute(select(tables.plugin_event_interests)).all() == []


def test_what_is_not_heard_is_told_again_also_by_the_next_server_and_a_queue_waits_for_its_first(
    server_context: ServerContext, folder: Path, code, tmp_path: Path, make_bundle, impatient
) -> None:
    with serve(server_context, folder, code, tmp_path) as heard:
        client = heard.client
        client.post("/api/plugins", content=bundle(make_bundle, deadline=1))
        heard.until("plugin.installed")
        heard.fault("raise")
        client.post("/api/environments", json={"name": "a"})
        client.put("/api/environments/a/plugins/hears", json={})
        end = time.monotonic() + 10
        while len(found := [item for item in heard.waiting() if item["attempts"] > 0]) < 2 and time.monotonic() < end:
            time.sleep(0.05)
        assert {item["event"] for item in found} == {"environment.created", "plugin.enabled"}
        assert "not now" in found[0]["reason"]
        _, second = [item for item in heard.waiting() if item["object"] == "a"]
        assert (second["event"], second["attempts"]) == ("environment.changed", 0)
    heard.fault("")
    with serve(server_context, folder, code, tmp_path) as heard:
        lines = heard.until("environment.created", "environment.changed", "plugin.enabled")
        heard.nothing_waits()
    of_environment = [line[1] for line in lines if line[2] == "a"]
    assert of_environment == ["environment.created", "environment.changed"]


@pytest.mark.parametrize("what", ["raise", "quit", "sleep", "shape"])
def test_no_fault_keeps_a_plugin_from_going_or_delays_a_change(heard: Heard, make_bundle, what: str) -> None:
    client = heard.client
    client.post("/api/plugins", content=bundle(make_bundle, deadline=1))
    heard.until("plugin.installed")
    client.post("/api/environments", json={"name": "a"})
    client.put("/api/environments/a/plugins/hears", json={})
    heard.until("environment.created", "environment.changed", "plugin.enabled")
    heard.fault(what)
    began = time.monotonic()
    with heard.context.database.transaction() as connection:
        connection.execute(tables.environments.update().values(revision=50))
    assert time.monotonic() - began < 1
    assert client.delete("/api/environments/a/plugins/hears").status_code == 200
    assert time.monotonic() - began < event_delivery.FAREWELL_SECONDS + 3
    assert not [item for item in heard.waiting() if item["environment"] == "a"]
    with heard.context.database.read() as connection:
        told = (
            connection.execute(select(tables.audit_log.c.before).where(tables.audit_log.c.action == "event.drop")).scalars().all()
        )
    assert json.loads(told[0])["undelivered"]["plugin.disabled"] == 1
    assert client.delete("/api/plugin-versions/hears/1.0.0").status_code == 204
    assert client.get("/api/nodes").status_code == 200


def test_what_waits_too_long_or_is_too_much_is_dropped(heard: Heard, make_bundle, monkeypatch) -> None:
    heard.client.post("/api/plugins", content=bundle(make_bundle))
    heard.until("plugin.installed")
    heard.nothing_waits()
    monkeypatch.setattr(plugin_events, "MOST_KEPT", 3)
    row = {"event": "node.changed", "plugin": "hears", "version": "", "environment_id": "e", "environment": "e", "object_id": "n"}
    row |= {"object": "n", "data": "{}", "told": "[]", "attempts": 1, "next_try": plugin_events.HELD, "reason": ""}
    with heard.context.database.transaction() as connection:
        for at in (0.0, *[time.time()] * 4):
            connection.execute(tables.plugin_events.insert().values(at=at, **row))
        assert plugin_events.drop_old(connection, time.time()) == {"hears": 2}
        assert plugin_events.drop_old(connection, time.time()) == {}

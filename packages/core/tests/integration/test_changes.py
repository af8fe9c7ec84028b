# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Changes as a stream: whatever writes them, in order, taken up again anywhere, bounded, ended with the server."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import time

import httpx
import pytest
from litestar.testing import TestClient
from simulation import until
from sqlalchemy import insert, select, update
from stoker.db import changes, tables
from stoker.db.database import Database
from stoker.services.context import ServerContext
from stoker_sdk.extension_points import tasks


@pytest.fixture
def database(database_url: str):
    opened = Database(database_url)
    opened.migrate()
    yield opened
    opened.close()


def node(name: str, **fields: object) -> dict[str, object]:
    return {"id": f"id-{name}", "name": name, "address": "a", "facts": "{}", "created_at": 0.0, **fields}


def written(database: Database, after: int = 0, **wanted: object) -> list[tuple[object, ...]]:
    with database.read() as connection:
        rows = changes.changes_after(connection, after, **wanted)
    return [(row.kind, row.action, row.object, row.environment_id, json.loads(row.data)) for row in rows]


@pytest.mark.databases("sqlite", "postgresql")
def test_the_database_itself_writes_what_changes_in_the_same_transaction(database: Database) -> None:
    begun = time.time()
    nodes, roles = tables.nodes, tables.node_roles
    with database.transaction() as connection:
        connection.execute(insert(tables.environments).values(id="e", name="prod", created_at=0.0, revision=1))
        connection.execute(insert(nodes).values(node("n1")))
    with database.transaction() as connection:
        connection.execute(update(nodes).values(environment_id="e"))
        connection.execute(insert(roles).values(node_id="id-n1", role='we"b'))
        connection.execute(update(nodes).values(status="online", status_reason="", facts='{"os_id":"debian"}'))
        connection.execute(update(nodes).values(status="online", facts_at=5.0))  # nothing that anybody follows
        connection.execute(update(tables.environments).values(revision=2))
    with pytest.raises(ZeroDivisionError), database.transaction() as connection:
        connection.execute(update(nodes).values(status="error"))
        raise ZeroDivisionError
    with database.transaction() as connection:
        connection.execute(roles.delete())
        connection.execute(nodes.delete())
        connection.execute(tables.environments.delete())
    assert written(database) == [
        ("environment", "added", "prod", "e", {"v": 1}),
        ("node", "added", "n1", "", {"status": "new"}),
        ("node", "changed", "n1", "e", {"what": "environment", "status": "new"}),
        ("node", "changed", "n1", "e", {"what": "roles", "gets": 'we"b'}),
        ("node", "changed", "n1", "e", {"what": "status facts", "status": "online"}),
        ("environment", "changed", "prod", "e", {"revision": 2}),
        ("node", "changed", "n1", "e", {"what": "roles", "loses": 'we"b'}),
        ("node", "removed", "n1", "e", {"v": 1}),
        ("environment", "removed", "prod", "e", {"v": 1}),
    ]
    assert [kind for kind, *_ in written(database, kinds=["environment"])] == ["environment"] * 3
    assert len(written(database, environment_id="e", limit=3)) == 3
    with database.read() as connection:
        moments = list(connection.execute(select(tables.changes.c.at).order_by(tables.changes.c.id)).scalars())
    assert moments == sorted(moments)
    assert begun - 1 < moments[0] < time.time() + 1


@pytest.mark.databases("sqlite", "postgresql")
def test_a_node_that_goes_with_its_roles_is_told_once(database: Database) -> None:
    with database.transaction() as connection:
        connection.execute(insert(tables.nodes).values(node("n1")))
        connection.execute(insert(tables.node_roles).values(node_id="id-n1", role="web"))
        before = changes.newest(connection)
        connection.execute(tables.nodes.delete())
    assert [(action, name) for _, action, name, _, _ in written(database, before)] == [("removed", "n1")]


@pytest.mark.databases("sqlite", "postgresql")
def test_the_log_is_bounded(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "KEPT", 2000)
    with database.transaction() as connection:
        changes.watch(connection)
        connection.execute(insert(tables.nodes), [node(f"n{number}") for number in range(7500)])
        assert changes.newest(connection) == 7500
        assert changes.oldest(connection) == 5001


def ask(simulation) -> dict[str, str]:
    return {"Authorization": f"Bearer {(simulation.data / 'admin-token').read_text().strip()}"}


class Follower(threading.Thread):
    """Reads the stream as it is on the wire, until it is told to stop or the server ends it."""

    def __init__(self, simulation, last: int | None = None, **query: object) -> None:
        super().__init__(daemon=True)
        self.url, self.query = f"{simulation.url}/api/events", query
        self.headers = ask(simulation) | ({"Last-Event-ID": str(last)} if last is not None else {})
        self.seen: list[dict[str, object]] = []
        self.place = -1
        self.ended = ""
        self.start()
        until(lambda: self.place >= 0, "the beginning of the stream")

    def run(self) -> None:
        try:
            with httpx.stream("GET", self.url, params=self.query, headers=self.headers, timeout=30) as response:
                assert response.status_code == 200, response.read()
                for line in response.iter_lines():
                    name, _, value = line.partition(": ")
                    if name == "id":
                        self.place = int(value)
                    elif name == "data":
                        self.seen.append(json.loads(value))
            self.ended = "cleanly"
        except httpx.HTTPError as error:
            self.ended = repr(error)


def test_changes_come_at_once_and_of_what_is_wanted_only(simulation) -> None:
    client = simulation.client
    everything = Follower(simulation)
    client.create_environment("seen")
    mine = Follower(simulation, environment="seen", kind=["environment", "node"])
    client.create_environment("unseen")
    client.add_node("seen1", "192.0.2.1")
    client.assign_node("seen", "seen1", [])
    began = time.monotonic()
    until(lambda: len(mine.seen) >= 2, "the node's and the environment's change")
    assert time.monotonic() - began < 3
    assert [(event["kind"], event["object"], event["environment"]) for event in mine.seen] == [
        ("node", "seen1", "seen"),
        ("environment", "seen", "seen"),
    ]
    until(lambda: len(everything.seen) >= 5, "all changes")
    assert [event["object"] for event in everything.seen][:2] == ["seen", "unseen"]
    client.unassign_node("seen", "seen1")
    client.remove_node("seen1")
    client.delete_environment("seen")
    client.delete_environment("unseen")


def test_who_comes_back_gets_exactly_what_was_missed(simulation) -> None:
    first = Follower(simulation)
    start = first.place
    for number in range(4):
        simulation.client.create_environment(f"missed{number}")
    until(lambda: len(first.seen) >= 4, "four environments")
    ids = [event["id"] for event in first.seen]
    assert ids == sorted(set(ids))
    for place in (start, *ids[:3]):
        again = Follower(simulation, last=place)
        until(lambda again=again, place=place: again.seen and again.seen[-1]["id"] >= ids[3], f"what came after {place}")
        assert [event["id"] for event in again.seen][: 4 - len([i for i in ids if i <= place])] == [i for i in ids if i > place]
    for number in range(4):
        simulation.client.delete_environment(f"missed{number}")


def test_how_far_a_plan_is_and_that_it_was_made_or_not(simulation) -> None:
    name = simulation.environment("made", tasks.Shell(id="t", roles=["made"], run="made-t"), nodes=3)
    follower = Follower(simulation, environment=name, kind="plan")
    plan = simulation.client.create_plan(name)
    until(lambda: any(event.get("phase") == "done" for event in follower.seen), "the end of the making")
    progress = [event for event in follower.seen if event["action"] == "progress"]
    assert [event["phase"] for event in progress if event["phase"] != "looking"] == ["planning", "storing", "done"]
    assert progress[0]["phase"] == "looking"
    assert progress[0]["nodes"] == 3
    assert progress[-1]["plan"] == plan["id"]
    assert len({event["object"] for event in progress}) == 1
    assert [event["object"] for event in follower.seen if event["action"] == "added"] == [plan["id"]]


def test_wrong_requests_are_refused(simulation) -> None:
    for query, headers, status in (
        ({"environment": "nobody"}, {}, 404),
        ({"kind": "nodes"}, {}, 400),
        ({"evnironment": "x"}, {}, 400),
        ({}, {"Last-Event-ID": "x"}, 400),
        ({}, {"Last-Event-ID": "-1"}, 400),
    ):
        assert httpx.get(f"{simulation.url}/api/events", params=query, headers=ask(simulation) | headers).status_code == status


def test_who_was_away_too_long_is_told_of_the_gap(simulation) -> None:
    ahead = Follower(simulation, last=2**60)
    until(lambda: ahead.seen, "the gap")
    assert ahead.seen[0]["kind"] == "gap"


def test_streams_end_with_the_server_and_a_client_goes_on_after_it(own_simulation) -> None:
    simulation = own_simulation
    follower = Follower(simulation)
    seen: list[dict[str, object]] = []
    thread = threading.Thread(target=lambda: seen.extend(_take(simulation.client.changes(kinds=["environment"]), 2)))
    thread.start()
    time.sleep(1)
    with httpx.Client(base_url=simulation.url, headers=ask(simulation)) as client:
        client.post("/api/environments", json={"name": "before"})
    began = time.monotonic()
    assert simulation.server.kill(signal.SIGTERM) == 0
    assert time.monotonic() - began < 4
    follower.join(5)
    assert follower.ended == "cleanly"
    simulation.server.start()
    with httpx.Client(base_url=simulation.url, headers=ask(simulation)) as client:
        client.post("/api/environments", json={"name": "after"})
    thread.join(20)
    assert [event["object"] for event in seen] == ["before", "after"]


def _take(events, count: int) -> list[dict[str, object]]:
    return [event for _, event in zip(range(count), events, strict=False)]


def test_a_list_that_has_not_changed_is_not_sent_again(client: TestClient, server_context: ServerContext) -> None:
    client.post("/api/environments", json={"name": "e"})
    client.post("/api/nodes", json={"name": "n1", "address": "a"})
    for path in ("/api/nodes", "/api/environments/e/nodes", "/api/nodes?status=new&limit=1"):
        tag = client.get(path).headers["etag"]
        assert client.get(path, headers={"If-None-Match": tag}).status_code == 304
        with server_context.database.transaction() as connection:
            connection.execute(update(tables.nodes).values(status_reason=path))
        answer = client.get(path, headers={"If-None-Match": tag})
        assert (answer.status_code, answer.headers["etag"] != tag) == (200, True)
    tag = client.get("/api/nodes").headers["etag"]
    client.put("/api/environments/e/nodes/n1", json={"roles": []})
    assert client.get("/api/nodes", headers={"If-None-Match": tag}).json()["items"][0]["environment"] == "e"


def test_the_command_line_watches(simulation) -> None:
    for words, name in ((("env", "watch", "watched-env"), "watched-env"), (("nodes", "watch"), "")):
        if name:
            simulation.client.create_environment(name)
        with subprocess.Popen(
            # Whoever runs the tests in a shell's background has them ignore the signal of Ctrl-C.
            ["env", "--default-signal=INT", *simulation.command(*words)],
            stdout=subprocess.PIPE,
            text=True,
            env=simulation.surroundings(PYTHONUNBUFFERED="1"),
        ) as process:
            time.sleep(2.5)
            simulation.client.add_node("looked-at", "192.0.2.9")
            if name:
                simulation.client.assign_node(name, "looked-at", [])
            line = process.stdout.readline()
            assert "node looked-at" in line
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 130
        if name:
            simulation.client.unassign_node(name, "looked-at")
        simulation.client.remove_node("looked-at")
    simulation.client.delete_environment("watched-env")

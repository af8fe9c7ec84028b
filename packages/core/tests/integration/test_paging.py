# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Long lists: pages together are the whole, whatever happens meanwhile; filters; what is not understood is refused."""

from __future__ import annotations

import base64
import time
import uuid
from urllib.parse import urlsplit

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from litestar.testing import TestClient
from sqlalchemy import delete, insert, select, update
from stoker.db import tables
from stoker.services.context import ServerContext


def add_nodes(context: ServerContext, *names: str, **fields: object) -> None:
    rows = [{"id": uuid.uuid4().hex, "name": name, "address": "a", "facts": "{}", "created_at": 0.0, **fields} for name in names]
    with context.database.transaction() as connection:
        connection.execute(insert(tables.nodes), rows)


def names(answer) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [item["name"] for item in answer.json()["items"]]


def bad(answer) -> dict[str, object]:
    assert answer.status_code == 400, answer.text
    assert answer.json()["type"] == "urn:stoker:problem:bad-request"
    return answer.json()


def pages(client: TestClient, url: str, **parameters: object):
    while True:
        answer = client.get(url, params=parameters)
        assert answer.status_code == 200, answer.text
        yield answer.json()["items"]
        if "next" not in answer.json():
            assert "link" not in answer.headers
            return
        link = answer.headers["link"]
        assert link.endswith('>; rel="next"')
        assert client.get(link[1:].partition(">")[0]).status_code == 200
        parameters["cursor"] = answer.json()["next"]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    before=st.sets(st.text("ab0-Zé", min_size=1, max_size=4), min_size=1, max_size=12),
    changes=st.lists(st.tuples(st.booleans(), st.text("ab0-Zé", min_size=1, max_size=4)), max_size=8),
    limit=st.integers(1, 5),
)
def test_pages_together_are_the_list_and_no_change_meanwhile_shows_a_node_twice_or_hides_one(
    client: TestClient, server_context: ServerContext, before, changes, limit
) -> None:
    with server_context.database.transaction() as connection:
        connection.execute(delete(tables.nodes))
    add_nodes(server_context, *before)
    assert [item["name"] for page in pages(client, "/api/nodes", limit=limit) for item in page] == names(client.get("/api/nodes"))
    waiting, there, gone, seen = list(changes), set(before), set(), []
    for page in pages(client, "/api/nodes", limit=limit):
        seen += [item["name"] for item in page]
        if waiting:
            comes, name = waiting.pop()
            if comes and name not in there:
                add_nodes(server_context, name)
                there.add(name)
            elif not comes and name in there:
                with server_context.database.transaction() as connection:
                    connection.execute(delete(tables.nodes).where(tables.nodes.c.name == name))
                there.discard(name)
                gone.add(name)
    assert len(seen) == len(set(seen))
    assert before - gone <= set(seen)


def test_a_page_has_at_most_as_many_as_wanted_and_never_more_than_a_thousand(
    client: TestClient, server_context: ServerContext
) -> None:
    add_nodes(server_context, *(f"n{number:04}" for number in range(1001)))
    assert [len(page) for page in pages(client, "/api/nodes")] == [1000, 1]
    assert [len(page) for page in pages(client, "/api/nodes", limit=400)] == [400, 400, 201]
    for wrong in (0, 1001, -1, "x"):
        assert "limit" in bad(client.get("/api/nodes", params={"limit": wrong}))["detail"]


def test_a_cursor_that_is_none_or_belongs_elsewhere_is_refused(client: TestClient, server_context: ServerContext) -> None:
    add_nodes(server_context, "a", "b")
    cursor = client.get("/api/nodes", params={"limit": 1}).json()["next"]
    assert names(client.get("/api/nodes", params={"limit": 5, "cursor": cursor})) == ["b"]
    assert "other filters" in bad(client.get("/api/nodes", params={"q": "b", "cursor": cursor}))["detail"]
    bad(client.get("/api/environments", params={"cursor": cursor}))
    whose = msgspec.msgpack.decode(base64.urlsafe_b64decode(cursor + "=="))[0]
    forged = [
        base64.urlsafe_b64encode(msgspec.msgpack.encode(value)).decode()
        for value in ([whose, [1]], [whose, []], [whose, ["a", "b"]], [whose, ["a\0"]], {"a": 1}, "x", [1, ["a"]])
    ]
    for wrong in ("x", "ä", "....", cursor[:-3], cursor + "AAAA", *forged):
        bad(client.get("/api/nodes", params={"cursor": wrong}))


def test_filters_of_nodes(client: TestClient, server_context: ServerContext) -> None:
    client.post("/api/environments", json={"name": "prod"})
    identity = client.get("/api/environments/prod").json()["id"]
    debian = msgspec.json.encode(
        {"os_id": "debian", "os_family": "debian", "os_version": "12", "architecture": "x86_64"}
    ).decode()
    rocky = msgspec.json.encode({"os_id": "rocky", "os_family": "redhat", "os_version": "9", "architecture": "aarch64"}).decode()
    add_nodes(server_context, "web1", "web2", facts=debian, status="online", environment_id=identity)
    add_nodes(server_context, "db_1", facts=rocky, status="unreachable", address="10.9.8.7")
    add_nodes(server_context, "sim", transport="simulated")
    with server_context.database.transaction() as connection:
        web1 = connection.execute(select(tables.nodes.c.id).where(tables.nodes.c.name == "web1")).scalar()
        connection.execute(insert(tables.node_roles).values(node_id=web1, role="balancer"))
    for wanted, expected in (
        ({}, ["db_1", "sim", "web1", "web2"]),
        ({"environment": "prod"}, ["web1", "web2"]),
        ({"environment": identity, "role": "balancer"}, ["web1"]),
        ({"role": "balancer"}, ["web1"]),
        ({"role": "nobody"}, []),
        ({"free": "true"}, ["db_1", "sim"]),
        ({"free": "false"}, ["web1", "web2"]),
        ({"status": "online"}, ["web1", "web2"]),
        ({"transport": "simulated"}, ["sim"]),
        ({"q": "EB"}, ["web1", "web2"]),
        ({"q": "_"}, ["db_1"]),
        ({"q": "9.8"}, ["db_1"]),
        ({"os": "debian"}, ["web1", "web2"]),
        ({"os_family": "redhat", "os_version": "9"}, ["db_1"]),
        ({"architecture": "aarch64", "status": "online"}, []),
    ):
        assert names(client.get("/api/nodes", params=wanted)) == expected, wanted
    assert names(client.get("/api/environments/prod/nodes", params={"role": "balancer"})) == ["web1"]
    assert client.get("/api/nodes", params={"environment": "nobody"}).status_code == 404
    assert "status" in bad(client.get("/api/nodes", params={"status": "on"}))["detail"]


@pytest.mark.parametrize("path", ["/api/nodes", "/api/environments", "/api/credentials", "/api/version", "/api/plugins"])
def test_a_misspelled_filter_never_answers_with_everything(client: TestClient, path: str) -> None:
    assert "'envrionment'" in bad(client.get(path, params={"envrionment": "prod"}))["detail"]
    bad(client.get(path, params={"q": "a\0b"}))


def test_a_refusal_names_what_was_meant(client: TestClient) -> None:
    remedy = bad(client.get("/api/nodes", params={"stauts": "online"}))["remedy"]
    assert remedy.startswith("Did you mean 'status'? Known here: environment, ")


def test_versions_of_plugins_come_in_their_order_also_over_pages(client: TestClient, make_bundle) -> None:
    for name, version in (("b", "1.10.0"), ("b", "1.9.0"), ("a", "2.0.0")):
        assert client.post("/api/plugins", content=make_bundle(name=name, version=version)).status_code == 201
    found = [(item["name"], item["version"]) for page in pages(client, "/api/plugins", limit=1) for item in page]
    assert found == [("a", "2.0.0"), ("b", "1.9.0"), ("b", "1.10.0")]
    assert [item["version"] for item in client.get("/api/plugins", params={"name": "b"}).json()["items"]] == ["1.9.0", "1.10.0"]


def test_deployments_come_newest_first_and_by_state(client: TestClient, server_context: ServerContext) -> None:
    home = deployments(client, server_context, ["ready", "failed", "ready", "failed", "running"])
    found = [item["id"] for page in pages(client, f"/api/environments/{home}/deployments", limit=2) for item in page]
    assert found == ["d4", "d3", "d2", "d1", "d0"]
    some = client.get(f"/api/environments/{home}/deployments", params={"state": ["failed", "running"]}).json()["items"]
    assert [item["id"] for item in some] == ["d4", "d3", "d1"]
    bad(client.get(f"/api/environments/{home}/deployments", params={"state": "faild"}))
    plans = [item["id"] for page in pages(client, f"/api/environments/{home}/plans", limit=2) for item in page]
    assert plans == ["p4", "p3", "p2", "p1", "p0"]
    assert len(client.get(f"/api/environments/{home}/plans", params={"digest": "one"}).json()["items"]) == 3


def deployments(client: TestClient, context: ServerContext, states: list[str]) -> str:
    """An environment with a deployment in each state, two of which were made at the very same moment."""
    identity = client.post("/api/environments", json={"name": "e"}).json()["id"]
    with context.database.transaction() as connection:
        for number, state in enumerate(states):
            plan = {"id": f"p{number}", "environment_id": identity, "revision": 1, "summary": "{}", "snapshot": b"", "body": b""}
            at = 1000.25 + number // 2
            digest = "one" if number % 2 == 0 else "two"
            connection.execute(insert(tables.plans).values(**plan, digest=digest, created_at=at))
            made = {"id": f"d{number}", "environment_id": identity, "plan_id": f"p{number}", "state": state, "created_at": at}
            connection.execute(insert(tables.deployments).values(**made))
    return "e"


def event(deployment: str, kind: str, node: str, task: str, attempt: int = 1, **data: object) -> dict[str, object]:
    text = msgspec.json.encode(data).decode()
    return {
        "deployment_id": deployment,
        "kind": kind,
        "node": node,
        "task": task,
        "attempt": attempt,
        "data": text,
        "at": time.time(),
    }


def test_attempts_over_pages_are_the_whole_history_with_its_ends(client: TestClient, server_context: ServerContext) -> None:
    deployments(client, server_context, ["failed", "ready"])
    rows = [event("d1", "finished", "n9", "picked.up", exit_status=0)]
    for number in range(7):
        rows.append(event("d1", "dispatched", f"n{number}", "a.t", command="true"))
        if number >= 2:  # the ends come two dispatches later
            rows.append(event("d1", "finished", f"n{number - 2}", "a.t", exit_status=number % 2, output=f"o{number - 2}"))
    rows.append(event("d1", "unknown", "n5", "a.t", reason="lost"))
    rows.append(event("d1", "dispatched", "n0", "a.t", attempt=2))
    with server_context.database.transaction() as connection:
        connection.execute(insert(tables.deployment_events), rows)
        connection.execute(update(tables.deployments).where(tables.deployments.c.id == "d1").values(retry_of="d0"))
    url = "/api/deployments/d1/attempts"
    whole = client.get(url).json()["items"]
    assert [(item["node"], item["attempt"], item["state"]) for item in whole] == [
        ("n9", 1, "finished"),
        *((f"n{number}", 1, "finished") for number in range(5)),
        ("n5", 1, "unknown"),
        ("n6", 1, "dispatched"),
        ("n0", 2, "dispatched"),
    ]
    for limit in (1, 2, 3, 8):
        assert [item for page in pages(client, url, limit=limit) for item in page] == whole
        failed = [item["node"] for page in pages(client, url, limit=limit, state="failed") for item in page]
        assert failed == ["n1", "n3"]
    assert [item["attempt"] for page in pages(client, url, limit=1, node="n0") for item in page] == [1, 2]
    assert client.get(url, params={"task": "picked.up"}).json()["items"] == whole[:1]
    bad(client.get(url, params={"cursor": client.get(url, params={"limit": 1}).json()["next"] + "x"}))


def test_the_links_lead_through_the_list_with_the_same_filters(client: TestClient, server_context: ServerContext) -> None:
    add_nodes(server_context, "a1", "b", "a2", "a3")
    url, seen = "/api/nodes?q=a&limit=1", []
    while url:
        answer = client.get(url)
        seen += [item["name"] for item in answer.json()["items"] if item["name"] != "b"]
        url = answer.headers.get("link", "")[1:].partition(">")[0]
        assert not url or urlsplit(url).path == "/api/nodes"
    assert seen == ["a1", "a2", "a3"]

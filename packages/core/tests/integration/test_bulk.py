# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Many nodes in one call: added, given roles, taken out, removed; all or none, with every fault told."""

from __future__ import annotations

import json

import pytest
from litestar.testing import TestClient
from sqlalchemy import event, insert, select
from stoker.db import tables
from stoker.services.context import ServerContext
from stoker_sdk.extension_points import roles


@pytest.fixture
def prod(client: TestClient, make_bundle) -> TestClient:
    """Environment ``prod``, whose roles are web, db (at most two) and cache (not beside db), and nodes n0 ... n9."""
    bundle = make_bundle(
        roles.Role(name="web"), roles.Role(name="db", max=2), roles.Role(name="cache", conflicts=["db"]), name="brings"
    )
    client.post("/api/plugins", content=bundle)
    client.post("/api/environments", json={"name": "prod"})
    assert client.put("/api/environments/prod/plugins/brings", json={}).status_code == 200
    added = client.post("/api/nodes:add", json={"nodes": [{"name": f"n{n}", "address": f"192.0.2.{n}"} for n in range(10)]})
    assert added.status_code == 201, added.text
    assert added.json()["nodes"] == [f"n{n}" for n in range(10)]
    return client


def assign(client: TestClient, wanted: dict[str, list[str]], mode: str = "set", environment: str = "prod"):
    body = {"mode": mode, "assignments": [{"node": node, "roles": names} for node, names in wanted.items()]}
    return client.post(f"/api/environments/{environment}/nodes:assign", json=body)


def placed(client: TestClient) -> dict[str, list[str]]:
    return {node["name"]: node["roles"] for node in client.get("/api/nodes", params={"environment": "prod"}).json()["items"]}


def findings(answer) -> list[tuple[str, str]]:
    assert answer.status_code == 422, answer.text
    assert "Nothing was changed." in answer.json()["remedy"]
    return [(item["rule"], item["field"]) for item in answer.json()["findings"]]


def test_roles_are_set_added_and_removed(prod: TestClient) -> None:
    done = assign(prod, {"n1": ["web", "db"], "n2": ["web"], "n3": []})
    assert done.status_code == 200, done.text
    assert (done.json()["changed"], done.json()["unchanged"]) == (["n1", "n2", "n3"], [])
    assert placed(prod) == {"n1": ["db", "web"], "n2": ["web"], "n3": []}
    revision = prod.get("/api/environments/prod").json()["revision"]
    assert done.json()["revision"] == revision

    again = assign(prod, {"n1": ["db", "web"], "n2": ["db"], "n4": ["web"]}).json()
    assert (again["changed"], again["unchanged"], again["revision"]) == (["n2", "n4"], ["n1"], revision + 1)
    assert assign(prod, {"n1": ["web", "db"]}).json()["revision"] == revision + 1
    assign(prod, {"n3": ["web"], "n2": ["web"]}, mode="add")
    assert placed(prod) == {"n1": ["db", "web"], "n2": ["db", "web"], "n3": ["web"], "n4": ["web"]}
    assign(prod, {node: ["web", "nonsense"] for node in ("n1", "n2", "n3")}, mode="remove")
    assert placed(prod) == {"n1": ["db"], "n2": ["db"], "n3": [], "n4": ["web"]}


def test_every_fault_is_told_at_once_and_nothing_is_changed(prod: TestClient) -> None:
    prod.post("/api/environments", json={"name": "other"})
    prod.put("/api/environments/other/nodes/n9", json={"roles": []})
    assign(prod, {"n8": ["db"]})
    before = prod.get("/api/environments/prod").json(), placed(prod)
    wanted = [
        ("n0", ["wbe"]),
        ("n1", ["cache", "db"]),
        ("n2", ["db"]),
        ("nobody", []),
        ("n2", ["web"]),
        ("n9", ["web"]),
        ("n3", ["db"]),
    ]
    body = {"assignments": [{"node": node, "roles": names} for node, names in wanted]}
    answer = prod.post("/api/environments/prod/nodes:assign", json=body)
    assert findings(answer) == [
        ("W004", "assignments"),
        ("W001", "assignments[3].node"),
        ("W002", "assignments[4].node"),
        ("W003", "assignments[5].node"),
        ("W005", "assignments[1].roles"),
        ("W006", "assignments"),
    ]
    assert "at most, not 4: n1, n2, n3, n8." in answer.text
    assert "'wbe'; it is given to n0." in answer.text
    assert (prod.get("/api/environments/prod").json(), placed(prod)) == before


def test_a_role_may_move_from_one_node_to_another_in_one_call(prod: TestClient) -> None:
    assign(prod, {"n1": ["db"], "n2": ["db"]})
    assert assign(prod, {"n1": ["web"], "n3": ["db"]}).json()["changed"] == ["n1", "n3"]
    assert placed(prod) == {"n1": ["web"], "n2": ["db"], "n3": ["db"]}


def test_nodes_are_taken_out_at_once_or_with_the_next_deployment(prod: TestClient, server_context: ServerContext) -> None:
    assign(prod, {f"n{n}": ["web"] for n in range(4)})
    with server_context.database.transaction() as connection:
        n1 = connection.execute(select(tables.nodes.c.id).where(tables.nodes.c.name == "n1")).scalar()
        connection.execute(insert(tables.applied_files).values(node_id=n1, path="/etc/x", data="{}"))
    url = "/api/environments/prod/nodes:unassign"
    assert findings(prod.post(url, json={"nodes": ["n0", "n7", "nobody", "n0"]})) == [
        ("W007", "nodes[1]"),
        ("W001", "nodes[2].node"),
        ("W002", "nodes[3].node"),
    ]
    done = prod.post(url, json={"nodes": ["n0", "n1", "n2"]}).json()
    assert (done["changed"], done["removing"]) == (["n0", "n1", "n2"], ["n1"])
    assert placed(prod) == {"n1": ["web"], "n3": ["web"]}
    assert prod.get("/api/nodes/n1").json()["removing"]
    assert prod.post(url, json={"nodes": ["n1"]}).json()["unchanged"] == ["n1"]
    assert assign(prod, {"n1": ["web"]}).json()["changed"] == ["n1"]
    assert not prod.get("/api/nodes/n1").json()["removing"]


def test_nodes_are_added_all_or_none(prod: TestClient) -> None:
    new = [
        {"name": "n1", "address": "a"},
        {"name": "x", "address": "a b"},
        {"name": "y", "address": "a", "credential": "none"},
        {"name": "z", "address": "a", "jump": "later"},
        {"name": "later", "address": "a", "refresh": True},
        {"name": "../x", "address": "a"},
        {"name": "z", "address": "a"},
        {"name": "good", "address": "a", "jump": "n1"},
    ]
    assert findings(prod.post("/api/nodes:add", json={"nodes": new})) == [
        ("W013", "nodes[0]"),
        ("W010", "nodes[1]"),
        ("W014", "nodes[2]"),
        ("W015", "nodes[3]"),
        ("W012", "nodes[4]"),
        ("W010", "nodes[5]"),
        ("W013", "nodes[6]"),
    ]
    assert prod.get("/api/nodes/good").status_code == 404
    way = [{"name": f"j{n}", "address": "a", **({"jump": f"j{n - 1}"} if n else {})} for n in range(6)]
    assert findings(prod.post("/api/nodes:add", json={"nodes": way})) == [("W016", "nodes[5]")]
    assert prod.post("/api/nodes:add", json={"nodes": way[:5]}).status_code == 201
    assert prod.get("/api/nodes/j4").json()["jump"] == "j3"
    assert prod.get("/api/nodes/j4").json()["credential"] == "default"


def test_nodes_are_removed_all_or_none(prod: TestClient) -> None:
    assign(prod, {"n1": ["web"]})
    prod.post("/api/nodes:add", json={"nodes": [{"name": "behind", "address": "a", "jump": "n2"}]})
    answer = prod.post("/api/nodes:remove", json={"nodes": ["n1", "n2", "n3", "nobody"]})
    assert findings(answer) == [("W017", "nodes[0]"), ("W018", "nodes[1]"), ("W001", "nodes[3]")]
    assert prod.post("/api/nodes:remove", json={"nodes": ["n2", "n3", "behind"]}).json()["nodes"] == ["behind", "n2", "n3"]
    assert [node["name"] for node in prod.get("/api/nodes", params={"q": "n2"}).json()["items"]] == []


@pytest.mark.parametrize("body", [{}, {"assignments": []}, {"assignments": [{"node": "n1"}]}, {"assignments": [], "mode": "x"}])
def test_a_call_without_sense_is_refused(prod: TestClient, body: dict[str, object]) -> None:
    assert prod.post("/api/environments/prod/nodes:assign", json=body).status_code == 400
    many = {"assignments": [{"node": "n1", "roles": []}] * 5001}
    assert prod.post("/api/environments/prod/nodes:assign", json=many).status_code == 400


def test_each_node_has_its_line_in_the_audit_and_a_thousand_nodes_need_few_statements(
    prod: TestClient, server_context: ServerContext
) -> None:
    names = [f"m{n}" for n in range(1000)]
    prod.post("/api/nodes:add", json={"nodes": [{"name": name, "address": "a"} for name in names]})
    statements: list[str] = []
    event.listen(server_context.database.engine, "before_cursor_execute", lambda *seen: statements.append(seen[2]))
    assert len(assign(prod, {name: ["web"] for name in names}).json()["changed"]) == 1000
    assert len(statements) < 40
    with server_context.database.read() as connection:
        table = tables.audit_log
        query = select(table.c.object, table.c.after, table.c.environment).where(table.c.action == "node.assign")
        rows = connection.execute(query).all()
    assert sorted(row.object for row in rows) == sorted(names)
    assert {(row.environment, row.after) for row in rows} == {("prod", json.dumps({"roles": ["web"]}, separators=(",", ":")))}


def test_taking_roles_away_moves_no_node(prod: TestClient, server_context: ServerContext) -> None:
    assign(prod, {"n1": ["web"]})
    assert findings(assign(prod, {"n1": ["web"], "n5": ["web"]}, mode="remove")) == [("W007", "assignments[1]")]
    assert placed(prod) == {"n1": ["web"]}, "a free node came in because roles were taken from it"
    _leave(prod, server_context, "n1")
    assign(prod, {"n1": ["web"]}, mode="remove")
    assert prod.get("/api/nodes/n1").json()["removing"], "a node that was being taken out stays because it lost a role"


def test_a_node_that_comes_back_counts_for_its_roles(prod: TestClient, server_context: ServerContext) -> None:
    assign(prod, {"n1": ["db"], "n2": ["db"]})
    _leave(prod, server_context, "n1")
    assert assign(prod, {"n3": ["db"]}).status_code == 200
    for mode, names in (("set", ["db"]), ("add", ["db"]), ("add", ["web"])):
        assert findings(assign(prod, {"n1": names}, mode=mode)) == [("W006", "assignments")]


def _leave(client: TestClient, context: ServerContext, node: str) -> None:
    with context.database.transaction() as connection:
        identity = connection.execute(select(tables.nodes.c.id).where(tables.nodes.c.name == node)).scalar()
        connection.execute(insert(tables.applied_files).values(node_id=identity, path="/etc/x", data="{}"))
    assert client.post("/api/environments/prod/nodes:unassign", json={"nodes": [node]}).json()["removing"] == [node]

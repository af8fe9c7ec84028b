# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The API: environments, nodes, credentials, roles; every error is a problem document."""

from __future__ import annotations

import pytest
from litestar.testing import TestClient
from stoker_sdk.extension_points import roles

from stoker.services.context import ServerContext  # isort: skip


pytestmark = pytest.mark.databases("sqlite", "postgresql")


def problem(response, status: int, kind: str) -> dict[str, object]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document = response.json()
    assert document["status"] == status
    assert document["type"] == f"urn:stoker:problem:{kind}"
    return document


def test_environments_are_made_listed_deleted(client: TestClient) -> None:
    made = client.post("/api/environments", json={"name": "prod"})
    assert made.status_code == 201
    assert client.get("/api/environments").json()["items"] == [made.json()]
    assert client.get("/api/environments/prod").json() == client.get(f"/api/environments/{made.json()['id']}").json()
    problem(client.post("/api/environments", json={"name": "prod"}), 409, "conflict")
    assert client.delete("/api/environments/prod").status_code == 204
    problem(client.get("/api/environments/prod"), 404, "not-found")


@pytest.mark.parametrize("name", ["", "a b", "../x", "x" * 64, "ä"])
def test_bad_names_are_refused(client: TestClient, name: str) -> None:
    problem(client.post("/api/environments", json={"name": name}), 422, "invalid-input")


def test_unknown_and_wrong_fields_are_named(client: TestClient) -> None:
    found = problem(client.post("/api/environments", json={"name": "e", "nmae": "x"}), 400, "bad-request")
    assert "nmae" in found["detail"]
    found = problem(client.post("/api/nodes", json={"name": "n", "address": "a", "port": 70000}), 400, "bad-request")
    assert "port" in found["detail"]
    problem(client.post("/api/nodes", content=b"{", headers={"content-type": "application/json"}), 400, "bad-request")


def test_unknown_paths_and_methods_are_problems_too(client: TestClient) -> None:
    problem(client.get("/api/nonsense"), 404, "not-found")
    problem(client.put("/api/nodes"), 405, "method-not-allowed")


def test_a_mistake_of_the_server_shows_nothing_inside(
    client: TestClient, server_context: ServerContext, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(server_context, "database", None)
    found = problem(client.get("/api/nodes"), 500, "internal")
    assert "NoneType" not in str(found)
    assert str(found["error"]) in caplog.text
    assert "NoneType" in caplog.text


def test_the_api_describes_itself(client: TestClient) -> None:
    paths = client.get("/api/openapi.json").json()["paths"]
    assert {"/api/plugins", "/api/environments/{env}/plugins/{plugin}", "/api/nodes/{node}/refresh", "/api/credentials"} <= set(
        paths
    )
    assert all(operation.get("description") or operation.get("summary") for path in paths.values() for operation in path.values())


def test_nodes_get_the_default_credential_and_facts_stay_as_stored(client: TestClient) -> None:
    made = client.post("/api/nodes", json={"name": "n1", "address": "192.0.2.1"})
    assert made.status_code == 201, made.text
    assert made.json()["credential"] == "default"
    assert made.json()["facts"] == {}
    assert client.get("/api/nodes").json()["items"] == [made.json()]
    problem(client.post("/api/nodes", json={"name": "n1", "address": "192.0.2.2"}), 409, "conflict")
    problem(client.post("/api/nodes", json={"name": "n2", "address": "192.0.2.2", "jump": "nobody"}), 404, "not-found")
    assert client.post("/api/nodes", json={"name": "n2", "address": "192.0.2.2", "jump": "n1"}).status_code == 201
    assert "n2" in problem(client.delete("/api/nodes/n1"), 409, "conflict")["detail"]
    problem(client.delete("/api/credentials/default"), 409, "conflict")
    assert client.delete("/api/nodes/n2").status_code == 204
    assert client.delete("/api/nodes/n1").status_code == 204
    assert client.delete("/api/credentials/default").status_code == 204


def test_a_node_that_does_not_answer_is_a_problem_and_is_remembered(client: TestClient) -> None:
    client.post("/api/nodes", json={"name": "n1", "address": "127.0.0.1", "port": 9})
    problem(client.post("/api/nodes/n1/refresh"), 502, "node-unreachable")
    node = client.get("/api/nodes/n1").json()
    assert node["status"] == "unreachable"
    assert node["status_reason"]


def test_a_node_that_is_added_and_does_not_answer_says_so_and_can_be_changed(client: TestClient) -> None:
    new = {"name": "n1", "address": "127.0.0.1", "port": 9, "refresh": True}
    added = client.post("/api/nodes", json=new)
    assert (added.status_code, added.json()["status"]) == (201, "unreachable")
    assert added.json()["warning"]["detail"] == "node n1: root@127.0.0.1:9: Connection refused."
    assert "stoker nodes set n1" in added.json()["warning"]["remedy"]
    assert "stoker nodes set n1" in problem(client.post("/api/nodes", json=new), 409, "conflict")["remedy"]

    client.post("/api/credentials", json={"name": "other"})
    wanted = {"address": "192.0.2.8", "port": 2222, "user": "deploy", "sudo": True, "credential": "other"}
    changed = client.patch("/api/nodes/n1", json=wanted).json()
    assert {name: changed[name] for name in wanted} == wanted
    assert (changed["status"], "warning" in changed) == ("new", False)
    assert client.patch("/api/nodes/n1", json={}).json() == changed
    client.post("/api/nodes", json={"name": "n2", "address": "192.0.2.9", "jump": "n1"})
    assert "n1" in problem(client.patch("/api/nodes/n1", json={"jump": "n2"}), 422, "invalid-input")["detail"]
    assert client.patch("/api/nodes/n2", json={"jump": None}).json()["jump"] == ""
    problem(client.patch("/api/nodes/n1", json={"credential": "nobody"}), 404, "not-found")
    problem(client.patch("/api/nodes/nobody", json={}), 404, "not-found")
    problem(client.patch("/api/nodes/n1", json={"name": "x"}), 400, "bad-request")


def test_a_node_of_an_environment_that_is_changed_is_a_new_input_of_plans(client: TestClient) -> None:
    client.post("/api/environments", json={"name": "e"})
    client.post("/api/nodes", json={"name": "n1", "address": "192.0.2.1"})
    client.put("/api/environments/e/nodes/n1", json={"roles": []})
    before = client.get("/api/environments/e").json()["revision"]
    client.patch("/api/nodes/n1", json={"address": "192.0.2.2"})
    assert client.get("/api/environments/e").json()["revision"] > before


@pytest.mark.parametrize("text", ["", " ", "a b", "a\0b", "a\nb", "a" * 300, "a@b", "\u202e"])
@pytest.mark.parametrize("name", ["address", "user"])
def test_what_is_no_address_or_user_is_refused_and_shown_harmlessly(client: TestClient, name: str, text: str) -> None:
    new = {"name": "n1", "address": "a", name: text}
    found = problem(client.post("/api/nodes", json=new), 422, "invalid-input")
    assert str(found["detail"]).isprintable()
    assert client.get("/api/nodes").json()["items"] == []


def test_private_keys_are_taken_and_never_given_back(client: TestClient) -> None:
    made = client.post("/api/credentials", json={"name": "own"}).json()
    assert made["public_key"].startswith("ssh-ed25519 ")
    problem(client.post("/api/credentials", json={"name": "bad", "private_key": "planted-not-a-key"}), 422, "invalid-input")
    assert "PRIVATE" not in client.get("/api/credentials").text


def test_roles_are_checked_when_assigned(client: TestClient, make_bundle) -> None:
    bundle = make_bundle(roles.Role(name="server", max=1, conflicts=["client"]), roles.Role(name="client"), name="brings")
    client.post("/api/plugins", content=bundle)
    client.post("/api/environments", json={"name": "e"})
    client.put("/api/environments/e/plugins/brings", json={})
    for name in ("n1", "n2"):
        client.post("/api/nodes", json={"name": name, "address": name})
    url = "/api/environments/e/nodes/n1"
    assert client.put(url, json={"roles": ["server"]}).json()["roles"] == ["server"]
    problem(client.put(url, json={"roles": ["server", "client"]}), 422, "invalid-input")
    problem(client.put(url, json={"roles": ["nonsense"]}), 422, "invalid-input")
    assert "n1" in problem(client.put("/api/environments/e/nodes/n2", json={"roles": ["server"]}), 409, "conflict")["detail"]
    by_name = {role["name"]: role for role in client.get("/api/environments/e/roles").json()["items"]}
    assert by_name["server"]["nodes"] == ["n1"]
    before = client.get("/api/environments/e").json()["revision"]
    problem(client.delete("/api/environments/e"), 409, "conflict")
    assert client.delete(url).json()["environment"] == ""
    assert client.get("/api/environments/e").json()["revision"] > before

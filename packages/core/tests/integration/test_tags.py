# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Entity tags: what has not changed is not sent again; of two edits of one state the second is refused and nothing is lost."""

from __future__ import annotations

import threading

import pytest
from litestar.testing import TestClient
from sqlalchemy import update
from stoker.client import ConnectionSettings, StokerClient
from stoker.db import tables
from stoker.errors import OutdatedEditError
from stoker.services.context import ServerContext
from stoker_sdk.extension_points import roles, settings


@pytest.fixture
def prod(client: TestClient, make_bundle) -> TestClient:
    schema = {
        "type": "object",
        "properties": {"pools": {"type": "array", "items": {"type": "string"}}, "level": {"type": "integer"}},
    }
    bundle = make_bundle(roles.Role(name="web"), settings.Settings(json_schema=schema), name="tuned")
    client.post("/api/plugins", content=bundle)
    client.post("/api/environments", json={"name": "prod"})
    assert client.put("/api/environments/prod/plugins/tuned", json={"settings": {"level": 1}}).status_code == 200
    client.post("/api/nodes", json={"name": "n1", "address": "192.0.2.1"})
    return client


def outdated(answer) -> str:
    assert answer.status_code == 412, answer.text
    assert answer.json()["type"] == "urn:stoker:problem:outdated-edit"
    assert "Nothing was changed" in answer.json()["remedy"]
    return answer.json()["detail"]


@pytest.mark.parametrize(
    "path",
    ["/api/environments/prod", "/api/environments/prod/plugins/tuned", "/api/nodes/n1", "/api/plugin-versions/tuned/1.0.0"],
)
def test_who_has_the_state_already_is_not_sent_it_again(prod: TestClient, path: str) -> None:
    first = prod.get(path)
    tag = first.headers["etag"]
    again = prod.get(path, headers={"If-None-Match": tag})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert prod.get(path, headers={"If-None-Match": f'"x", W/{tag}'}).status_code == 304
    assert prod.get(path, headers={"If-None-Match": '"other"'}).json() == first.json()


def test_another_state_has_another_tag(prod: TestClient) -> None:
    seen = [prod.get("/api/environments/prod/plugins/tuned").headers["etag"]]
    for level in (2, 3):
        answer = prod.put("/api/environments/prod/plugins/tuned", json={"settings": {"level": level}})
        seen.append(answer.headers["etag"])
        assert prod.get("/api/environments/prod/plugins/tuned").headers["etag"] == seen[-1]
    assert len(set(seen)) == 3


def test_of_two_edits_of_settings_the_second_is_refused_and_told_who_was_first(prod: TestClient) -> None:
    path = "/api/environments/prod/plugins/tuned"
    tag = prod.get(path).headers["etag"]
    first = prod.put(path, json={"settings": {"level": 2}}, headers={"If-Match": tag})
    assert first.status_code == 200, first.text
    detail = outdated(prod.put(path, json={"settings": {"level": 1, "pools": ["a"]}}, headers={"If-Match": tag}))
    assert detail.startswith("plugin tuned in environment prod has changed since you read it (plugin.enable by ")
    assert prod.get(path).json()["settings"] == {"level": 2}
    outdated(prod.delete(path, headers={"If-Match": tag}))
    assert prod.put(path, json={"settings": {"level": 4}}, headers={"If-Match": first.headers["etag"]}).status_code == 200
    assert prod.put(path, json={"settings": {"level": 5}}, headers={"If-Match": "*"}).status_code == 200
    assert prod.delete(path, headers={"If-Match": prod.get(path).headers["etag"]}).status_code == 200
    assert "not there any longer (plugin.disable by " in outdated(prod.put(path, json={}, headers={"If-Match": tag}))
    assert "not there any longer" in outdated(prod.put(path, json={}, headers={"If-Match": "*"}))


def test_edits_of_nodes(prod: TestClient) -> None:
    tag = prod.get("/api/nodes/n1").headers["etag"]
    assigned = prod.put("/api/environments/prod/nodes/n1", json={"roles": ["web"]}, headers={"If-Match": tag})
    assert assigned.status_code == 200
    assert "node n1 has changed" in outdated(prod.patch("/api/nodes/n1", json={"port": 23}, headers={"If-Match": tag}))
    outdated(prod.put("/api/environments/prod/nodes/n1", json={"roles": []}, headers={"If-Match": tag}))
    outdated(prod.delete("/api/environments/prod/nodes/n1", headers={"If-Match": tag}))
    outdated(prod.delete("/api/nodes/n1", headers={"If-Match": tag}))
    assert prod.get("/api/nodes/n1").json()["roles"] == ["web"]
    changed = prod.patch("/api/nodes/n1", json={"port": 23}, headers={"If-Match": assigned.headers["etag"]})
    assert changed.status_code == 200
    assert prod.delete("/api/environments/prod/nodes/n1", headers={"If-Match": changed.headers["etag"]}).status_code == 200


def test_what_a_node_tells_by_itself_makes_no_edit_outdated_but_is_sent_again(
    prod: TestClient, server_context: ServerContext
) -> None:
    tag = prod.get("/api/nodes/n1").headers["etag"]
    with server_context.database.transaction() as connection:
        connection.execute(update(tables.nodes).values(status="online", facts='{"os_id":"debian"}', facts_at=5.0))
    answer = prod.get("/api/nodes/n1", headers={"If-None-Match": tag})
    assert (answer.status_code, answer.json()["status"]) == (200, "online")
    assert prod.patch("/api/nodes/n1", json={"port": 23}, headers={"If-Match": tag}).status_code == 200


def test_edits_of_an_environment(prod: TestClient) -> None:
    tag = prod.get("/api/environments/prod").headers["etag"]
    prod.put("/api/environments/prod/plugins/tuned", json={"settings": {"level": 7}})
    assert "environment prod has changed" in outdated(prod.delete("/api/environments/prod", headers={"If-Match": tag}))
    now = prod.get("/api/environments/prod").headers["etag"]
    assert prod.delete("/api/environments/prod", headers={"If-Match": now}).status_code == 204


def test_of_many_edits_at_the_same_moment_none_is_lost(running_server, make_bundle) -> None:
    """Eight people each add their own pool to the list that they read; who is refused reads again."""
    settings_of = ConnectionSettings(server=f"http://127.0.0.1:{running_server.port}", data=str(running_server.data_dir))
    schema = {"type": "object", "properties": {"pools": {"type": "array", "items": {"type": "string"}}}}
    refused: list[str] = []
    with StokerClient(settings_of) as client:
        client.install_plugin(make_bundle(settings.Settings(json_schema=schema), name="tuned"))
        client.create_environment("prod")
        client.enable_plugin("prod", "tuned")

    def edit(name: str) -> None:
        with StokerClient(settings_of) as mine:
            while True:
                pools = mine.environment_plugin("prod", "tuned")["settings"].get("pools", [])
                try:
                    mine.enable_plugin("prod", "tuned", settings={"pools": [*pools, name]}, as_seen=True)
                except OutdatedEditError:
                    refused.append(name)
                else:
                    return

    people = [threading.Thread(target=edit, args=(f"pool{number}",)) for number in range(8)]
    for person in people:
        person.start()
    for person in people:
        person.join(90)
    with StokerClient(settings_of) as client:
        assert sorted(client.environment_plugin("prod", "tuned")["settings"]["pools"]) == [f"pool{number}" for number in range(8)]
    assert refused, "nobody was in anybody's way: the test proves nothing"

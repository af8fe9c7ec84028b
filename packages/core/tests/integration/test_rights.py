# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Rights at work: every route refuses those whose access does not reach, and tokens for some environments change no others."""

from __future__ import annotations

import asyncio
import re

import pytest
from litestar.testing import TestClient
from stoker.api import changes, rights
from stoker.api.rights import level_of
from stoker.app import build_app, routers
from stoker.domain.access import AccessLevel
from stoker.domain.actor import acting_as
from stoker.services.context import ServerContext
from stoker.services.identities import digest_of

pytestmark = pytest.mark.databases("sqlite", "postgresql")

PASSWORD = "correct horse battery"


@pytest.fixture
def people(client: TestClient) -> dict[str, dict[str, str]]:
    """A viewer, an operator and an admin: name -> headers with a token of full access."""
    found = {}
    for level in AccessLevel:
        client.post("/api/users", json={"name": level, "password": PASSWORD, "access": level}).raise_for_status()
        made = client.post("/api/tokens", json={"name": "t", "user": level, "access": level})
        found[str(level)] = {"Authorization": f"Bearer {made.json()['token']}"}
    return found


def routes_needing(*levels: AccessLevel):
    for router in routers():
        for route in router.routes:
            for handler in route.route_handlers:
                if level_of(handler) in levels:
                    for method in handler.http_methods - {"OPTIONS"}:
                        yield method, re.sub(r"\{[^}]*\}", "x", route.path_format)


def refused(answer, needs: str) -> bool:
    document = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, document["needs"]) == (403, needs), (answer.request.url, document)
    return f"needs {needs}" in document["detail"] and f"access {needs}" in document["remedy"]


def test_nobody_does_more_than_they_may(client: TestClient, people) -> None:
    operators, admins = list(routes_needing(AccessLevel.OPERATOR)), list(routes_needing(AccessLevel.ADMIN))
    assert len(operators) > 10
    assert len(admins) > 5
    for method, path in admins:
        assert refused(client.request(method, path, headers=people["viewer"]), "admin")
        assert refused(client.request(method, path, headers=people["operator"]), "admin")
    for method, path in operators:
        assert refused(client.request(method, path, headers=people["viewer"]), "operator")


def test_everybody_does_what_they_may(client: TestClient, people) -> None:
    assert client.get("/api/nodes", headers=people["viewer"]).status_code == 200
    assert client.post("/api/environments", json={"name": "e"}, headers=people["operator"]).status_code == 201
    assert client.get("/api/users", headers=people["admin"]).status_code == 200


def test_an_admins_smaller_token_is_smaller(client: TestClient, people) -> None:
    made = client.post("/api/tokens", json={"name": "small", "access": "viewer"}, headers=people["admin"]).json()
    small = {"Authorization": f"Bearer {made['token']}"}
    assert refused(client.post("/api/environments", json={"name": "e"}, headers=small), "operator")
    answer = client.post("/api/tokens", json={"name": "big", "access": "admin"}, headers=small)
    assert answer.status_code == 403, "a small token made a big one"


def test_who_is_demoted_does_less_at_once(client: TestClient, people) -> None:
    assert client.post("/api/environments", json={"name": "e"}, headers=people["operator"]).status_code == 201
    client.patch("/api/users/operator", json={"access": "viewer"}).raise_for_status()
    assert refused(client.post("/api/environments", json={"name": "f"}, headers=people["operator"]), "operator")


def test_a_token_for_one_environment_changes_no_other(client: TestClient, people) -> None:
    for name in ("mine", "other"):
        client.post("/api/environments", json={"name": name}).raise_for_status()
    body = {"name": "ci", "access": "operator", "environments": ["mine"]}
    made = client.post("/api/tokens", json=body, headers=people["operator"])
    assert made.json()["environments"] == ["mine"]
    limited = {"Authorization": f"Bearer {made.json()['token']}"}
    assert client.get("/api/environments/other", headers=limited).status_code == 200
    identity = client.get("/api/environments/mine").json()["id"]
    for place in ("mine", identity):
        assert client.delete(f"/api/environments/{place}/plugins/none", headers=limited).status_code == 404
    for method, path in (
        ("DELETE", "/api/environments/other"),
        ("POST", "/api/environments"),
        ("DELETE", "/api/nodes/n1"),
        ("POST", "/api/deployments/none/stop"),
    ):
        answer = client.request(method, path, headers=limited)
        assert answer.status_code == 403, (method, path, answer.text)
        assert "mine alone" in answer.json()["detail"]
    assert client.delete("/api/environments/none/plugins/x", headers=limited).status_code == 404
    wider = client.post("/api/tokens", json={"name": "wide", "access": "operator"}, headers=limited)
    assert wider.status_code == 403
    other = client.post("/api/tokens", json={"name": "o", "environments": ["other"]}, headers=limited)
    assert other.status_code == 403


def test_an_admins_token_for_one_environment_is_no_way_to_other_people(client: TestClient, people) -> None:
    client.post("/api/environments", json={"name": "mine"}).raise_for_status()
    body = {"name": "ci", "access": "admin", "environments": ["mine"]}
    made = client.post("/api/tokens", json=body, headers=people["admin"])
    limited = {"Authorization": f"Bearer {made.json()['token']}"}
    others = client.get("/api/tokens").json()["items"]
    operators = next(item["id"] for item in others if item["user"] == "operator")
    answers = [
        client.put("/api/users/operator/password", json={"password": "taken over by a token"}, headers=limited),
        client.delete(f"/api/tokens/{operators}", headers=limited),
        client.post("/api/tokens", json={"name": "o", "user": "operator", "environments": ["mine"]}, headers=limited),
    ]
    assert [answer.status_code for answer in answers] == [403, 404, 403], [answer.text for answer in answers]
    body = {"user": "operator", "password": PASSWORD}
    assert client.post("/api/session", json=body, headers={"Authorization": ""}).status_code == 201


def test_a_file_is_no_way_for_a_limited_token_to_nodes_of_no_environment(client: TestClient, people) -> None:
    client.post("/api/environments", json={"name": "mine"}).raise_for_status()
    client.post("/api/nodes", json={"name": "free", "address": "192.0.2.9"}).raise_for_status()
    body = {"name": "ci", "access": "operator", "environments": ["mine"]}
    limited = {"Authorization": f"Bearer {client.post('/api/tokens', json=body).json()['token']}"}
    document = client.get("/api/environments/mine/document").json()
    for name in ("added", "free"):
        document["nodes"] = {name: {"roles": [], "address": "192.0.2.66"}}
        answer = client.put("/api/environments/mine/document", json={"document": document}, headers=limited)
        assert answer.status_code == 403, answer.text
    assert [(node["name"], node["address"]) for node in client.get("/api/nodes").json()["items"]] == [("free", "192.0.2.9")]


def test_the_description_names_the_level_of_each_operation(server_context: ServerContext, client: TestClient) -> None:
    document = client.get("/api/openapi.json").json()
    operations = [operation for item in document["paths"].values() for operation in item.values()]
    assert all(operation["x-access"] in {"open", "viewer", "operator", "admin"} for operation in operations)
    assert document["paths"]["/api/plugins"]["post"]["x-access"] == "admin"
    assert "Access level: admin." in document["paths"]["/api/plugins"]["post"]["description"]
    assert build_app(server_context).openapi_schema.components.security_schemes.keys() == {"token", "session"}


def test_an_open_stream_ends_with_the_rights_of_its_reader(client: TestClient, people, server_context, monkeypatch) -> None:
    monkeypatch.setattr(rights, "LOOK_AGAIN_SECONDS", 0)
    token = people["viewer"]["Authorization"].removeprefix("Bearer ")
    reader = server_context.identities.look_up("token", digest_of(token))

    async def pieces():
        while True:
            yield b"piece"

    async def read() -> int:
        with acting_as(reader):
            count = 0
            async for _ in rights.while_allowed(server_context, pieces()):
                count += 1
                if count == 3:
                    await asyncio.to_thread(client.patch, "/api/users/viewer", json={"disabled": True})
            return count

    assert asyncio.run(asyncio.wait_for(read(), 30)) == 3


def test_changes_of_everything_end_with_the_rights_of_their_reader(client, people, server_context, monkeypatch) -> None:
    monkeypatch.setattr(rights, "LOOK_AGAIN_SECONDS", 0)
    monkeypatch.setattr(changes, "HEARTBEAT_SECONDS", 0.05)
    token = people["viewer"]["Authorization"].removeprefix("Bearer ")
    reader = server_context.identities.look_up("token", digest_of(token))

    async def read() -> int:
        count = 0
        with acting_as(reader):
            stream = await changes.follow_changes.fn(server_context)
            async for _ in stream.iterator:
                count += 1
                if count == 1:
                    await asyncio.to_thread(client.patch, "/api/users/viewer", json={"disabled": True})
        return count

    assert asyncio.run(asyncio.wait_for(read(), 10)) == 1

# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""A plugin's records move with its version: tried before, live at once with it, or nothing at all; and back."""

from __future__ import annotations

import json

import code_plugins
import msgspec
import pytest
from litestar.testing import TestClient
from stoker.domain.environment_file import EnvironmentFile
from stoker.services import environment_files
from stoker.services.context import ServerContext
from stoker.services.records import Shelf

pytestmark = pytest.mark.databases("sqlite", "postgresql")
SOURCE = """
    def place(documents):
        made = {}
        for key, value in documents.items():
            if value["rack"] == "bad":
                raise ValueError("no such rack")
            made[key] = {"place": value["rack"]}
        return made
"""
FIRST = 'records.Collection(name="assets", json_schema={"required": ["rack"]})'
SECOND = """records.Collection(name="assets", json_schema={"required": ["place"]}, version=2,
    migrations=[records.Migration(version=2, call=code(place))])"""
HERE = "/api/environments/e"


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    folder = tmp_path_factory.mktemp("bundles")
    versions = {"1.0.0": FIRST, "2.0.0": SECOND}
    made = [
        code_plugins.build(folder, version=version, source=SOURCE, contributions=[contribution])
        for version, contribution in versions.items()
    ]
    return [bundle.read_bytes() for bundle in made]


@pytest.fixture
def upgrading(client: TestClient, bundles: list[bytes]) -> TestClient:
    for bundle in bundles:
        assert client.post("/api/plugins", content=bundle).status_code == 201
    client.post("/api/environments", json={"name": "e"})
    assert client.put(f"{HERE}/plugins/hello", json={"version": "1.0.0"}).status_code == 200
    return client


def shelf(client: TestClient, context: ServerContext) -> Shelf:
    version = client.get(f"{HERE}/plugins/hello").json()["version"]
    return Shelf(context, "hello", version, client.get(HERE).json()["id"])


def put(client: TestClient, context: ServerContext, **values: object) -> None:
    shelf(client, context).put("assets", {key: msgspec.Raw(json.dumps(value).encode()) for key, value in values.items()}, {})


def contents(client: TestClient, context: ServerContext) -> dict[str, object]:
    page = shelf(client, context).find("assets", {})
    return {item.key: json.loads(bytes(item.value)) for item in page.records}


def test_records_are_tried_then_migrated_with_the_version_or_not_at_all_and_go_back(
    upgrading: TestClient, server_context: ServerContext
) -> None:
    client = upgrading
    put(client, server_context, one={"rack": "a"}, two={"rack": "bad"})
    would = client.post(f"{HERE}/plugin-upgrades", json={"plugin": "hello", "dry_run": True}).json()
    (records,) = would["records"]
    assert (records["state"], records["from_version"], records["to_version"], records["documents"]) == ("tried", 1, 2, 2)
    assert [failure["key"] for failure in records["failures"]] == ["two"]
    for refused in (
        client.post(f"{HERE}/plugin-upgrades", json={"plugin": "hello"}),
        client.put(f"{HERE}/plugins/hello", json={"version": "2.0.0"}),
    ):
        assert refused.status_code == 409, refused.text
        assert "assets" in refused.json()["detail"]
    assert client.get(f"{HERE}/plugins/hello").json()["version"] == "1.0.0"
    assert contents(client, server_context) == {"one": {"rack": "a"}, "two": {"rack": "bad"}}
    put(client, server_context, two={"rack": "b"})
    done = client.post(f"{HERE}/plugin-upgrades", json={"plugin": "hello"})
    assert done.status_code == 200, done.text
    assert [(item["state"], item["documents"]) for item in done.json()["records"]] == [("migrated", 2)]
    assert contents(client, server_context) == {"one": {"place": "a"}, "two": {"place": "b"}}
    put(client, server_context, three={"place": "c"})
    back = client.post(f"{HERE}/plugin-rollbacks", json={"plugin": "hello", "dry_run": True}).json()["records_back"]
    assert [(item["collection"], item["kept"], item["written"]) for item in back] == [("assets", True, ["three"])]
    refused = client.post(f"{HERE}/plugin-rollbacks", json={"plugin": "hello"})
    assert (refused.status_code, "three" in refused.text) == (409, True)
    assert client.get(f"{HERE}/plugins/hello").json()["version"] == "2.0.0"
    assert client.post(f"{HERE}/plugin-rollbacks", json={"plugin": "hello", "discard_records": True}).status_code == 200
    assert client.get(f"{HERE}/plugins/hello").json()["version"] == "1.0.0"
    assert contents(client, server_context) == {"one": {"rack": "a"}, "two": {"rack": "b"}}


def test_an_environments_file_moves_records_too(upgrading: TestClient, server_context: ServerContext) -> None:
    client = upgrading
    put(client, server_context, one={"rack": "a"})
    file = client.get(f"{HERE}/document").json()
    file["plugins"]["hello"]["version"] = "2.0.0"
    wanted = msgspec.convert(file, EnvironmentFile)
    assert environment_files.apply(server_context, "e", wanted, {}, dry_run=True).changes
    assert contents(client, server_context) == {"one": {"rack": "a"}}
    assert client.put(f"{HERE}/document", json={"document": file}).status_code == 200
    assert contents(client, server_context) == {"one": {"place": "a"}}

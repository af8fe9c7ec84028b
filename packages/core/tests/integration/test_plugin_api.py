# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The API as plugins' code uses it: in the caller's name, and for nothing that would outlast the call or give more rights."""

from __future__ import annotations

import json

import code_plugins
import pytest

SOURCE = """
import json
from stoker_sdk.context import current


class Api(RESTAPIPlugin):
    @staticmethod
    def application(environ, start_response):
        method, path, body = json.loads(environ["wsgi.input"].read())
        told = current().api.request(method, path, body)
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps([told.status, told.body]).encode()]
"""


@pytest.fixture(scope="module")
def ask(tmp_path_factory, running_server_class):
    folder = tmp_path_factory.mktemp("plugin-api")
    server = running_server_class(folder / "data")
    server.start()
    bundle = code_plugins.build(
        folder, "agent", source=SOURCE, contributions=["rest_api.RestApi(call=code(Api))"], fields='api_access="operator", '
    )

    def through(method, path, body=None):
        with server.client() as client:
            told = client.post("/api/plugins/agent/", content=json.dumps([method, path, body]).encode())
        assert told.status_code == 200, told.text
        return told.json()

    try:
        with server.client() as client:
            assert client.post("/api/plugins", content=bundle.read_bytes()).status_code == 201
        through.client = server.client
        yield through
    finally:
        server.kill()


def test_it_has_the_lesser_of_both_rights(ask) -> None:
    assert ask("GET", "/api/session")[1]["access"] == "operator"
    assert ask("GET", "/api/nodes")[0] == 200
    assert ask("GET", "/api/users")[0] == 403


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/api/session/links", None),
        ("POST", "/api/session/link", {"secret": "x" * 43}),
        ("POST", "/api/session", {"user": "ann", "password": "long enough a password"}),
        ("DELETE", "/api/session", None),
        ("POST", "/api/tokens", {"name": "kept", "access": "viewer"}),
        ("POST", "/api//tokens", {"name": "kept", "access": "viewer"}),
        ("DELETE", "/api/tokens/any", None),
        ("PUT", "/api/users/ann/password", {"password": "long enough a password"}),
    ],
)
def test_it_makes_no_way_in_that_lasts_or_gives_more(ask, method, path, body) -> None:
    status, problem = ask(method, path, body)
    assert (status, problem["status"]) == (403, 403), problem
    assert "plugin agent" in problem["detail"]
    assert problem["remedy"]


def test_the_audit_says_that_a_plugin_did_it(ask) -> None:
    assert ask("POST", "/api/nodes", {"name": "by-a-plugin", "address": "192.0.2.1"})[0] in (200, 201)
    with ask.client() as client:
        entry = next(item for item in client.get("/api/audit").json()["items"] if item["action"].startswith("node."))
    assert entry["address"] == "plugin agent"

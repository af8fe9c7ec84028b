# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The description of the API: every route says with which problems it answers, and who may come in."""

from __future__ import annotations

import pytest
from litestar.testing import TestClient
from stoker.app import routers

PROBLEM = {"$ref": "#/components/schemas/Problem"}


@pytest.fixture
def described(client: TestClient) -> dict[str, dict[str, object]]:
    return client.get("/api/openapi.json").json()


def operations(document):
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield method.upper(), path, operation


def test_every_route_is_described(described) -> None:
    found = {(method, path) for method, path, _ in operations(described)}
    handlers = [(router.path, route) for router in routers() for route in router.routes]
    for _, route in handlers:
        path = route.path_format
        for handler in route.route_handlers:
            if handler.include_in_schema is not False:
                assert {(method, path) for method in handler.http_methods if method != "OPTIONS"} <= found


def test_every_problem_has_the_one_shape(described) -> None:
    for method, path, operation in operations(described):
        for status, response in operation["responses"].items():
            if status >= "400":
                assert list(response["content"]) == ["application/problem+json"], (method, path, status)
                assert response["content"]["application/problem+json"]["schema"] == PROBLEM
                assert response["description"]
    assert {"type", "title", "status", "detail"} <= set(described["components"]["schemas"]["Problem"]["required"])


def test_every_route_says_which_problems_it_has(described) -> None:
    for method, path, operation in operations(described):
        wanted = {"403"}
        if path not in ("/api/health", "/api/ready"):
            wanted |= {"400", "401"}
        if "{" in path:
            wanted.add("404")
        if "requestBody" in operation:
            wanted.add("413")
        if method == "DELETE":
            wanted.add("409")
        assert wanted <= set(operation["responses"]), (method, path)


def test_every_route_but_health_and_signing_in_wants_a_token_or_a_session(described) -> None:
    schemes = described["components"]["securitySchemes"]
    assert (schemes["token"]["type"], schemes["token"]["scheme"]) == ("http", "bearer")
    assert (schemes["session"]["type"], schemes["session"]["in"], schemes["session"]["name"]) == (
        "apiKey",
        "cookie",
        "stoker_session",
    )
    assert described["security"] == [{"token": []}, {"session": []}]
    free = {(method, path) for method, path, operation in operations(described) if operation.get("security") == [{}]}
    assert free == {("GET", "/api/health"), ("GET", "/api/ready"), ("POST", "/api/session"), ("POST", "/api/session/link")}


def test_a_bundle_is_bytes_and_may_be_there_already(described) -> None:
    install = described["paths"]["/api/plugins"]["post"]
    assert list(install["requestBody"]["content"]) == ["application/octet-stream"]
    assert install["requestBody"]["required"]
    shapes = [install["responses"][status]["content"]["application/json"]["schema"] for status in ("200", "201")]
    assert shapes == [{"$ref": "#/components/schemas/PluginView"}] * 2


def test_events_are_described_as_a_stream(described) -> None:
    responses = described["paths"]["/api/deployments/{deployment}/events"]["get"]["responses"]
    assert list(responses["200"]["content"]) == ["text/event-stream"]

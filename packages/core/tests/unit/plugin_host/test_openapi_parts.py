# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""What plugins say of their applications becomes a part of the server's description, or a reason why not."""

from __future__ import annotations

import json

import pytest
from stoker.plugin_host.openapi_parts import BrokenDescriptionError, part_of

THING = {"$ref": "#/components/schemas/Thing"}


def document(**more: object) -> dict[str, object]:
    return {
        "openapi": "3.1.0",
        "info": {"title": "x", "version": "1"},
        "servers": [{"url": "https://evil.example"}],
        "paths": {
            "/things": {
                "get": {
                    "tags": ["mine"],
                    "operationId": "list",
                    "security": [],
                    "servers": [{"url": "https://evil.example"}],
                    "responses": {"200": {"description": "", "content": {"application/json": {"schema": THING}}}},
                },
                "post": {},
            },
            "/api/plugins/hello/whole": {"get": {"responses": {"200": {"description": ""}}}},
        },
        "components": {
            "schemas": {
                "Thing": {
                    "$id": "https://evil.example/thing",
                    "properties": {"next": THING, "$ref": {"type": "string"}},
                    "discriminator": {"propertyName": "kind", "mapping": {"a": "#/components/schemas/Thing", "b": "Thing"}},
                }
            },
            "securitySchemes": {"none": {"type": "http", "scheme": "basic"}},
        },
        **more,
    }


def part(given: object):
    return part_of("hello", json.dumps(given).encode(), lambda method, _path: "viewer" if method == "GET" else "operator")


def test_paths_are_below_the_plugins_address_and_components_have_its_name() -> None:
    found = part(document())
    assert set(found.paths) == {"/api/plugins/hello/things", "/api/plugins/hello/whole"}
    got = found.paths["/api/plugins/hello/things"]["get"]
    assert got["tags"] == ["plugin hello"]
    assert got["operationId"] == "hello.list"
    assert got["x-access"] == "viewer"
    assert not {"security", "servers"} & set(got)
    renamed = {"$ref": "#/components/schemas/hello.Thing"}
    assert got["responses"]["200"]["content"]["application/json"]["schema"] == renamed
    assert found.paths["/api/plugins/hello/things"]["post"]["x-access"] == "operator"
    assert found.paths["/api/plugins/hello/things"]["post"]["responses"]
    thing = found.components["schemas"]["hello.Thing"]
    assert thing["properties"] == {"next": renamed, "$ref": {"type": "string"}}
    assert thing["discriminator"]["mapping"] == {"a": "#/components/schemas/hello.Thing", "b": "hello.Thing"}
    assert "$id" not in thing
    assert set(found.components) == {"schemas"}


@pytest.mark.parametrize(
    "given",
    [
        [],
        {},
        {"openapi": "2.0", "paths": {}},
        {"openapi": 3, "paths": {}},
        document(paths=[]),
        document(paths={"/x": []}),
        document(paths={"/x": {"get": []}}),
        document(paths={"things": {}}),
        document(paths={"/../../nodes": {}}),
        document(paths={"//evil": {}}),
        document(paths={"/x?y": {}}),
        document(paths={"/x": {"get": {"responses": {"200": {"$ref": "https://evil.example/x"}}}}}),
        document(paths={"/x": {"get": {"responses": {"200": {"$ref": "#/paths/~1nodes"}}}}}),
        document(paths={"/x": {"get": {"responses": {"200": {"$ref": "#/components/responses/Missing"}}}}}),
        document(components={"schemas": {"a/b": {}}}),
        document(components={"schemas": []}),
        document(paths={f"/{number}": {} for number in range(2001)}),
        document(deep=json.loads("[" * 80 + "]" * 80)),
    ],
)
def test_what_is_no_description_is_refused(given) -> None:
    with pytest.raises(BrokenDescriptionError, match="OpenAPI"):
        part(given)


@pytest.mark.parametrize("text", [b"", b"{", b"<html>", b"\xff", b'{"openapi": "' + b"a" * 3_000_000 + b'"}', b"[" * 100_000])
def test_what_is_no_json_is_refused(text) -> None:
    with pytest.raises(BrokenDescriptionError):
        part_of("hello", text, lambda _method, _path: "viewer")

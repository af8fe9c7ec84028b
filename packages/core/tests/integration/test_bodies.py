# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Whatever somebody sends, the answer is a problem document with a detail and a remedy, and never the server's mistake."""

from __future__ import annotations

import pytest
from litestar.testing import TestClient

JSON = {"content-type": "application/json"}
BODIES = {
    "deep list": b"[" * 200_000,
    "deep map": b'{"name":' * 100_000,
    "not UTF-8": b'{"name":"\xff\xfe"}',
    "half a character": b'{"name":"\\ud800"}',
    "empty": b"",
    "null": b"null",
    "list": b"[]",
    "number": b"1e999",
    "wrong type": b'{"name":5}',
    "no number": b'{"name":NaN}',
    "cut off": b'{"name":',
    "form": b"name=x",
}


def told(answer, status: int) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status
    assert answer.json()["remedy"]
    return str(answer.json()["detail"])


@pytest.mark.parametrize("case", BODIES)
@pytest.mark.parametrize("path", ["/api/environments", "/api/nodes", "/api/credentials"])
def test_a_body_that_cannot_be_read_is_refused_with_the_reason(client: TestClient, path: str, case: str) -> None:
    detail = told(client.post(path, content=BODIES[case], headers=JSON), 400)
    assert "body" in detail or "name" in detail


def test_a_body_that_is_too_large_is_refused_with_the_remedy(client: TestClient) -> None:
    assert "larger" in told(
        client.post("/api/environments", content=b'{"name":"' + b"x" * (17 * 2**20) + b'"}', headers=JSON), 413
    )
    assert "larger" in told(client.post("/api/plugins", content=bytes(5 * 2**20)), 413)


def test_settings_that_are_nested_deeply_are_refused(client: TestClient) -> None:
    for depth in (101, 500, 900):
        settings = b'{"a":' * depth + b"1" + b"}" * depth
        answer = client.put("/api/environments/e/plugins/x", content=b'{"settings":' + settings + b"}", headers=JSON)
        assert "nested" in told(answer, 422 if answer.status_code == 422 else 400)


@pytest.mark.parametrize("last", ["9223372036854775808", "-1", "x", "", "9" * 5000])
def test_an_event_id_that_cannot_be_is_refused(client: TestClient, last: str) -> None:
    answer = client.get("/api/deployments/any/events", headers={"Last-Event-ID": last})
    assert "Last-Event-Id" in told(answer, 400)


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/", 404), ("POST", "/api/x", 404), ("FOO", "/api/nodes", 405)])
def test_unknown_routes_and_methods_are_told(client: TestClient, method: str, path: str, status: int) -> None:
    assert path in told(client.request(method, path), status)

# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The header Idempotency-Key: a request is carried out once, however often it comes, also over a killed server."""

from __future__ import annotations

import socket
import threading
import time

import pytest
from litestar.testing import TestClient
from sqlalchemy import select, update
from stoker.client import ConnectionSettings, StokerClient
from stoker.db import tables
from stoker.errors import ConflictError
from stoker.services import repeats
from stoker.services.context import ServerContext


def post(client: TestClient, key: str, path: str = "/api/environments", **body: object):
    return client.post(path, json=body, headers={"Idempotency-Key": key})


def refused(answer, status: int, kind: str):
    assert answer.status_code == status, answer.text
    assert answer.json()["type"] == f"urn:stoker:problem:{kind}"
    return answer


def rows(context: ServerContext) -> list:
    with context.database.read() as connection:
        return list(connection.execute(select(tables.idempotency_keys)))


def test_a_repeated_request_is_carried_out_once_and_answered_alike(client: TestClient) -> None:
    first, again = post(client, "k1", name="prod"), post(client, "k1", name="prod")
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content
    assert again.headers["content-type"] == first.headers["content-type"]
    assert ("idempotency-replayed" in first.headers, again.headers["idempotency-replayed"]) == (False, "true")
    assert len(client.get("/api/environments").json()["items"]) == 1
    refused(client.post("/api/environments", json={"name": "prod"}), 409, "conflict")


def test_changes_of_every_kind_may_have_a_key(client: TestClient) -> None:
    post(client, "k1", name="prod")
    post(client, "k2", "/api/nodes", name="n1", address="192.0.2.1")
    key = {"Idempotency-Key": "k3"}
    changed = [client.patch("/api/nodes/n1", json={"port": 23}, headers=key) for _ in range(2)]
    assert changed[0].headers["etag"] == changed[1].headers["etag"]
    assert [client.delete("/api/nodes/n1", headers={"Idempotency-Key": "k4"}).status_code for _ in range(2)] == [204, 204]
    refused(client.delete("/api/nodes/n1"), 404, "not-found")


def test_a_key_is_for_one_request(client: TestClient) -> None:
    post(client, "k1", name="prod")
    refused(post(client, "k1", name="test"), 422, "idempotency-key-reused")
    refused(post(client, "k1", "/api/nodes", name="prod", address="a"), 422, "idempotency-key-reused")
    refused(client.delete("/api/environments/prod", headers={"Idempotency-Key": "k1"}), 422, "idempotency-key-reused")
    assert client.get("/api/environments/prod").status_code == 200


@pytest.mark.parametrize("key", ["", " ", "a b", "ä", "x" * 201])
def test_what_is_no_key_is_refused(client: TestClient, key: str) -> None:
    answer = client.post("/api/environments", json={"name": "e"}, headers={"Idempotency-Key": key.encode()})
    refused(answer, 400, "bad-request")


def test_a_refused_request_may_come_again_under_its_key(client: TestClient, server_context: ServerContext) -> None:
    refused(post(client, "k1", "/api/environments/e/checks"), 404, "not-found")
    assert rows(server_context) == []
    refused(post(client, "k1", name="a b"), 422, "invalid-input")
    assert post(client, "k1", name="e").status_code == 201


def test_a_mistake_of_the_server_lets_the_key_go(
    client: TestClient, server_context: ServerContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stoker.services.environments.add_environment", None)
    assert post(client, "k1", name="e").status_code == 500
    monkeypatch.undo()
    assert post(client, "k1", name="e").status_code == 201


def test_while_the_first_one_is_under_way_a_repetition_waits_and_if_it_broke_off_nobody_knows(
    client: TestClient, server_context: ServerContext
) -> None:
    post(client, "k1", name="e")
    with server_context.database.transaction() as connection:
        connection.execute(update(tables.idempotency_keys).values(status=0, lease_until=time.time() + 60))
    assert refused(post(client, "k1", name="e"), 409, "under-way").headers["retry-after"] == "1"
    refused(post(client, "k1", name="other"), 422, "idempotency-key-reused")
    with server_context.database.transaction() as connection:
        connection.execute(update(tables.idempotency_keys).values(lease_until=time.time() - 1))
    answer = refused(post(client, "k1", name="e"), 409, "outcome-unknown")
    assert "nobody knows" in answer.json()["detail"]


def test_what_is_under_way_is_kept_alive(
    client: TestClient, server_context: ServerContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repeats, "LEASE_SECONDS", 0.6)
    # A look at nodes takes long and holds no transaction: its lease must be renewed meanwhile.
    client.post("/api/nodes", json={"name": "n1", "address": "127.0.0.1", "port": silent_port()})
    seen: list[float] = []
    thread = threading.Thread(target=lambda: post(client, "long", "/api/nodes/n1/refresh"))
    thread.start()
    end = time.monotonic() + 3
    while time.monotonic() < end:
        seen += [row.lease_until - time.time() for row in rows(server_context) if row.key == "long"]
        time.sleep(0.1)
    thread.join(40)
    assert len(seen) > 10
    assert min(seen) > 0


def silent_port() -> int:
    """Something that takes connections and never says a word."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen(8)
    _OPEN.append(listening)
    return listening.getsockname()[1]


_OPEN: list[socket.socket] = []


@pytest.fixture(autouse=True)
def closed():
    yield
    while _OPEN:
        _OPEN.pop().close()


def test_a_secret_that_is_shown_once_is_not_kept(client: TestClient, server_context: ServerContext) -> None:
    first = post(client, "k1", "/api/tokens", name="ci")
    assert first.status_code == 201, first.text
    secret = first.json().get("token") or first.json()["secret"]
    answer = refused(post(client, "k1", "/api/tokens", name="ci"), 409, "answer-not-kept")
    assert secret not in answer.text
    (row,) = rows(server_context)
    assert row.body is None
    post(client, "k2", name="plain-to-read")
    stored = next(row for row in rows(server_context) if row.key == "k2")
    assert b"plain-to-read" not in stored.body
    assert "plain-to-read" not in stored.fingerprint


def test_keys_are_forgotten_after_a_day(client: TestClient, server_context: ServerContext) -> None:
    post(client, "old", name="e")
    with server_context.database.transaction() as connection:
        connection.execute(update(tables.idempotency_keys).values(at=time.time() - 25 * 3600))
    post(client, "new", name="f")
    assert [row.key for row in rows(server_context)] == ["new"]


def test_a_client_repeats_what_broke_and_it_is_done_once(running_server) -> None:
    """Between client and server stands one who cuts the connection after the request, before the answer."""
    cut = 2
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen(8)
    listening.settimeout(30)

    def relay() -> None:
        nonlocal cut
        while cut >= 0:
            try:
                near, _ = listening.accept()
            except OSError:
                return
            with near, socket.create_connection(("127.0.0.1", running_server.port)) as far:
                request = near.recv(65536)
                while b"\r\n\r\n" not in request or not request.rstrip().endswith(b"}"):
                    request += near.recv(65536)
                far.sendall(request)
                answer = far.recv(65536)
                if cut == 0:
                    near.sendall(answer)
                cut -= 1

    thread = threading.Thread(target=relay)
    thread.start()
    settings = ConnectionSettings(server=f"http://127.0.0.1:{listening.getsockname()[1]}", data=str(running_server.data_dir))
    with StokerClient(settings) as client:
        assert client.create_environment("once")["name"] == "once"
    listening.close()
    thread.join(10)
    with running_server.client() as client:
        assert [item["name"] for item in client.get("/api/environments").json()["items"]] == ["once"]
    direct = ConnectionSettings(server=f"http://127.0.0.1:{running_server.port}", data=str(running_server.data_dir))
    with StokerClient(direct) as client, pytest.raises(ConflictError):
        client.create_environment("once")


def test_two_at_the_same_moment_make_one(running_server) -> None:
    answers: list[int] = []

    def send() -> None:
        with running_server.client() as client:
            answers.append(client.post("/api/environments", json={"name": "e"}, headers={"Idempotency-Key": "same"}).status_code)

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert set(answers) <= {201, 409}
    assert 201 in answers
    with running_server.client() as client:
        assert client.post("/api/environments", json={"name": "e"}, headers={"Idempotency-Key": "same"}).status_code == 201

# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""People before a real server: addresses behind proxies, and several processes."""

from __future__ import annotations

import time

import httpx
import pytest

PASSWORD = "correct horse battery"
FORWARDED = {"X-Forwarded-For": "203.0.113.9"}


def last_address(client: httpx.Client) -> str:
    client.post("/api/environments", json={"name": "e"}, headers=FORWARDED).raise_for_status()
    return client.get("/api/audit", params={"limit": 1}).json()["items"][0]["address"]


@pytest.mark.parametrize(("trusted", "address"), [([], "127.0.0.1"), (["127.0.0.1"], "203.0.113.9")])
def test_an_address_is_believed_from_a_trusted_proxy_alone(start_server, trusted, address) -> None:
    with start_server(trusted_proxies=trusted).client() as client:
        assert last_address(client) == address


def test_several_processes_know_the_same_people(start_server) -> None:
    server = start_server(processes=2)
    with server.client() as client:
        made = client.post("/api/users", json={"name": "anna", "password": PASSWORD, "access": "operator"})
        assert made.status_code == 201, made.text
        token = client.post("/api/tokens", json={"name": "t", "user": "anna", "access": "viewer"}).json()["token"]
        own = {"Authorization": f"Bearer {token}"}

        def statuses() -> set[int]:
            """Answers over connections of their own, which reach both processes in time."""
            return {httpx.get(f"{client.base_url}/api/nodes", headers=own).status_code for _ in range(10)}

        assert statuses() == {200}
        assert client.post("/api/environments", json={"name": "e"}, headers=own).status_code == 403
        client.delete("/api/tokens/t").raise_for_status()
        time.sleep(1.1)
        assert statuses() == {401}
    with httpx.Client(base_url=client.base_url) as browser:
        csrf = browser.post("/api/session", json={"user": "anna", "password": PASSWORD}).json()["csrf"]
        assert browser.post("/api/environments", json={"name": "f"}).status_code == 403
        assert browser.post("/api/environments", json={"name": "f"}, headers={"X-CSRF-Token": csrf}).status_code == 201
        entry = browser.get("/api/audit", params={"limit": 1}).json()["items"][0]
        assert (entry["actor"], entry["action"], entry["address"]) == ("anna", "environment.create", "127.0.0.1")
        assert browser.delete("/api/session", headers={"X-CSRF-Token": csrf}).status_code == 204

# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Several versions of a plugin on one server: which is the default, which are denied, and what may reach the network."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from litestar.testing import TestClient
from stoker.domain import plugin_denial
from stoker.domain.plugin_denial import Denial
from stoker.services.context import ServerContext
from stoker_sdk.extension_points import tasks

MakeBundle = Callable[..., bytes]
GREET = tasks.Shell(id="greet", roles=["*"], run="true")


def defaults(client: TestClient) -> dict[str, tuple[str, bool]]:
    items = client.get("/api/plugin-defaults").json()["items"]
    return {item["name"]: (item["version"], item["chosen"]) for item in items}


def install(client: TestClient, make_bundle: MakeBundle, *versions: str) -> None:
    for version in versions:
        made = client.post("/api/plugins", content=make_bundle(GREET, version=version))
        assert made.status_code == 201, made.text


@pytest.mark.databases("sqlite", "postgresql")
def test_the_newest_version_is_the_default_until_an_admin_chooses_another(client: TestClient, make_bundle: MakeBundle) -> None:
    install(client, make_bundle, "1.10.0", "1.9.0", "2.0.0rc1")
    assert defaults(client) == {"motd": ("1.10.0", False)}
    chosen = client.put("/api/plugin-defaults/motd", json={"version": "1.9.0"})
    assert chosen.json() == {"name": "motd", "version": "1.9.0", "chosen": True}
    install(client, make_bundle, "3.0.0")
    assert defaults(client) == {"motd": ("1.9.0", True)}
    assert [item["version"] for item in client.get("/api/plugins").json()["items"] if item["default"]] == ["1.9.0"]
    client.post("/api/environments", json={"name": "e"})
    assert client.put("/api/environments/e/plugins/motd", json={}).json()["version"] == "1.9.0"
    client.delete("/api/environments/e/plugins/motd")
    assert client.delete("/api/plugin-versions/motd/1.9.0").status_code == 204
    assert defaults(client) == {"motd": ("3.0.0", False)}
    client.put("/api/plugin-defaults/motd", json={"version": "1.10.0"})
    assert client.delete("/api/plugin-defaults/motd").json() == {"name": "motd", "version": "3.0.0", "chosen": False}
    assert client.put("/api/plugin-defaults/motd", json={"version": "9"}).status_code == 404
    for version in ("1.10.0", "3.0.0"):
        client.delete(f"/api/plugin-versions/motd/{version}")
    assert defaults(client) == {"motd": ("2.0.0rc1", False)}  # there is nothing else


def test_the_default_does_not_depend_on_the_order_of_installing(client: TestClient, make_bundle: MakeBundle) -> None:
    found = set()
    for order in itertools.permutations(("1.0.0", "1.2.0", "1.10.0")):
        install(client, make_bundle, *order)
        found.add(defaults(client)["motd"])
        for version in order:
            client.delete(f"/api/plugin-versions/motd/{version}")
    assert found == {("1.10.0", False)}


@pytest.mark.databases("sqlite", "postgresql")
def test_what_is_denied_is_neither_installed_nor_enabled_nor_the_default(client: TestClient, make_bundle: MakeBundle) -> None:
    install(client, make_bundle, "1.0.0", "1.1.0")
    for name in ("e", "f"):
        client.post("/api/environments", json={"name": name})
    client.put("/api/environments/e/plugins/motd", json={"version": "1.1.0"})
    denied = client.post("/api/plugin-denials", json={"name": "motd", "versions": ">=1.1, <2", "reason": "it eats disks"})
    assert denied.status_code == 201, denied.text
    assert (denied.json()["versions"], denied.json()["installed"]) == ("<2,>=1.1", ["1.1.0"])
    assert defaults(client) == {"motd": ("1.0.0", False)}
    for refused in (
        client.post("/api/plugins", content=make_bundle(GREET, version="1.2.0")),
        client.put("/api/environments/f/plugins/motd", json={"version": "1.1.0"}),
        client.put("/api/plugin-defaults/motd", json={"version": "1.1.0"}),
    ):
        assert refused.status_code == 409, refused.text
        assert "it eats disks" in refused.json()["detail"]
        assert refused.json()["denied"]["versions"] == "<2,>=1.1"
    shown = client.get("/api/plugin-versions/motd/1.1.0").json()
    assert (shown["denied"], shown["default"]) == ("it eats disks", False)
    # Where it is enabled it stays, so that it can be looked at, settled otherwise and taken away.
    assert client.get("/api/environments/e/plugins/motd").json()["version"] == "1.1.0"
    assert client.put("/api/environments/e/plugins/motd", json={"version": "1.0.0"}).status_code == 200
    assert client.put("/api/environments/e/plugins/motd", json={"version": "1.1.0"}).status_code == 409
    assert client.delete("/api/plugin-denials/motd", params={"versions": ">=1.1"}).status_code == 404
    assert client.delete("/api/plugin-denials/motd", params={"versions": ">=1.1,<2"}).status_code == 204
    assert client.put("/api/environments/e/plugins/motd", json={"version": "1.1.0"}).status_code == 200


def test_words_that_deny_nothing_are_refused(client: TestClient) -> None:
    for body in ({"name": "motd", "versions": "new ones", "reason": "x"}, {"name": "motd", "reason": "  "}):
        assert client.post("/api/plugin-denials", json=body).status_code == 422
    assert client.get("/api/plugin-denials").json()["items"] == []


def test_what_stoker_denies_nobody_allows(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    known = (Denial(name="motd", versions="==0.9", reason="known to do harm", built_in=True),)
    monkeypatch.setattr("stoker.db.plugin_denials.BUILT_IN", known)
    assert plugin_denial.denial_of(known, "motd", "0.9")
    assert [item["built_in"] for item in client.get("/api/plugin-denials").json()["items"]] == [True]
    assert client.delete("/api/plugin-denials/motd", params={"versions": "==0.9"}).status_code == 409
    again = client.post("/api/plugin-denials", json={"name": "motd", "versions": "==0.9", "reason": "x"})
    assert again.status_code == 409


def test_the_network_is_for_plugins_whose_reason_an_admin_agreed_to(client: TestClient, make_bundle: MakeBundle) -> None:
    bundle = make_bundle(GREET, outbound_network="asks the ticket system at tickets.example.net")
    refused = client.post("/api/plugins", content=bundle)
    assert refused.status_code == 409
    assert "tickets.example.net" in refused.json()["detail"]
    assert "--allow-network" in refused.json()["remedy"]
    assert client.get("/api/plugins").json()["items"] == []
    agreed = client.post("/api/plugins", content=bundle, params={"allow_network": "true"})
    assert (agreed.status_code, agreed.json()["network_agreed"]) == (201, True)
    told = client.get("/api/audit", params={"action": "plugin.install"}).json()["items"][0]["after"]
    assert told["digest"] == agreed.json()["digest"]
    assert "tickets.example.net" in told["network"]
    other = client.post("/api/plugins", content=make_bundle(GREET, name="quiet"), params={"allow_network": "true"})
    assert other.json()["network_agreed"] is False  # nobody asked for it


def test_a_refusal_says_what_would_have_to_change(client: TestClient, make_bundle: MakeBundle) -> None:
    for version in ("1.2.0", "1.3.0"):
        client.post("/api/plugins", content=make_bundle(name="base", version=version))
    client.post("/api/plugins", content=make_bundle(name="app", requires_plugins=["base>=1.3", "far>=2"]))
    client.post("/api/environments", json={"name": "e"})
    client.put("/api/environments/e/plugins/base", json={"version": "1.2.0"})
    refused = client.put("/api/environments/e/plugins/app", json={})
    assert refused.status_code == 409
    told = ["upgrade base to 1.3.0, which is installed", "install far >=2 and enable it"]
    assert [step["text"] for step in refused.json()["resolution"]] == told
    assert refused.json()["remedy"].endswith(f"It would fit if you {told[0]}, and {told[1]}.")
    client.post("/api/plugin-denials", json={"name": "base", "versions": "==1.3.0", "reason": "broken"})
    refused = client.put("/api/environments/e/plugins/app", json={})
    assert refused.json()["resolution"][0]["text"] == "install base >=1.3 and upgrade to it"


def test_the_registry_says_which_version_is_the_default(
    client: TestClient, server_context: ServerContext, make_bundle: MakeBundle
) -> None:
    install(client, make_bundle, "1.0.0", "2.0.0")
    assert server_context.registry.read().plugins["motd"].default == "2.0.0"
    client.put("/api/plugin-defaults/motd", json={"version": "1.0.0"})
    assert server_context.registry.read().plugins["motd"].default == "1.0.0"
    client.post("/api/plugin-denials", json={"name": "motd", "versions": "<2", "reason": "broken"})
    assert server_context.registry.read().plugins["motd"].default == "2.0.0"

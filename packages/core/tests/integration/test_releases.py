# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Releases: active once installed, brought by one plugin alone, run by environments; and the nodes that selectors chose."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from litestar.testing import TestClient
from stoker_sdk.extension_points import config_files, releases, roles, services, tasks

MakeBundle = Callable[..., bytes]

SHOP = releases.Release(name="shop-debian12", product="shop", version="1.4", operating_systems=["debian>=12,<13"])
FRONT = services.Service(
    name="front",
    roles=["front"],
    packages=["frontd"],
    units=["frontd"],
    files=[services.ServiceFile(path="/etc/front.ini", format="ini")],
)


def install(client: TestClient, bundle: bytes, status: int = 201) -> dict[str, object]:
    answer = client.post("/api/plugins", content=bundle)
    assert answer.status_code == status, answer.text
    document: dict[str, object] = answer.json()
    return document


def enable(client: TestClient, environment: str, plugin: str, status: int = 200) -> dict[str, object]:
    answer = client.put(f"/api/environments/{environment}/plugins/{plugin}", json={})
    assert answer.status_code == status, answer.text
    document: dict[str, object] = answer.json()
    return document


def shop(make_bundle: MakeBundle, **fields: str) -> bytes:
    return make_bundle(SHOP, roles.Role(name="front"), FRONT, **{"name": "shop", **fields})


def test_a_release_is_there_once_installed_and_gone_with_its_plugin(client: TestClient, make_bundle: MakeBundle) -> None:
    assert client.get("/api/releases").json() == {"items": []}
    install(client, shop(make_bundle))
    install(client, shop(make_bundle, version="1.10.0"))
    (found,) = client.get("/api/releases").json()["items"]
    assert (found["name"], found["product"], found["version"]) == ("shop-debian12", "shop", "1.4")
    assert (found["plugin"], found["plugin_versions"], found["environments"]) == ("shop", ["1.10.0", "1.0.0"], [])
    shown = client.get("/api/releases/shop-debian12").json()
    assert shown["roles"] == ["front"]
    assert [(item["name"], item["files"]) for item in shown["services"]] == [("front", {"front.ini": "/etc/front.ini"})]
    answer = client.get("/api/releases/shop-debian13")
    assert answer.status_code == 404
    assert "Did you mean 'shop-debian12'?" in answer.json()["remedy"]
    for version in ("1.0.0", "1.10.0"):
        assert client.delete(f"/api/plugin-versions/shop/{version}").status_code == 204
    assert client.get("/api/releases").json() == {"items": []}


def test_a_release_that_another_plugin_brings_is_refused_when_it_is_installed(
    client: TestClient, make_bundle: MakeBundle
) -> None:
    install(client, shop(make_bundle))
    refusal = install(client, shop(make_bundle, name="store", version="2.0.0"), 409)
    assert "releases shop-debian12" in str(refusal["detail"])
    assert "plugin store 2.0.0" in str(refusal["detail"])
    assert "plugin shop 1.0.0" in str(refusal["detail"])
    assert [item["name"] for item in client.get("/api/plugins").json()["items"]] == ["shop"]
    assert client.delete("/api/plugin-versions/shop/1.0.0").status_code == 204
    install(client, shop(make_bundle, name="store", version="2.0.0"))


def test_an_environment_shows_the_release_that_it_runs_and_keeps_it(client: TestClient, make_bundle: MakeBundle) -> None:
    install(client, shop(make_bundle))
    other = releases.Release(name="wiki-debian12", product="wiki", version="3")
    install(client, make_bundle(other, name="wiki"))
    install(client, make_bundle(name="for-wikis", releases=["wiki>=3"]))
    client.post("/api/environments", json={"name": "site"})
    assert client.get("/api/environments/site").json()["release"] == ""
    refusal = enable(client, "site", "for-wikis", 409)
    assert "the environment has no release" in str(refusal["detail"])
    assert client.get("/api/plugin-versions/for-wikis/1.0.0").json()["releases"] == ["wiki>=3"]
    enable(client, "site", "shop")
    assert client.get("/api/environments/site").json()["release"] == "shop-debian12"
    assert client.get("/api/releases/shop-debian12").json()["environments"] == ["site"]
    refusal = enable(client, "site", "wiki", 409)
    assert "shop-debian12 of plugin shop" in str(refusal["detail"])
    assert "environment runs shop 1.4" in str(enable(client, "site", "for-wikis", 409)["detail"])
    refused = client.delete("/api/plugin-versions/shop/1.0.0")
    assert refused.status_code == 409
    assert "site" in refused.json()["detail"]


def test_a_plugin_that_addresses_a_service_keeps_its_plugin_enabled(client: TestClient, make_bundle: MakeBundle) -> None:
    install(client, shop(make_bundle))
    install(client, make_bundle(config_files.Option(service="front", section="a", key="b", value=1), name="tuner"))
    client.post("/api/environments", json={"name": "site"})
    assert "no enabled plugin brings the service 'front'" in str(enable(client, "site", "tuner", 409)["detail"])
    enable(client, "site", "shop")
    enable(client, "site", "tuner")
    refused = client.delete("/api/environments/site/plugins/shop")
    assert refused.status_code == 409
    assert "tuner" in refused.json()["detail"]


@pytest.fixture
def cluster(simulation):
    """An environment of two nodes with a task for one of them."""
    name = "primaries"
    if name not in {item["name"] for item in simulation.client.environments()}:
        lead = tasks.Shell(id="lead", roles=[f"primary({name})"], run="lead")
        simulation.environment(name, lead, tasks.Shell(id="once", roles=["once"], run="once"), nodes=2)
    return name


def test_the_chosen_node_stays_chosen(simulation, cluster) -> None:
    client = simulation.client
    first, second = sorted(node["name"] for node in client.environment_nodes(cluster))
    plan = client.create_plan(cluster)
    assert plan["primaries"] == {f"primary({cluster})": first, "once": first}
    assert f"primary({cluster}) is {first}" in simulation.cli("plan", "show", plan["id"])
    simulation.deploy(cluster)
    client.unassign_node(cluster, first)
    simulation.deploy(cluster)
    assert client.create_plan(cluster)["primaries"] == {f"primary({cluster})": second, "once": second}
    client.assign_node(cluster, first, [cluster])
    plan = client.create_plan(cluster)
    assert plan["primaries"] == {f"primary({cluster})": second, "once": second}
    assert client.plan_tasks(plan["id"]) == []


def test_releases_are_listed_and_shown_at_the_command_line(simulation) -> None:
    release = releases.Release(name="listed-1", product="listed", version="1")
    simulation.install("listed", release, FRONT, roles.Role(name="front"))
    assert "listed-1" in simulation.cli("releases", "list")
    assert [item["product"] for item in json.loads(simulation.cli("releases", "list", "--json"))["items"]] == ["listed"]
    assert "/etc/front.ini" in simulation.cli("releases", "show", "listed-1")
    shown = json.loads(simulation.cli("releases", "show", "listed-1", "--json"))
    assert [item["name"] for item in shown["services"]] == ["front"]
    assert "Did you mean" in simulation.cli("releases", "show", "listed1", status=2)

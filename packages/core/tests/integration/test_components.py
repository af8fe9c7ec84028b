# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Components through the server: offered once their plugin is installed, solved, and refused where they contradict each other."""

from __future__ import annotations

import json

import pytest
from stoker.errors import ConflictError, InvalidInputError, NotFoundError
from stoker_sdk.extension_points.components import Component, Group
from stoker_sdk.extension_points.releases import Release


def names(items):
    return [item["name"] for item in items]


@pytest.fixture
def offered(own_simulation):
    """A server with a release, and four plugins that offer components."""
    simulation = own_simulation
    assert simulation.client.components() == {"groups": [], "items": []}
    simulation.install(
        "product",
        Release(name="product-one", product="product", version="1.2"),
        Group(name="storage", title="Storage", choose="one", releases=["product>=1"]),
        Component(name="storage:local", title="Local disks", default=True, releases=["product>=1"]),
    )
    simulation.install(
        "array", Component(name="storage:array", title="An array", requires=["network:fast"], plugins=["wires>=2"])
    )
    simulation.install("wires", Component(name="network:fast", title="Fast"), version="1.0.0")
    with pytest.raises(ConflictError, match=r"storage:array of plugin array needs the plugin wires>=2, but 1\.0\.0 is installed"):
        simulation.client.choice(["storage:array"], "product-one")
    simulation.install("wires", Component(name="network:fast", title="Fast"), version="2.1.0")
    simulation.install("other", Component(name="mail:any", title="Mail", releases=["postal>=1"]))
    return simulation


def test_components_are_offered_for_their_releases(offered):
    found = offered.client.components("product-one")
    assert names(found["items"]) == ["network:fast", "storage:array", "storage:local"]
    assert {group["name"]: (group["choose"], group["plugin"]) for group in found["groups"]} == {
        "network": ("any", ""),
        "storage": ("one", "product"),
    }
    assert "mail:any" in names(offered.client.components()["items"])
    assert "storage:local (default)" in offered.cli("components", "list")
    with pytest.raises(NotFoundError, match="product-two"):
        offered.client.components("product-two")


def test_a_choice_is_solved_and_leads_to_plugins(offered):
    simulation = offered
    start = simulation.client.choice([], "product-one")
    assert (start["complete"], start["open"]) == (
        False,
        [{"group": "storage", "candidates": ["storage:array", "storage:local"]}],
    )
    choice = simulation.client.choice(["storage:array"], "product-one")
    assert names(choice["implied"]) == ["network:fast"]
    assert names(choice["impossible"]) == ["storage:local"]
    assert (choice["complete"], choice["plugins"]) == (
        True,
        [
            {"name": "array", "version": "1.0.0"},
            {"name": "product", "version": "1.0.0"},
            {"name": "wires", "version": "2.1.0"},
        ],
    )
    told = simulation.cli("components", "check", "storage:array", "--release", "product-one")
    assert "comes along" in told
    assert "storage:array (plugin array) requires network:fast (plugin wires)." in told
    assert "plugins: array 1.0.0, product 1.0.0, wires 2.1.0" in told
    both = simulation.cli("components", "check", "storage:array", "storage:local", "--json", "--release", "product-one", status=1)
    assert any("takes one component" in reason for reason in json.loads(both)["contradiction"])
    with pytest.raises(InvalidInputError, match="storage:tape"):
        simulation.client.choice(["storage:tape"])


def test_an_environment_is_made_of_components(offered):
    simulation = offered
    with pytest.raises(ConflictError, match=r"still to be chosen: storage \(storage:array, storage:local\)"):
        simulation.client.create_environment("made", release="product-one", components=["network:fast"])
    both = ["storage:array", "storage:local"]
    with pytest.raises(ConflictError, match=r"cannot be chosen together: .*takes one component"):
        simulation.client.create_environment("made", release="product-one", components=both)
    assert simulation.client.environments() == []
    simulation.cli("env", "create", "made", "--release", "product-one", "--component", "storage:array", "--plugin", "other")
    made = simulation.client.environment("made")
    assert {item["name"]: item["version"] for item in made["plugins"]} == {
        "array": "1.0.0",
        "other": "1.0.0",
        "product": "1.0.0",
        "wires": "2.1.0",
    }


def test_what_can_never_be_chosen_is_refused_when_it_is_installed(offered):
    simulation = offered
    with pytest.raises(ConflictError, match=r"components\.component storage:local is brought by plugin product"):
        simulation.install("copycat", Component(name="storage:local", title="Mine"))
    with pytest.raises(ConflictError, match="the component loop:a could never be chosen") as refused:
        simulation.install(
            "riddle",
            Component(name="loop:a", title="A", requires=["loop:b"]),
            Component(name="loop:b", title="B", requires=["network:fast"], conflicts=["network"]),
        )
    assert all(word in str(refused.value) for word in ("plugin riddle", "plugin wires"))

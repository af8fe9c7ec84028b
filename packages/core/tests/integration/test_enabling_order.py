# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Whatever the order in which plugins are installed, enabled, upgraded and taken back in a real server, the plan is the same."""

from __future__ import annotations

import itertools
import random

from stoker_sdk import Dependency, Plugin, ref
from stoker_sdk.bundle import write_bundle
from stoker_sdk.extension_points import config_files, node_packages, releases, roles, services, task_patches, tasks
from stoker_sdk.manifest import to_manifest

BASE = Plugin(
    name="ordered-base",
    version="1.0.0",
    title="A product",
    contributions=[
        releases.Release(name="ordered-1", product="ordered", version="1"),
        roles.Role(name="ordered"),
        services.Service(
            name="ordered",
            roles=["ordered"],
            packages=["orderd"],
            units=["orderd"],
            files=[services.ServiceFile(path="/etc/ordered.cfg", format="blocks")],
        ),
        config_files.Option(service="ordered", section="main", key="speed", value=1, level="default"),
    ],
)
FAST = Plugin(
    name="a-fast",
    version="1.0.0",
    title="Faster",
    contributions=[
        config_files.Option(service="ordered", section="main", key="speed", value=2, optional=True),
        config_files.ListItem(service="ordered", section="main", key="peer", items=ref("nodes.map(n, n.name)"), optional=True),
        node_packages.NodePackages(roles=["*"], packages=["fastd"]),
        task_patches.TaskPatch(task="ordered-base.service.orderd", replace=task_patches.Replace(timeout=30), optional=True),
    ],
)
ALSO = Plugin(
    name="z-also",
    version="1.0.0",
    title="As fast",
    contributions=[
        config_files.Option(service="ordered", section="main", key="speed", value=2, optional=True),
        config_files.ListItem(service="ordered", section="main", key="peer", items=["also"], optional=True),
        tasks.Shell(
            id="last", roles=["once"], run="last", after=[Dependency("ordered-base.service.orderd", role="*", optional=True)]
        ),
    ],
)


SLOW = Plugin(
    name="a-fast",
    version="0.9.0",
    title="Faster, once",
    contributions=[
        config_files.Option(service="ordered", section="main", key="speed", value=2, optional=True),
        config_files.Option(service="ordered", section="main", key="trace", value=1, optional=True),
        node_packages.NodePackages(roles=["*"], packages=["slowd"]),
    ],
)
WAYS = {"straight": [], "upgraded": ["up"], "there and back": ["up", "back", "up"]}
"""How the environment comes to the newer version of a plugin."""


def test_every_order_of_installing_enabling_and_upgrading_gives_the_same_plan(simulation) -> None:
    client = simulation.client
    bundles = {
        (plugin.name, plugin.version): write_bundle(to_manifest(plugin), {}, simulation.folder).read_bytes()
        for plugin in (BASE, FAST, ALSO, SLOW)
    }
    client.create_environment("ordered")
    nodes = simulation.ask("add", data=(2, "ordered"), kind=list[str])
    for node in nodes:
        client.add_node(node, node, transport="simulated")
    digests = {}
    chance = random.Random(4)
    for names, way in zip(itertools.permutations(["ordered-base", "a-fast", "z-also"]), itertools.cycle(WAYS), strict=False):
        order = chance.sample(sorted(bundles), len(bundles))
        for plugin in order:
            client.install_plugin(bundles[plugin])
        moves = WAYS[way]
        for name in names:
            client.enable_plugin("ordered", name, version="0.9.0" if name == "a-fast" and moves else None)
        for node in nodes:
            client.assign_node("ordered", node, ["ordered"])
        for move in moves:
            client.upgrade_plugin("ordered", "a-fast") if move == "up" else client.roll_plugin_back("ordered", "a-fast")
        plan = client.create_plan("ordered")
        digests[names, way] = plan["digest"]
        for name in names:
            client.disable_plugin("ordered", name)
        for plugin in order:
            client.uninstall_plugin(*plugin)
    assert len(set(digests.values())) == 1, digests
    assert plan["counts"]["tasks"] > 0

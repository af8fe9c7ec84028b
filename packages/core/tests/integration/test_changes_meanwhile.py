# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Changes while a deployment begins or runs: none is answered with yes and then lost."""

from __future__ import annotations

import contextlib
import threading
import time

import pydantic
import pytest
from simulation import until
from stoker.errors import ConflictError, StokerError
from stoker_sdk.extension_points import settings, tasks


class Text(pydantic.BaseModel):
    text: str = settings.field("old", title="Text")


def test_what_its_end_would_undo_is_refused_and_the_rest_is_for_the_next_plan(simulation):
    name, other = "stays", "goes"
    stays = (settings.Settings.from_model(Text), tasks.Shell(id="step", roles=[name], run="stays-step"))
    simulation.environment(name, *stays, nodes=3)
    simulation.install(name, *stays, version="1.0.1")
    up = tasks.Shell(id="up", roles=["*"], run="goes-up")
    simulation.install(other, up, tasks.Shell(id="down", roles=["*"], run="goes-down", on="remove"))
    simulation.client.enable_plugin(name, other)
    for number in (1, 2, 3):
        simulation.client.assign_node(name, f"stays{number}", [name, other])
    simulation.deploy(name)
    simulation.client.disable_plugin(name, other)
    simulation.client.unassign_node(name, "stays3")
    simulation.behave({"match": "goes-down", "delay": 2.0})
    running = simulation.client.deploy(name)
    until(lambda: simulation.client.attempts(running["id"]), "the removal")

    forbidden = {
        "plugin goes, which is being removed": lambda: simulation.client.enable_plugin(name, other),
        "version of plugin stays": lambda: simulation.client.enable_plugin(name, name, version="1.0.1"),
        "disabling plugin stays": lambda: simulation.client.disable_plugin(name, name),
        "node stays3, which is being taken out": lambda: simulation.client.assign_node(name, "stays3", [name]),
        "role goes of plugin goes, which is being removed": lambda: simulation.client.assign_node(name, "stays1", [other]),
        "taking out node stays2": lambda: simulation.client.unassign_node(name, "stays2"),
        "deleting it": lambda: simulation.client.delete_environment(name),
    }
    for what, change in forbidden.items():
        with pytest.raises(ConflictError, match=f"{what}.* is refused while deployment {running['id']} runs"):
            change()
    simulation.client.enable_plugin(name, name, settings={"text": "new"})
    simulation.client.assign_node(name, "stays2", [])

    simulation.finish(running, "ready")
    (kept,) = simulation.client.environment_plugins(name)
    assert (kept["name"], kept["version"], kept["settings"]) == (name, "1.0.0", {"text": "new"})
    assert {node["name"]: node["roles"] for node in simulation.client.environment_nodes(name)} == {"stays1": [name], "stays2": []}
    assert simulation.client.node("stays3")["environment"] == ""


@pytest.mark.parametrize("after", [0.1, 0.3, 0.5, 0.8])
def test_a_change_between_check_and_start_is_seen(simulation, after):
    name = f"race{int(after * 10)}"
    simulation.environment(name, tasks.Shell(id="step", roles=[name], run=f"{name}-step"), nodes=2)
    plan = simulation.client.create_plan(name)
    moments = {}

    def change():
        time.sleep(after)
        with contextlib.suppress(StokerError):
            simulation.client.assign_node(name, f"{name}1", [])
            moments["changed"] = time.time()

    changing = threading.Thread(target=change)
    changing.start()
    try:
        started = simulation.client.deploy(name, plan["id"])
    except ConflictError as refused:
        assert refused.data["changed"] == [f"roles of node {name}1"]  # noqa: PT017
        started = None
    changing.join()
    if started is not None:
        assert started["created_at"] <= moments["changed"], "the plan was outdated when it was started"
        simulation.finish(started)

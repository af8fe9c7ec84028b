# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""A plan whose inputs have changed is refused, the input is named, and nothing happens on nodes."""

from __future__ import annotations

import pydantic
import pytest
from simulation import until
from stoker.errors import NotFoundError, StokerError
from stoker_sdk import ref
from stoker_sdk.extension_points import config_files, node_packages, settings, tasks


class Text(pydantic.BaseModel):
    text: str = settings.field("one", title="Text")


NAME, NODE = "outdated", "outdated1"


@pytest.fixture(scope="module")
def environment(simulation):
    contributions = [
        settings.Settings.from_model(Text),
        node_packages.NodePackages(roles=[NAME], packages=["figlet"]),
        config_files.WholeFile(path="/etc/outdated", roles=[NAME], content=ref.settings.text),
        tasks.Service(name="daemon", roles=[NAME]),
    ]
    simulation.environment(NAME, *contributions)
    simulation.deploy(NAME)
    simulation.install(NAME, *contributions, version="1.0.1")
    simulation.install("newcomer")
    return NAME


def add_node(simulation):
    (node,) = simulation.ask("add", data=(1, "late"), kind=list[str])
    simulation.client.add_node(node, node, transport="simulated")
    simulation.client.assign_node(NAME, node, [NAME])


CHANGES = {
    "settings of plugin outdated: text": lambda it: it.client.enable_plugin(NAME, NAME, settings={"text": "two"}),
    "plugin outdated: version 1.0.0 -> 1.0.1": lambda it: it.client.enable_plugin(NAME, NAME, version="1.0.1"),
    "plugin newcomer was enabled": lambda it: it.client.enable_plugin(NAME, "newcomer"),
    "/etc/outdated on node outdated1": lambda it: it.change(NODE, write={"/etc/outdated": "by hand"}),
    "package figlet on node outdated1": lambda it: it.change(NODE, remove_packages=["figlet"]),
    "service daemon on node outdated1": lambda it: it.change(NODE, stop_services=["daemon"]),
    "node late1 joined the environment": add_node,
    "plugin outdated: disabled": lambda it: it.client.disable_plugin(NAME, NAME),
}


@pytest.mark.parametrize("named", CHANGES)
def test_the_changed_input_is_named(simulation, environment, named):
    plan = simulation.client.create_plan(environment)
    CHANGES[named](simulation)
    before = simulation.starts()
    with pytest.raises(StokerError) as refused:
        simulation.client.deploy(environment, plan["id"])
    assert (refused.value.status, refused.value.data["kind"]) == (409, "plan-outdated")
    assert named in refused.value.data["changed"]
    assert plan["id"] in refused.value.detail
    assert named in refused.value.detail
    assert "Make a new plan" in refused.value.remedy
    assert simulation.starts() == before


def test_a_plan_that_was_carried_out_is_not_carried_out_again(simulation):
    name = "worn"
    simulation.environment(name, tasks.Shell(id="step", roles=[name], run="worn-step"))
    plan = simulation.client.create_plan(name)
    simulation.finish(simulation.client.deploy(name, plan["id"]), "ready")
    with pytest.raises(StokerError, match="what was deployed since of node worn1"):
        simulation.client.deploy(name, plan["id"])


def test_a_plan_belongs_to_its_environment(simulation):
    for name in ("mine", "yours"):
        simulation.environment(name)
    plan = simulation.client.create_plan("mine")
    with pytest.raises(NotFoundError, match="not a plan of environment yours"):
        simulation.client.deploy("yours", plan["id"])


def test_a_retry_is_refused_when_a_later_deployment_changed_the_nodes(simulation):
    name = "overtaken"
    simulation.environment(name, tasks.Shell(id="step", roles=[name], run="overtaken-step"))
    simulation.behave({"match": "overtaken-step", "exit_status": 1})
    failed = simulation.deploy(name, "failed")
    simulation.behave()
    later = simulation.deploy(name)
    with pytest.raises(StokerError, match=f"{later['id']} came after") as refused:
        simulation.client.retry_deployment(failed["id"])
    assert refused.value.status == 409
    until(lambda: len(simulation.client.deployments(name)) == 2, "two deployments, not three")

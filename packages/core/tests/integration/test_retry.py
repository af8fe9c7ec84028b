# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""A retry goes on with the plan that people have read: it is refused where an input changed otherwise than by the deployment."""

from __future__ import annotations

import pydantic
import pytest
from stoker.errors import ConflictError, StokerError
from stoker_sdk import ref
from stoker_sdk.extension_points import config_files, settings, tasks

pytestmark = pytest.mark.databases("sqlite", "postgresql")


class Text(pydantic.BaseModel):
    text: str = settings.field("old", title="Text")


def refused(simulation, deployment, named):
    """The retry is refused, and the input is named."""
    before = simulation.starts()
    with pytest.raises(StokerError) as refusal:
        simulation.client.retry_deployment(deployment["id"])
    assert (refusal.value.status, refusal.value.data["kind"]) == (409, "plan-outdated")
    assert refusal.value.data["changed"] == [named]
    assert simulation.starts() == before


def test_changed_settings_are_named_and_with_the_old_ones_it_goes_on(simulation):
    name = "regret"
    step = tasks.Shell(id="step", roles=[name], run="regret-step", environment={"TEXT": ref.settings.text})
    simulation.environment(name, settings.Settings.from_model(Text), step)
    simulation.behave({"match": "regret-step", "exit_status": 1, "times": 1})
    failed = simulation.deploy(name, "failed")
    simulation.client.enable_plugin(name, name, settings={"text": "new"})
    refused(simulation, failed, "settings of plugin regret: text")
    simulation.client.enable_plugin(name, name, settings={"text": "old"})
    simulation.retry(failed)


def test_a_plugin_that_was_enabled_again_is_not_removed(simulation):
    name, other = "keeper", "leaver"
    simulation.environment(name, tasks.Shell(id="step", roles=[name], run="keeper-step"))
    up = tasks.Shell(id="up", roles=["*"], run="leaver-up")
    simulation.install(other, up, tasks.Shell(id="down", roles=["*"], run="leaver-down", on="remove"))
    simulation.client.enable_plugin(name, other)
    simulation.client.assign_node(name, "keeper1", [name, other])
    simulation.deploy(name)
    simulation.client.disable_plugin(name, other)
    simulation.behave({"match": "leaver-down", "exit_status": 1})
    failed = simulation.deploy(name, "failed")
    simulation.client.enable_plugin(name, other)
    simulation.behave()
    refused(simulation, failed, "plugin leaver: enabled again")
    states = {plugin["name"]: plugin["state"] for plugin in simulation.client.environment_plugins(name)}
    assert states == {name: "enabled", other: "enabled"}


def test_drift_counts_on_nodes_that_the_deployment_has_not_touched(simulation):
    name = "untouched"
    simulation.environment(
        name,
        config_files.WholeFile(path="/etc/untouched", roles=[name], content="planned\n"),
        tasks.Shell(id="first", roles=[name], run="untouched-first", concurrency=1, before=["files"]),
        nodes=2,
    )
    simulation.behave({"match": "untouched-first", "exit_status": 1, "times": 1})
    failed = simulation.deploy(name, "failed")
    (touched,) = {item["node"] for item in simulation.client.attempts(failed["id"])}
    (other,) = {"untouched1", "untouched2"} - {touched}
    simulation.change(touched, write={"/etc/untouched": "by the task that failed"})
    simulation.change(other, write={"/etc/untouched": "by hand"})
    refused(simulation, failed, f"/etc/untouched on node {other}")
    simulation.change(other, delete=["/etc/untouched"])
    simulation.retry(failed)


def test_what_the_deployment_itself_changed_does_not_count(simulation):
    name = "itself"
    first = tasks.Shell(id="first", roles=[name], run="itself-first")
    then = tasks.Shell(id="then", roles=[name], run="itself-then", after=["first"])
    simulation.environment(name, config_files.WholeFile(path="/etc/itself", roles=[name], content="x\n"), nodes=3)
    simulation.deploy(name)
    simulation.install(name, first, then, version="1.1.0")
    simulation.client.enable_plugin(name, name, version="1.1.0")
    simulation.client.unassign_node(name, "itself3")
    simulation.behave({"match": "itself-then", "node": "itself1", "exit_status": 1, "times": 1})
    failed = simulation.deploy(name, "failed")
    assert simulation.client.node("itself3")["environment"] == "", "it was clean, so it left"
    simulation.ask("reboot", "itself1")
    simulation.client.refresh_node("itself1")
    again = simulation.retry(failed)
    assert simulation.ran(again)["itself1", "then"] == 1
    assert ("itself1", "first") not in simulation.ran(again)


def test_where_only_left_out_nodes_are_missing_a_new_plan_is_needed(simulation):
    name = "partial"
    simulation.environment(name, tasks.Shell(id="step", roles=[name], run="partial-step"), nodes=3, tolerance=2)
    simulation.behave(
        {"match": "partial-step", "node": "partial1", "exit_status": 1, "times": 1},
        faults=[{"node": "partial3", "unreachable": True}],
    )
    degraded = simulation.deploy(name, "degraded")
    assert degraded["reason"] == "Failed within tolerance: partial1; left out: partial3: nobody answers."
    nodes = {node["node"]: (node["state"], node["reason"]) for node in degraded["nodes"]}
    assert nodes["partial2"] == ("done", "")
    assert nodes["partial3"][0] == "failed"
    assert "left out: " in nodes["partial3"][1]
    assert "nobody answers" in nodes["partial3"][1]
    (event,) = [
        event for event in simulation.client.events(degraded["id"]) if event["kind"] == "node" and event["node"] == "partial3"
    ]
    assert event["reason"] == "left out: nobody answers"
    again = simulation.retry(degraded, "degraded")
    assert again["reason"] == "Done on all nodes of the plan; left out: partial3: nobody answers."
    with pytest.raises(ConflictError, match="nothing to retry") as refusal:
        simulation.client.retry_deployment(again["id"])
    assert "new plan" in refusal.value.remedy
    simulation.behave()
    assert simulation.ran(simulation.deploy(name)) == {("partial3", "step"): 1}

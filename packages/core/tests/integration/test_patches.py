# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Patches of tasks through the server: refused when enabled, seen in the plan and its command, gone with their plugin."""

from __future__ import annotations

import pytest
from stoker.errors import ConflictError
from stoker_sdk.extension_points import tasks
from stoker_sdk.extension_points.task_patches import Replace, TaskPatch


def test_a_patch_is_seen_carried_out_and_gone_again(simulation):
    name = "patched"
    simulation.environment(
        name, tasks.Shell(id="first", roles=[name], run="plain"), tasks.Shell(id="second", roles=[name], run="other")
    )
    simulation.install(
        "patcher", TaskPatch(task="patched.first", replace=Replace(run="better")), TaskPatch(task="patched.second", skip=True)
    )
    simulation.client.enable_plugin(name, "patcher")
    plan = simulation.client.create_plan(name)
    assert simulation.tasks(plan) == {("patched1", "first"): "new"}
    found = {
        (item["task"], item["field"]): (item["value"], item["plugins"]) for item in simulation.client.plan_patches(plan["id"])
    }
    assert found == {
        ("patched.first", "run"): ("better", ["patcher"]),
        ("patched.second", "skip"): ("skipped", ["patcher"]),
    }
    assert [item["patched_by"] for item in simulation.client.plan_tasks(plan["id"])] == [["patcher"]]
    said = simulation.cli("plan", "show", plan["id"])
    assert "~ patched.first  run: better  (by patcher)" in said
    assert "~ patched.second  skipped  (by patcher)" in said

    deployment = simulation.finish(simulation.client.deploy(name, plan["id"]), "ready")
    assert {item["task"]: item["command"] for item in simulation.client.attempts(deployment["id"])} == {"patched.first": "better"}
    simulation.client.disable_plugin(name, "patcher")
    assert simulation.tasks(simulation.client.create_plan(name)) == {
        ("patched1", "first"): "inputs",
        ("patched1", "second"): "new",
    }


def test_two_plugins_that_patch_differently_are_refused_together(simulation):
    name = "contested"
    simulation.environment(name, tasks.Shell(id="first", roles=[name], run="plain"))
    for plugin, seconds in (("hasty", 5), ("patient", 500)):
        simulation.install(plugin, TaskPatch(task="contested.first", replace=Replace(timeout=seconds)))
    simulation.client.enable_plugin(name, "hasty")
    with pytest.raises(ConflictError) as refused:
        simulation.client.enable_plugin(name, "patient")
    assert all(word in str(refused.value) for word in ("H010", "hasty", "patient", "timeout"))
    assert [plugin["name"] for plugin in simulation.client.environment(name)["plugins"]] == [name, "hasty"]
    with pytest.raises(ConflictError, match=r"no enabled plugin has the task 'contested\.first'"):
        simulation.client.disable_plugin(name, name)

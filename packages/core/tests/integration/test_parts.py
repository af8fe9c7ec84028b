# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Deployments of a part: what they leave out is told, is pending, and is done by the next one of the whole."""

from __future__ import annotations

import json

from stoker_sdk import ref
from stoker_sdk.extension_points import config_files, settings, tasks

PATH = "/etc/app.conf"
APP = (
    settings.Settings(json_schema={"type": "object", "properties": {"k": {"type": "integer", "default": 1}}}),
    config_files.ConfigFile(path=PATH, format="plain"),
    config_files.Option(path=PATH, key="k", value=ref.settings.k),
    tasks.Shell(id="before", roles=["*"], run="before", run_on=[f"file:{PATH}"], after=["files"]),
    tasks.Service(id="run", roles=["*"], name="app", restart_on=[f"file:{PATH}"], after=["before"]),
)


def test_what_a_part_leaves_out_is_done_with_the_whole_and_no_restart_is_lost(simulation):
    lab = simulation.environment("parts", *APP, nodes=2)
    simulation.deploy(lab)
    assert simulation.client.environment(lab)["pending"] == ""
    simulation.client.enable_plugin(lab, lab, settings={"k": 2})
    assert "changed since" in simulation.client.environment(lab)["pending"]

    told = simulation.cli("deploy", lab, "--nodes", "parts1", "--tasks", "parts.files", "--yes")
    assert "parts.run  on parts1, parts2" in told
    assert "tasks left out" in told
    newest = simulation.client.deployments(lab)[0]
    assert newest["state"] == "ready"
    assert "A part alone" in newest["reason"]
    assert simulation.ran(newest) == {("parts1", "files"): 1}
    assert "about a part" in simulation.client.environment(lab)["pending"]

    done = simulation.deploy(lab)
    assert simulation.ran(done) == {
        ("parts1", "before"): 1,
        ("parts1", "run"): 1,
        ("parts2", "files"): 1,
        ("parts2", "before"): 1,
        ("parts2", "run"): 1,
    }
    [attempt] = simulation.client.attempts(done["id"], node="parts1", task="parts.run")
    assert "restart" in attempt["command"]
    assert simulation.client.environment(lab)["pending"] == ""
    assert simulation.tasks(simulation.client.create_plan(lab)) == {}


def test_a_deployment_that_failed_between_a_file_and_its_restart_is_made_good_by_the_next_one(simulation):
    lab = simulation.environment("torn", *APP)
    simulation.deploy(lab)
    simulation.client.enable_plugin(lab, lab, settings={"k": 2})
    simulation.behave({"match": "before", "exit_status": 1})
    failed = simulation.deploy(lab, "failed")
    assert ("torn1", "run") not in simulation.ran(failed)
    simulation.behave()
    plan = simulation.client.create_plan(lab)
    assert simulation.client.plan_files(plan["id"]) == []  # the file is in place already
    assert set(simulation.tasks(plan)) == {("torn1", "before"), ("torn1", "run")}
    done = simulation.finish(simulation.client.deploy(lab, plan["id"]), "ready")
    [attempt] = simulation.client.attempts(done["id"], task="torn.run")
    assert "restart" in attempt["command"]


def test_names_that_are_not_there_are_refused_and_a_plan_takes_no_part(simulation):
    lab = simulation.environment("misnamed", *APP)
    told = simulation.cli("plan", "create", lab, "--nodes", "misnamed2", "--tasks", "files", status=2)
    assert "Did you mean misnamed1?" in told
    assert "misnamed.files" in told
    plan = json.loads(simulation.cli("plan", "create", lab, "--roles", "misnamed", "--json"))
    assert plan["selection"]["roles"] == ["misnamed"]
    assert "already" in simulation.cli("deploy", lab, "--plan", plan["id"], "--nodes", "misnamed1", "--yes", status=2)


def test_a_dead_node_holds_up_no_part_without_it(simulation):
    lab = simulation.environment("elsewhere", *APP, nodes=2)
    simulation.behave(faults=[{"node": "elsewhere2", "unreachable": True}])
    simulation.cli("plan", "create", lab, status=2)
    simulation.cli("deploy", lab, "--nodes", "elsewhere1", "--yes")
    [progress] = simulation.client.deployment(simulation.client.deployments(lab)[0]["id"])["nodes"]
    assert (progress["node"], progress["state"]) == ("elsewhere1", "done")


def test_a_node_that_is_taken_out_stays_until_a_part_that_it_belongs_to_is_done(simulation):
    lab = simulation.environment("goner", *APP, nodes=2)
    simulation.deploy(lab)
    simulation.client.unassign_node(lab, "goner2")
    simulation.finish(simulation.client.deploy(lab, nodes=["goner1"]), "ready")
    assert simulation.client.node("goner2")["environment"] == lab
    simulation.finish(simulation.client.deploy(lab, nodes=["goner2"]), "ready")
    assert not simulation.client.node("goner2")["environment"]

# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""What tasks can say of themselves: triggers, always, guards, removal, concurrency, reboot, waiting."""

from __future__ import annotations

import pydantic
import pytest
from simulation import until
from stoker.domain.node import Observation, Watch
from stoker_sdk import ref
from stoker_sdk.extension_points import config_files, node_packages, settings, tasks


class Text(pydantic.BaseModel):
    text: str = settings.field("one", title="Text")


def look(simulation, node, **watch):
    """What is on a node."""
    return simulation.ask("observe", node, Watch(**watch), kind=Observation)


def attempts(simulation, deployment):
    """(node, task) -> its last attempt."""
    return {(item["node"], item["task"].partition(".")[2]): item for item in simulation.client.attempts(deployment["id"])}


def test_triggers_always_and_unchanged_tasks(simulation):
    name, path = "triggers", "/etc/triggers"
    simulation.environment(
        name,
        settings.Settings.from_model(Text),
        node_packages.NodePackages(roles=[name], packages=["figlet"]),
        config_files.WholeFile(path=path, roles=[name], content=ref.settings.text),
        tasks.Service(name="daemon", roles=[name], restart_on=[f"file:{path}"]),
        tasks.Service(name="other", roles=[name], restart_on=["package:figlet"]),
        tasks.Shell(id="on-file", roles=[name], run="on-file", run_on=[f"file:{path}"]),
        tasks.Shell(id="on-package", roles=[name], run="on-package", run_on=["package:figlet"]),
        tasks.Shell(id="on-task", roles=[name], run="on-task", run_on=["task:on-file"], after=["on-file"]),
        tasks.Shell(id="always", roles=[name], run="always", always=True),
        tasks.Shell(id="plain", roles=[name], run="plain"),
    )
    node = "triggers1"
    assert len(simulation.ran(simulation.deploy(name))) == 9
    assert set(simulation.ran(simulation.deploy(name))) == {(node, "always")}

    simulation.client.enable_plugin(name, name, settings={"text": "two"})
    plan = simulation.client.create_plan(name)
    assert simulation.tasks(plan) == {
        (node, "files"): "inputs",
        (node, "service.daemon"): "triggered",
        (node, "on-file"): "triggered",
        (node, "on-task"): "triggered",
        (node, "always"): "always",
    }
    deployment = simulation.finish(simulation.client.deploy(name, plan["id"]), "ready")
    assert attempts(simulation, deployment)[node, "service.daemon"]["command"] == "daemon started, enabled, restart"
    order = [item["task"] for item in sorted(simulation.client.attempts(deployment["id"]), key=lambda item: item["started_at"])]
    assert order.index("triggers.files") < order.index("triggers.service.daemon")
    assert order.index("triggers.on-file") < order.index("triggers.on-task")

    # drift fires triggers too: what was changed by hand is put back, and who depends on it starts again
    simulation.change(node, write={path: "by hand"}, remove_packages=["figlet"], stop_services=["other"])
    reasons = simulation.tasks(simulation.client.create_plan(name))
    assert (reasons[node, "files"], reasons[node, "packages"], reasons[node, "service.other"]) == ("drift", "drift", "drift")
    assert (reasons[node, "on-package"], reasons[node, "service.daemon"]) == ("triggered", "triggered")
    assert (node, "plain") not in reasons
    simulation.deploy(name)
    seen = look(simulation, node, files=[path], packages=["figlet"], services=["daemon", "other"])
    assert (seen.files[path].content, set(seen.packages)) == ("two", {"figlet"})
    assert all(service.active for service in seen.services.values())


def test_a_trigger_survives_a_deployment_that_failed_half_way(simulation):
    name, path = "halfway", "/etc/halfway"
    simulation.environment(
        name,
        settings.Settings.from_model(Text),
        config_files.WholeFile(path=path, roles=[name], content=ref.settings.text),
        tasks.Shell(id="between", roles=[name], run="halfway-between", run_on=[f"file:{path}"]),
        tasks.Service(name="daemon", roles=[name], restart_on=[f"file:{path}"], after=["between"]),
    )
    simulation.deploy(name)
    simulation.client.enable_plugin(name, name, settings={"text": "two"})
    simulation.behave({"match": "halfway-between", "exit_status": 1})
    failed = simulation.deploy(name, "failed")
    assert set(simulation.ran(failed)) == {("halfway1", "files"), ("halfway1", "between")}
    simulation.behave()
    # a new plan, not a retry: the file is in place already, but the service never saw it
    later = simulation.deploy(name)
    assert set(simulation.ran(later)) == {("halfway1", "between"), ("halfway1", "service.daemon")}
    assert "restart" in attempts(simulation, later)["halfway1", "service.daemon"]["command"]


def test_guards_spare_a_task_and_the_history_says_so(simulation):
    name = "guards"
    simulation.environment(
        name,
        tasks.Shell(id="unless", roles=[name], run="guards-unless", unless="guards-done"),
        tasks.Shell(id="creates", roles=[name], run="guards-creates", creates="/guards"),
        nodes=2,
    )
    simulation.change("guards1", write={"/guards": ""})
    simulation.behave({"match": "unless guards-done", "node": "guards1"}, {"match": "guards-"})
    deployment = simulation.deploy(name)
    changed = {place: item["changed"] for place, item in attempts(simulation, deployment).items()}
    assert changed == {
        ("guards1", "unless"): False,
        ("guards1", "creates"): False,
        ("guards2", "unless"): True,
        ("guards2", "creates"): True,
    }


def test_removal_takes_back_what_the_plugin_brought_and_runs_its_last_task(simulation):
    name, node = "leaving", "leaving1"
    simulation.environment(
        name,
        node_packages.NodePackages(roles=[name], packages=["figlet", "base-files"]),
        config_files.WholeFile(path="/etc/new", roles=[name], content="new\n"),
        config_files.WholeFile(path="/etc/old", roles=[name], content="ours\n"),
        tasks.Service(name="daemon", roles=[name]),
        tasks.Shell(id="setup", roles=[name], run="leaving-setup"),
        tasks.Shell(id="farewell", roles=[name], run="leaving-farewell", on="remove"),
    )
    simulation.change(node, write={"/etc/old": "of the distribution\n"})
    assert (node, "farewell") not in simulation.ran(simulation.deploy(name))
    simulation.client.disable_plugin(name, name)
    gone = simulation.deploy(name)
    assert set(simulation.ran(gone)) == {(node, f"remove.{what}") for what in ("packages", "files", "service.daemon")} | {
        (node, "farewell")
    }
    seen = look(simulation, node, files=["/etc/new", "/etc/old"], packages=["figlet", "base-files"], services=["daemon"])
    assert (seen.files["/etc/new"].kind, seen.files["/etc/old"].content) == ("absent", "of the distribution\n")
    assert set(seen.packages) == {"base-files"}
    assert not seen.services["daemon"].active
    assert simulation.client.environment_plugins(name) == []
    simulation.client.uninstall_plugin(name, "1.0.0")


@pytest.mark.parametrize(("limit", "name"), [(1, "single-file"), (2, "in-pairs"), (0, "together")])
def test_concurrency_is_bounded(simulation, limit, name):
    nodes = 4
    simulation.environment(name, tasks.Shell(id="step", roles=[name], run=f"{name}-step", concurrency=limit), nodes=nodes)
    simulation.behave({"match": f"{name}-step", "delay": 0.5})
    deployment = simulation.deploy(name)
    spans = [(item["started_at"], item["finished_at"]) for item in simulation.client.attempts(deployment["id"])]
    assert len(spans) == nodes
    at_once = [sum(start <= moment < end for start, end in spans) for moment, _ in spans]
    assert max(at_once) == (limit or nodes), spans


def test_a_reboot_is_done_when_the_node_answers_with_another_boot(simulation):
    name, node = "rebooting", "rebooting1"
    simulation.environment(
        name,
        tasks.Shell(id="before", roles=[name], run="before"),
        tasks.Reboot(id="reboot", roles=[name], after=["before"]),
        tasks.Shell(id="after", roles=[name], run="after", after=["reboot"]),
    )
    simulation.client.refresh_node(node)
    old = simulation.client.node(node)["facts"]["boot_id"]
    deployment = simulation.deploy(name)
    assert simulation.ran(deployment) == {(node, task): 1 for task in ("before", "reboot", "after")}
    tries = sorted(simulation.client.attempts(deployment["id"]), key=lambda item: item["started_at"])
    assert [item["task"] for item in tries] == [f"rebooting.{task}" for task in ("before", "reboot", "after")]
    assert simulation.client.refresh_node(node)["facts"]["boot_id"] not in ("", old)
    assert simulation.client.create_plan(name)["counts"]["tasks"] == 0


def test_waiting_for_a_file_ends_when_it_is_there_or_with_the_timeout(simulation):
    name = "patient"
    wait = tasks.WaitFor(id="wait", roles=[name], file="/patient", timeout=2)
    simulation.environment(name, wait, tasks.Shell(id="then", roles=[name], run="then", after=["wait"]), nodes=2, tolerance=1)
    running = simulation.client.deploy(name)
    until(lambda: len(simulation.client.attempts(running["id"])) == 2, "both waiting")
    assert {item["state"] for item in simulation.client.attempts(running["id"])} == {"dispatched"}
    simulation.change("patient1", write={"/patient": ""})
    ended = simulation.finish(running, "degraded")
    tries = attempts(simulation, ended)
    assert tries["patient1", "wait"]["exit_status"] == tries["patient1", "then"]["exit_status"] == 0
    assert tries["patient2", "wait"]["exit_status"] == 124
    assert ("patient2", "then") not in tries


def test_what_a_modelled_node_only_pretends_is_marked_in_plan_and_history(simulation):
    name, node = "pretended", "pretended1"
    simulation.environment(
        name,
        tasks.Shell(id="listed", roles=[name], run="pretended-listed"),
        tasks.Shell(id="unlisted", roles=[name], run="pretended-unlisted"),
        tasks.WaitFor(id="port", roles=[name], port=80),
        tasks.Files(id="modelled", roles=[name], files=[tasks.FileItem(path="/pretended", content="x")]),
    )
    simulation.behave({"match": "pretended-listed", "output": "from the table\n", "times": 1})
    plan = simulation.client.create_plan(name)
    expected = {"listed": False, "unlisted": True, "port": True, "modelled": False}
    marks = {task["task"].partition(".")[2]: task["not_simulated"] for task in simulation.client.plan_tasks(plan["id"])}
    assert marks == expected
    shown = [line for line in simulation.cli("plan", "show", plan["id"]).splitlines() if f". {name}." in line]
    assert {line.split()[1]: "not simulated" in line for line in shown} == {f"{name}.{key}": at for key, at in expected.items()}
    deployment = simulation.finish(simulation.client.deploy(name, plan["id"]), "ready")
    tries = attempts(simulation, deployment)
    assert {task: item["simulated"] for (_, task), item in tries.items()} == expected
    assert (tries[node, "listed"]["output"], tries[node, "unlisted"]["exit_status"]) == ("from the table\n", 0)
    history = simulation.cli("deployments", "attempts", deployment["id"]).splitlines()
    assert {line.split()[1]: "not simulated" in line for line in history[1:]} == {
        f"{name}.{key}": at for key, at in expected.items()
    }

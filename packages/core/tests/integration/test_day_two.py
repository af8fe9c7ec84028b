# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Day two: drift, history, nodes that come, go, die and are replaced; stop and retry from another terminal."""

from __future__ import annotations

import json
import subprocess

from simulation import until
from stoker_sdk import ref
from stoker_sdk.extension_points import config_files, node_packages, roles, settings, tasks

PATH = "/etc/peers.conf"
SECRET = "/etc/secret.conf"
SCHEMA = {
    "type": "object",
    "properties": {
        "k": {"type": "integer", "default": 1},
        "password": {"type": "string", "x-secret": {"generator": "password"}},
    },
}
APP = (
    settings.Settings(json_schema=SCHEMA),
    node_packages.NodePackages(roles=["*"], packages=["app"]),
    config_files.ConfigFile(path=PATH, format="plain"),
    config_files.Option(path=PATH, key="k", value=ref.settings.k),
    config_files.ConfigFile(path=SECRET, format="plain", mode="0600"),
    config_files.Option(path=SECRET, key="password", value=ref.settings.password),
    tasks.Service(id="run", roles=["*"], name="app", restart_on=[f"file:{PATH}"]),
    tasks.Shell(id="goodbye", roles=["*"], run="goodbye", on="remove"),
)
PEERS = (
    roles.Role(name="front"),
    config_files.ConfigFile(path=PATH, format="plain", roles=["front"]),
    config_files.ListItem(path=PATH, key="peer", roles=["front"], items=ref("nodes.map(n, n.name)")),
    config_files.ConfigFile(path="/etc/own.conf", format="plain"),
    config_files.Option(path="/etc/own.conf", key="name", value=ref.node.name),
)


def drift(simulation, lab, status):
    found = json.loads(simulation.cli("env", "drift", lab, "--json", status=status))["items"]
    return {node["node"]: node for node in found}


def test_drift_is_what_is_otherwise_than_it_was_left_and_not_what_the_environment_wants_meanwhile(simulation):
    lab = simulation.environment("drifting", *APP, nodes=2)
    simulation.deploy(lab)
    assert {node["state"] for node in drift(simulation, lab, 0).values()} == {"same"}
    simulation.client.enable_plugin(lab, lab, settings={"k": 2})
    drift(simulation, lab, 0)

    simulation.change("drifting1", write={PATH: "k 7\n", SECRET: "password hunter2\n"}, remove_packages=["app"])
    found = drift(simulation, lab, 1)
    assert found["drifting2"]["state"] == "same"
    items = {(item["kind"], item["name"]): item for item in found["drifting1"]["items"]}
    assert set(items) == {("file", PATH), ("file", SECRET), ("package", "app")}
    assert "-k 1\n+k 7\n" in items["file", PATH]["diff"]
    assert items["file", SECRET]["diff"] == ""
    assert "hunter2" not in json.dumps(found)
    simulation.behave(faults=[{"node": "drifting2", "unreachable": True}])
    assert drift(simulation, lab, 1)["drifting2"]["state"] == "unreachable"


def test_two_deployments_are_compared(simulation):
    lab = simulation.environment("compared", *APP)
    one = simulation.deploy(lab)
    assert "Nothing differs" in simulation.cli("deployments", "diff", one["id"], one["id"])
    simulation.client.enable_plugin(lab, lab, settings={"k": 2})
    simulation.client.set_override(lab, path=PATH, key="o", value=3)
    two = simulation.deploy(lab)
    found = json.loads(simulation.cli("deployments", "diff", one["id"], two["id"], "--json", status=1))
    assert {change["place"]: change["kind"] for change in found["environment"]} == {
        f"overrides.{PATH}.-.o": "add",
        f"plugins.{lab}.settings.k": "change",
    }
    [file] = found["files"]
    assert (file["path"], file["nodes"], file["kind"]) == (PATH, ["compared1"], "change")
    assert "-k 1\n+k 2\n+o 3\n" in file["diff"]
    assert {task["name"] for task in found["tasks"]} == {f"{lab}.files", f"{lab}.run"}
    assert found["packages"] == []
    told = simulation.cli("deployments", "diff", two["id"], one["id"], status=1)
    assert "+k 1" in told


def test_deployments_of_two_environments_are_not_compared(simulation):
    one, two = (simulation.deploy(simulation.environment(name, *APP)) for name in ("apples", "pears"))
    assert "different environments" in simulation.cli("deployments", "diff", one["id"], two["id"], status=2)


def test_a_new_node_touches_itself_and_those_whose_files_name_it(simulation):
    lab = simulation.environment("growing", *PEERS, nodes=2)
    simulation.client.assign_node(lab, "growing1", ["growing", "front"])
    simulation.deploy(lab)
    simulation.ask("add", data=(3, "growing"), kind=list[str])
    simulation.client.add_node("growing3", "growing3", transport="simulated")
    simulation.client.assign_node(lab, "growing3", ["growing"])
    plan = simulation.client.create_plan(lab)
    assert set(simulation.tasks(plan)) == {("growing3", "files"), ("growing1", "files")}
    assert {(file["node"], file["path"]) for file in simulation.client.plan_files(plan["id"])} == {
        ("growing3", "/etc/own.conf"),
        ("growing1", PATH),
    }
    simulation.finish(simulation.client.deploy(lab, plan["id"]), "ready")
    simulation.client.unassign_node(lab, "growing3")
    gone = simulation.client.create_plan(lab)
    assert {node for node, _ in simulation.tasks(gone)} == {"growing3", "growing1"}


def test_a_node_that_is_taken_out_runs_its_tasks_of_removal_and_a_lost_one_runs_nothing(simulation):
    lab = simulation.environment("shrinking", *APP, nodes=3)
    simulation.deploy(lab)
    simulation.client.unassign_node(lab, "shrinking1")
    simulation.behave(faults=[{"node": "shrinking2", "unreachable": True}])
    told = simulation.cli("env", "unassign", lab, "shrinking3", "--lost", status=2)
    assert "answers" in told
    simulation.cli("env", "unassign", lab, "shrinking2", "--lost")
    assert simulation.client.node("shrinking2")["environment"] in ("", None)
    plan = simulation.client.create_plan(lab)
    assert {node for node, _ in simulation.tasks(plan)} == {"shrinking1"}
    done = simulation.finish(simulation.client.deploy(lab, plan["id"]), "ready")
    assert simulation.ran(done)["shrinking1", "goodbye"] == 1
    assert [node["name"] for node in simulation.client.environment_nodes(lab)] == ["shrinking3"]
    assert len(simulation.client.deployments(lab)) == 2
    simulation.cli("env", "unassign", lab, "shrinking3", "--lost", "--force")
    assert simulation.client.environment_nodes(lab) == []


def test_a_replaced_node_hands_on_roles_and_primary_and_the_secrets_stay(simulation):
    once = tasks.Shell(id="first", roles=["primary(replaced)"], run="first")
    lab = simulation.environment("replaced", *APP, once, nodes=2)
    simulation.deploy(lab)
    secret = simulation.client.environment_plugins(lab)[0]["settings"]["password"]
    simulation.ask("add", data=(3, "replaced"), kind=list[str])
    simulation.client.add_node("replaced3", "replaced3", transport="simulated")
    simulation.behave(faults=[{"node": "replaced1", "unreachable": True}])
    simulation.cli("nodes", "replace", "replaced1", "replaced3", "--lost")
    assert simulation.client.node("replaced3")["roles"] == ["replaced"]
    assert not simulation.client.node("replaced1")["environment"]
    plan = simulation.client.create_plan(lab)
    assert plan["primaries"] == {"primary(replaced)": "replaced3"}
    assert {node for node, _ in simulation.tasks(plan)} == {"replaced3"}
    simulation.finish(simulation.client.deploy(lab, plan["id"]), "ready")
    assert simulation.client.environment_plugins(lab)[0]["settings"]["password"] == secret
    assert "is free" in simulation.cli("nodes", "replace", "replaced2", "replaced3", status=2)


def test_a_role_that_a_new_version_does_not_bring_is_warned_of(simulation):
    lab = simulation.environment("roles-gone", roles.Role(name="passing"), tasks.Shell(id="a", roles=["passing"], run="a"))
    simulation.client.assign_node(lab, "roles-gone1", ["passing"])
    simulation.deploy(lab)
    simulation.install(lab, tasks.Shell(id="b", roles=["*"], run="b"), version="2.0.0")
    simulation.client.enable_plugin(lab, lab, version="2.0.0")
    plan = simulation.client.create_plan(lab)
    assert "node roles-gone1 has the role passing, which no enabled plugin brings: it has no effect." in plan["warnings"]


def test_stop_and_retry_by_the_environment_are_seen_in_the_first_terminal(simulation):
    steps = [tasks.Shell(id=f"s{number}", roles=["*"], run=f"slow {number}") for number in range(3)]
    lab = simulation.environment("terminals", *steps)
    simulation.behave({"match": "slow", "delay": 2.0})
    first = subprocess.Popen(
        simulation.command("deploy", lab, "--yes"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        env=simulation.surroundings(),
    )
    until(lambda: [item for item in simulation.client.deployments(lab) if item["state"] == "running"], "a running deployment")
    simulation.cli("deployments", "stop", lab)
    out, _ = first.communicate(timeout=60)
    assert first.returncode == 1
    assert "stopped" in out.lower()
    simulation.behave()
    done = simulation.cli("deployments", "retry", lab)
    assert "ready" in done
    assert simulation.client.deployments(lab)[0]["state"] == "ready"

# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Deployments from plan to verdict: success, failure, tolerance, time-outs, retry, stop."""

from __future__ import annotations

import itertools

import pytest
from simulation import until
from stoker.errors import ConflictError
from stoker_sdk import Dependency
from stoker_sdk.extension_points import config_files, node_packages, tasks

pytestmark = pytest.mark.databases("sqlite", "postgresql")


def shell(identity, name, **fields):
    """A task whose text is ``NAME-ID``, which the fleet's rules can tell from all others."""
    return tasks.Shell(id=identity, roles=[name], run=f"{name}-{identity}", **fields)


def started(simulation, node):
    """How many attempts the fleet has claimed on a node."""
    return [attempt for where, attempt, _ in simulation.starts() if where == node]


def test_a_second_deployment_has_nothing_to_do_and_says_so(simulation):
    name = "plain"
    contributions = [
        node_packages.NodePackages(roles=[name], packages=["figlet"]),
        config_files.WholeFile(path="/etc/plain", roles=[name], content="plain\n"),
        tasks.Service(name="plain", roles=[name]),
        shell("once", name),
    ]
    simulation.environment(name, *contributions, nodes=2)
    first = simulation.deploy(name)
    assert {node["state"] for node in first["nodes"]} == {"done"}
    assert first["counts"]["finished"] == first["counts"]["total"] == len(simulation.client.attempts(first["id"])) == 8
    before = simulation.starts()
    plan = simulation.client.create_plan(name)
    assert (plan["counts"]["tasks"], plan["counts"]["skipped"]) == (0, 8)
    second = simulation.finish(simulation.client.deploy(name, plan["id"]), "ready")
    assert second["reason"] == "Nothing to do."
    assert simulation.client.attempts(second["id"]) == []
    assert simulation.starts() == before


def test_every_try_of_a_failing_task_is_in_the_history(simulation):
    name = "again"
    simulation.environment(name, shell("flaky", name, retries=3, retry_interval=0.4))
    simulation.behave({"match": "again-flaky", "exit_status": 9, "output": "not yet\n", "times": 2})
    deployment = simulation.deploy(name)
    tries = simulation.client.attempts(deployment["id"])
    assert [item["attempt"] for item in tries] == [1, 2, 3]
    assert [item["exit_status"] for item in tries] == [9, 9, 0]
    assert [item["output"] for item in tries] == ["not yet\n", "not yet\n", ""]
    pauses = [after["started_at"] - before["finished_at"] for before, after in itertools.pairwise(tries)]
    assert all(0.4 <= pause < 20 for pause in pauses), pauses
    assert simulation.ran(deployment) == {("again1", "flaky"): 3}
    assert deployment["failures"] == []


def test_retries_come_to_an_end(simulation):
    name = "hopeless"
    simulation.environment(name, shell("broken", name, retries=1, retry_interval=0.0), shell("then", name, after=["broken"]))
    simulation.behave({"match": "hopeless-broken", "exit_status": 9, "output": "never\n"})
    deployment = simulation.deploy(name, "failed")
    assert simulation.ran(deployment) == {("hopeless1", "broken"): 2}
    (failure,) = deployment["failures"]
    assert failure == {
        "node": "hopeless1",
        "task": "hopeless.broken",
        "attempt": 2,
        "command": "hopeless-broken",
        "exit_status": 9,
        "output": "never\n",
    }
    assert "hopeless1" in deployment["reason"]


def test_above_the_tolerance_it_fails_and_nothing_more_starts_and_retry_goes_on(simulation):
    name = "strict"
    simulation.environment(
        name,
        shell("first", name),
        shell("second", name, after=["first"]),
        shell("last", name, after=[Dependency("second", role=name)]),
        nodes=4,
        tolerance=1,
    )
    # two nodes fail while the other two are busy
    simulation.behave(
        {"match": "strict-first", "node": "strict[12]", "exit_status": 4},
        {"match": "strict-first", "node": "strict[34]", "delay": 0.6},
    )
    failed = simulation.deploy(name, "failed")
    assert "role strict: 2 of 4 nodes failed, 1 may" in failed["reason"]
    assert simulation.ran(failed) == {(f"strict{number}", "first"): 1 for number in (1, 2, 3, 4)}
    states = {node["node"]: (node["state"], node["finished"]) for node in failed["nodes"]}
    assert states["strict1"] == states["strict2"] == ("failed", 0)
    assert states["strict3"][1] == states["strict4"][1] == 1
    simulation.behave()
    again = simulation.retry(failed)
    assert again["retry_of"] == failed["id"]
    assert again["plan"] == failed["plan"]
    expected = {(f"strict{number}", task): 1 for number in (1, 2, 3, 4) for task in ("second", "last")}
    assert simulation.ran(again) == {**expected, ("strict1", "first"): 1, ("strict2", "first"): 1}
    assert {node["finished"] for node in again["nodes"]} == {3}
    assert simulation.client.create_plan(name)["counts"]["tasks"] == 0


def test_within_the_tolerance_the_others_go_on(simulation):
    name = "lenient"
    simulation.environment(
        name, shell("first", name), shell("last", name, after=[Dependency("first", role=name)]), nodes=3, tolerance=1
    )
    simulation.behave({"match": "lenient-first", "node": "lenient2", "exit_status": 4})
    deployment = simulation.deploy(name, "degraded")
    assert {node["node"]: node["state"] for node in deployment["nodes"]} == {
        "lenient1": "done",
        "lenient2": "failed",
        "lenient3": "done",
    }
    assert ("lenient2", "last") not in simulation.ran(deployment)
    # only what is missing is planned anew
    missing = {("lenient2", "first"), ("lenient2", "last")}
    assert set(simulation.tasks(simulation.client.create_plan(name))) == missing


def test_an_unreachable_node_and_one_that_refuses_us_fail_with_their_reason(simulation):
    name = "away"
    simulation.environment(name, shell("first", name, timeout=1), nodes=3, tolerance=2)
    plan = simulation.client.create_plan(name)
    simulation.behave(faults=[{"node": "away1", "unreachable": True}, {"node": "away2", "authentication_refused": True}])
    deployment = simulation.finish(simulation.client.deploy(name, plan["id"]), "degraded")
    outputs = {failure["node"]: failure["output"] for failure in deployment["failures"]}
    assert "node away1: nobody answers" in outputs["away1"]
    assert "node away2: the node refuses the key" in outputs["away2"]
    assert "authorized_keys" in outputs["away2"]
    assert simulation.ran(deployment) == {("away3", "first"): 1}
    listed = {item["node"]: item["output"] for item in simulation.client.attempts(deployment["id"])}
    assert set(listed) == {"away1", "away2", "away3"}
    assert "nobody answers" in listed["away1"]


def test_a_dead_node_that_leaves_holds_nobody_up(simulation):
    name = "dead"
    simulation.environment(
        name, shell("step", name), config_files.WholeFile(path="/etc/dead", roles=[name], content="x\n"), nodes=2
    )
    simulation.deploy(name)
    simulation.behave(faults=[{"node": "dead2", "unreachable": True}])
    simulation.client.unassign_node(name, "dead2")
    plan = simulation.client.create_plan(name)
    assert plan["warnings"] == ["node dead2 is left out of this plan: nobody answers."]
    ended = simulation.finish(simulation.client.deploy(name, plan["id"]), "degraded")
    assert "dead2" in ended["reason"]
    simulation.behave()
    assert simulation.deploy(name)["state"] == "ready"
    assert [node["name"] for node in simulation.client.nodes() if node["environment"] == name] == ["dead1"]


def test_an_attempt_that_was_not_claimed_failed_and_may_be_tried_again(simulation):
    name = "crammed"
    simulation.environment(name, shell("once", name))
    simulation.behave(faults=[{"node": "crammed1", "full_disk": True}])
    failed = simulation.deploy(name, "failed")
    (failure,) = failed["failures"]
    assert failed["unknowns"] == []
    assert failure["exit_status"] == 255
    assert "No space left on device" in failure["output"]
    assert "Make room" in failure["output"]
    assert not simulation.ran(failed)
    simulation.behave()
    assert simulation.ran(simulation.retry(failed)) == {("crammed1", "once"): 1}


def test_a_task_that_takes_too_long_is_ended(simulation):
    name = "slow"
    simulation.environment(name, shell("hang", name, timeout=1))
    simulation.behave({"match": "slow-hang", "hang": True, "output": "still here\n"})
    deployment = simulation.deploy(name, "failed")
    (attempt,) = simulation.client.attempts(deployment["id"])
    assert (attempt["exit_status"], attempt["output"]) == (124, "still here\n")
    assert 1 <= attempt["finished_at"] - attempt["started_at"] < 20


def test_a_lost_connection_repeats_nothing(simulation):
    name = "dropped"
    simulation.environment(name, shell("slow", name))
    simulation.behave({"match": "dropped-slow", "drop": True, "delay": 0.7, "output": "went on\n"})
    deployment = simulation.deploy(name)
    (attempt,) = simulation.client.attempts(deployment["id"])
    assert (attempt["exit_status"], attempt["output"]) == (0, "went on\n")
    assert simulation.ran(deployment) == {("dropped1", "slow"): 1}


def test_stop_lets_what_runs_end_and_retry_goes_on(simulation):
    name = "stopped"
    simulation.environment(name, shell("first", name), shell("second", name, after=["first"]), nodes=2)
    simulation.behave({"match": "stopped-first", "delay": 0.8})
    running = simulation.client.deploy(name)
    until(lambda: started(simulation, "stopped1") and started(simulation, "stopped2"), "both first tasks")
    assert simulation.client.stop_deployment(running["id"])["state"] == "stopping"
    ended = simulation.finish(running, "stopped")
    first = {("stopped1", "first"): 1, ("stopped2", "first"): 1}
    assert simulation.ran(ended) == first
    assert [item["exit_status"] for item in simulation.client.attempts(ended["id"])] == [0, 0]
    with pytest.raises(ConflictError, match="has ended already"):
        simulation.client.stop_deployment(running["id"])
    again = simulation.retry(ended)
    assert simulation.ran(again) == {("stopped1", "second"): 1, ("stopped2", "second"): 1}
    with pytest.raises(ConflictError, match="nothing to retry"):
        simulation.client.retry_deployment(again["id"])


def test_stop_ends_the_pause_between_two_tries(simulation):
    name = "impatient"
    simulation.environment(name, shell("flaky", name, retries=5, retry_interval=60))
    simulation.behave({"match": "impatient-flaky", "exit_status": 1})
    running = simulation.client.deploy(name)
    until(lambda: simulation.client.attempts(running["id"]), "the first try")
    simulation.client.stop_deployment(running["id"])
    assert simulation.ran(simulation.finish(running, "stopped")) == {("impatient1", "flaky"): 1}


def test_one_environment_has_one_deployment_at_a_time(simulation):
    name = "single"
    simulation.environment(name, shell("slow", name))
    simulation.behave({"match": "single-slow", "delay": 1.5})
    running = simulation.client.deploy(name)
    with pytest.raises(ConflictError, match=f"environment single.*{running['id']}") as refused:
        simulation.client.deploy(name)
    assert refused.value.status == 409
    assert "stoker deployments stop" in refused.value.remedy
    for other in (simulation.client.create_plan, simulation.client.delete_environment):
        with pytest.raises(ConflictError):
            other(name)
    simulation.finish(running, "ready")
    assert len(simulation.client.deployments(name)) == 1

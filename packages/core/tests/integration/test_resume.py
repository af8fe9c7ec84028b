# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""A deployment survives its server: killed at any moment it goes on, nothing starts twice, nothing finished is repeated."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from simulation import until
from stoker_sdk import Dependency
from stoker_sdk.extension_points import tasks

pytestmark = pytest.mark.databases("sqlite", "postgresql")

STEPS, NODES, KILLS = 8, 3, 5


def chain(name, delay_after=3):
    """Tasks one after the other, none of which may run twice; one of them waits for all nodes."""
    made = [tasks.Shell(id="t0", roles=[name], run=f"{name}-t0")]
    for number in range(1, STEPS):
        before = Dependency(f"t{number - 1}", role=name) if number == delay_after else f"t{number - 1}"
        made.append(tasks.Shell(id=f"t{number}", roles=[name], run=f"{name}-t{number}", after=[before]))
    return made


@pytest.mark.parametrize("seed", [20])
def test_a_server_that_is_killed_again_and_again_loses_and_repeats_nothing(own_simulation, seed):
    simulation, name, dice = own_simulation, "chain", random.Random(seed)
    simulation.environment(name, *chain(name), nodes=NODES)
    simulation.behave({"match": f"{name}-", "delay": 0.3, "output": "done\n"})
    deployment = simulation.client.deploy(name)
    # a kill each time that so many attempts have been claimed, and a moment later
    hits = 0
    for claimed in sorted(dice.sample(range(1, STEPS * NODES - 5), KILLS)):
        until(lambda: len(simulation.starts()) >= claimed, f"{claimed} attempts")  # noqa: B023  called at once
        until(lambda: dice.random() < 0.2, "a moment")
        simulation.server.kill()
        simulation.server.start()
        hits += simulation.client.deployment(deployment["id"])["state"] == "running"
    ended = simulation.finish(deployment, "ready")
    assert hits >= KILLS - 2, "on a slow machine the last ones may come too late"

    # the fleet's own record: every attempt was claimed once, every task once on every node, in order
    starts = simulation.starts()
    assert len({attempt for _, attempt, _ in starts}) == len(starts)
    assert simulation.ran(ended) == {(f"chain{node}", f"t{step}"): 1 for node in range(1, NODES + 1) for step in range(STEPS)}
    for node in range(1, NODES + 1):
        order = [int(attempt.split(".")[1]) for where, attempt, _ in starts if where == f"chain{node}"]
        assert order == sorted(order)
    reached = [moment for _, attempt, moment in starts if attempt.split(".")[1] == "2"]
    assert max(reached) < min(moment for _, attempt, moment in starts if attempt.split(".")[1] == "3")

    # the history agrees with it
    history = simulation.client.attempts(ended["id"])
    assert Counter((item["state"], item["exit_status"], item["output"]) for item in history) == {
        ("finished", 0, "done\n"): STEPS * NODES
    }
    events = list(simulation.client.events(ended["id"]))
    assert any(event["kind"] == "note" and "goes on" in event["message"] for event in events)
    assert simulation.client.create_plan(name)["counts"]["tasks"] == 0


def test_a_failure_a_stop_and_an_unknown_survive_the_server_too(own_simulation):
    simulation, name = own_simulation, "grave"
    first = tasks.Shell(id="first", roles=[name], run="grave-first")
    second = tasks.Shell(id="second", roles=[name], run="grave-second", after=["first"])
    simulation.environment(name, first, second, nodes=3, tolerance=2)
    simulation.behave(
        {"match": "grave-first", "node": "grave1", "exit_status": 5},
        {"match": "grave-first", "node": "grave2", "delay": 30},
        {"match": "grave-first", "node": "grave3", "delay": 1.5},
    )
    deployment = simulation.client.deploy(name)
    until(lambda: len(simulation.starts()) == 3, "every first task")
    until(lambda: simulation.client.deployment(deployment["id"])["counts"]["failed"], "the failure of grave1")
    simulation.client.stop_deployment(deployment["id"])
    simulation.server.kill()
    simulation.ask("reboot", "grave2")
    simulation.server.start()
    ended = simulation.finish(deployment, "failed")
    assert ended["unknowns"] == [{"node": "grave2", "task": "grave.first", "attempt": 1}]
    assert [(item["node"], item["exit_status"]) for item in ended["failures"]] == [("grave1", 5)]
    outcomes = {item["node"]: (item["state"], item["exit_status"]) for item in simulation.client.attempts(ended["id"])}
    assert outcomes == {"grave1": ("finished", 5), "grave2": ("unknown", None), "grave3": ("finished", 0)}
    # it was asked to stop: no second task began, on grave3 neither
    assert simulation.ran(ended) == {(f"grave{node}", "first"): 1 for node in (1, 2, 3)}

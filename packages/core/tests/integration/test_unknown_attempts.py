# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""An attempt of which nobody knows whether it ran is reported; only an idempotent task runs again without being asked for."""

from __future__ import annotations

import shlex

import pydantic
import pytest
from simulation import until
from stoker.errors import ConflictError, NotFoundError
from stoker_sdk.extension_points import settings, tasks

pytestmark = pytest.mark.databases("sqlite", "postgresql")


def interrupted(simulation, name, how, *contributions, nodes=1, **fields):
    """Deploy, and let every node of it fail under the first task; gives the deployment."""
    simulation.environment(name, *contributions, nodes=nodes, **fields)
    simulation.behave({"match": f"{name}-first", "delay": 30.0, "times": nodes})
    running = simulation.client.deploy(name)
    until(lambda: len(simulation.client.attempts(running["id"])) == nodes, "the first task on every node")
    until(lambda: sum(simulation.ran(running).values()) == nodes, "the first task claimed on every node")
    for number in range(1, nodes + 1):
        how(simulation, f"{name}{number}")
    return running


def reboot(simulation, node):
    simulation.ask("reboot", node)


def test_after_a_reboot_a_person_is_asked_and_the_answer_counts(simulation):
    name = "asked"
    first = tasks.Shell(id="first", roles=[name], run="asked-first", retries=3)
    then = tasks.Shell(id="then", roles=[name], run="asked-then", after=["first"])
    running = interrupted(simulation, name, reboot, first, then, nodes=2)
    failed = simulation.finish(running, "failed")
    assert "asked.first on asked1" in failed["reason"]
    assert "asked.first on asked2" in failed["reason"]
    assert failed["unknowns"] == [{"node": node, "task": "asked.first", "attempt": 1} for node in ("asked1", "asked2")]
    # retries are for failures: an unknown one is not tried again
    assert simulation.ran(failed) == {("asked1", "first"): 1, ("asked2", "first"): 1}
    for attempt in simulation.client.attempts(failed["id"]):
        assert (attempt["state"], attempt["output"]) == ("unknown", "the node rebooted while it ran")

    with pytest.raises(ConflictError, match=r"asked.first on asked1, asked.first on asked2") as refused:
        simulation.client.retry_deployment(failed["id"])
    with pytest.raises(ConflictError, match=r"asked.first on asked1, asked.first on asked2"):
        simulation.client.deploy(name)  # a new plan would run it again without anybody having said so
    remedy = refused.value.remedy.partition("stoker ")[2]
    words = remedy.replace("NODE", "asked1").replace("TASK", "asked.first").replace("done|rerun", "done")
    simulation.cli(*shlex.split(words))  # the remedy is a command that works
    assert [item["node"] for item in simulation.client.deployment(failed["id"])["unknowns"]] == ["asked2"]
    with pytest.raises(ConflictError, match="asked2"):
        simulation.client.retry_deployment(failed["id"])
    with pytest.raises(NotFoundError, match="no open question"):
        simulation.client.answer_unknown(failed["id"], node="asked1", task="asked.first", answer="done")
    simulation.client.answer_unknown(failed["id"], node="asked2", task="asked.first", answer="rerun")

    again = simulation.retry(failed)
    assert simulation.ran(again) == {("asked1", "then"): 1, ("asked2", "first"): 1, ("asked2", "then"): 1}
    assert simulation.client.create_plan(name)["counts"]["tasks"] == 0


def test_an_idempotent_task_runs_again_and_the_history_shows_both(simulation):
    name = "harmless"
    first = tasks.Shell(id="first", roles=[name], run="harmless-first", idempotent=True)
    deployment = simulation.finish(interrupted(simulation, name, reboot, first), "ready")
    tries = simulation.client.attempts(deployment["id"])
    assert [(item["attempt"], item["state"]) for item in tries] == [(1, "unknown"), (2, "finished")]
    assert simulation.ran(deployment) == {("harmless1", "first"): 2}
    assert deployment["unknowns"] == []


def test_a_lost_spool_is_not_taken_for_an_attempt_that_never_was(simulation):
    name = "forgetful"
    first = tasks.Shell(id="first", roles=[name], run="forgetful-first")
    running = interrupted(simulation, name, lambda it, node: it.change(node, lose_spool=True), first)
    failed = simulation.finish(running, "failed")
    (attempt,) = simulation.client.attempts(failed["id"])
    assert (attempt["state"], attempt["output"]) == ("unknown", "the node's spool was lost")
    assert simulation.ran(failed) == {("forgetful1", "first"): 1}


class Keys(pydantic.BaseModel):
    key: str = settings.field("spool was lost", title="Key", secret=True)


def test_no_secret_is_told_with_it(simulation):
    name = "discreet"
    first = tasks.Shell(id="first", roles=[name], run="discreet-first 'spool was lost'")
    running = interrupted(
        simulation, name, lambda it, node: it.change(node, lose_spool=True), first, settings.Settings.from_model(Keys)
    )
    failed = simulation.finish(running, "failed")
    events = [event for event in simulation.client.events(failed["id"]) if event["task"]]
    assert {event["kind"] for event in events} == {"dispatched", "unknown", "node"}
    assert all("spool was lost" not in str(event) and "<secret discreet.key" in str(event) for event in events)

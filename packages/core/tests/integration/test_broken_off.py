# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""A deployment that breaks off frees its environment, but never lets an attempt that is under way start a second time."""

from __future__ import annotations

import contextlib
import sqlite3
import time

import pytest
from simulation import until
from stoker.errors import ConflictError
from stoker_sdk.extension_points import tasks


@contextlib.contextmanager
def database(simulation):
    """The server's own database, as another process opens it."""
    connection = sqlite3.connect(simulation.data / "stoker.db", isolation_level=None, timeout=10)
    try:
        yield connection
    finally:
        connection.close()


@contextlib.contextmanager
def refused_event(simulation, kind, node):
    """The database takes no event of a kind on a node: a fault that no second try mends."""
    with database(simulation) as connection:
        connection.execute(
            "CREATE TRIGGER fault BEFORE INSERT ON deployment_events"
            f" WHEN NEW.kind = '{kind}' AND NEW.node = '{node}' BEGIN SELECT RAISE(ABORT, 'a fault of the disk'); END"
        )
    try:
        yield
    finally:
        with database(simulation) as connection:
            connection.execute("DROP TRIGGER fault")


def broken_off(simulation, name, delay):
    """NAME1 is in the middle of its first task when something goes wrong on NAME2; gives the deployment."""
    first = tasks.Shell(id="first", roles=[name], run=f"{name}-first")
    then = tasks.Shell(id="then", roles=[name], run=f"{name}-then", after=["first"])
    simulation.environment(name, first, then, nodes=2)
    simulation.behave(
        {"match": f"{name}-first", "node": f"{name}1", "delay": delay, "output": "long\n", "times": 1},
        {"match": f"{name}-first", "node": f"{name}2", "delay": 1.0, "times": 1},
    )
    with refused_event(simulation, "finished", f"{name}2"):
        running = simulation.client.deploy(name)
        return simulation.finish(running, "failed")


@pytest.mark.databases("sqlite")
def test_a_retry_picks_up_what_is_under_way_and_starts_nothing_twice(own_simulation):
    simulation, name = own_simulation, "handed"
    failed = broken_off(simulation, name, 4.0)
    assert "a fault of the disk" in failed["reason"]
    assert "TaskGroup" not in failed["reason"]
    assert "handed.first on handed1" in failed["reason"]
    states = {node["node"]: (node["state"], node["reason"]) for node in failed["nodes"]}
    assert states["handed1"] == ("failed", "the deployment broke off while it ran")

    # a new deployment could start the same command beside the one that runs
    with pytest.raises(ConflictError, match=f"{failed['id']} broke off.*handed.first on handed1") as refused:
        simulation.client.deploy(name)
    assert f"stoker deployments retry {failed['id']}" in refused.value.remedy

    again = simulation.client.retry_deployment(failed["id"])
    until(lambda: len(simulation.client.attempts(again["id"])) >= 2, "both attempts in the new history")
    simulation.server.kill()  # whoever takes over now finds them too
    simulation.server.start()
    ended = simulation.finish(again, "ready")
    first = {("handed1", "first"): 1, ("handed2", "first"): 1}
    assert simulation.ran(failed) == first
    assert simulation.ran(again) == {("handed1", "then"): 1, ("handed2", "then"): 1}
    told = {(item["node"], item["task"], item["attempt"]): item for item in simulation.client.attempts(ended["id"])}
    assert told["handed1", "handed.first", 1]["output"] == "long\n"
    assert all(item["state"] == "finished" and item["exit_status"] == 0 for item in told.values())
    assert simulation.client.create_plan(name)["counts"]["tasks"] == 0


@pytest.mark.databases("sqlite")
def test_where_a_retry_is_refused_a_person_can_judge(own_simulation):
    simulation, name = own_simulation, "judged"
    failed = broken_off(simulation, name, 2.0)
    simulation.client.assign_node(name, "judged2", [])
    with pytest.raises(ConflictError, match="roles of node judged2"):
        simulation.client.retry_deployment(failed["id"])
    with pytest.raises(ConflictError, match=r"judged\.first on judged1, judged\.first on judged2") as refused:
        simulation.client.deploy(name)
    for node in ("judged1", "judged2"):
        words = refused.value.remedy.partition("then: stoker ")[2]
        simulation.cli(*words.replace("NODE", node).replace("TASK", "judged.first").replace("done|rerun", "done").split())
    ended = simulation.deploy(name)
    assert simulation.ran(ended) == {("judged1", "then"): 1}
    assert simulation.ran(failed) == {("judged1", "first"): 1, ("judged2", "first"): 1}


@pytest.mark.databases("sqlite")
def test_a_locked_database_is_waited_for(own_simulation):
    simulation, name = own_simulation, "locked"
    first = tasks.Shell(id="first", roles=[name], run="locked-first")
    then = tasks.Shell(id="then", roles=[name], run="locked-then", after=["first"])
    simulation.environment(name, first, then)
    simulation.behave({"match": "locked-first", "delay": 0.5})
    running = simulation.client.deploy(name)
    until(simulation.starts, "the first task")
    with database(simulation) as connection:
        connection.execute("BEGIN IMMEDIATE")
        time.sleep(17)  # longer than the database itself waits for a lock, and than a lease
        connection.execute("ROLLBACK")
    ended = simulation.finish(running, "ready")
    assert simulation.ran(ended) == {("locked1", "first"): 1, ("locked1", "then"): 1}
    log = simulation.server.log.read_text()
    # Whoever had the turn says so: the journal, or the refresh of plugins' data before it.
    assert log.count("The journal: the database cannot be used") + log.count("waits for the database") == 1
    assert "Traceback" not in log

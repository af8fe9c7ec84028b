# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The scheduler keeps order on a node and across nodes, and lets the tolerance decide."""

from __future__ import annotations

import msgspec
import pytest
from stoker.domain.action import CommandAction
from stoker.domain.plan import Barrier, Plan, PlannedInstance, PlannedNode, PlannedTask
from stoker.domain.tolerance import allowed_failures
from stoker.orchestration.scheduler import Scheduler


def make(tasks: list[PlannedTask], runs: dict[int, list[str]], *, tolerance: int | str = 0, **fields: object) -> Plan:
    """A plan in which ``runs`` gives, for each node, why each task runs there."""
    return Plan(
        environment_id="e",
        environment_name="e",
        nodes=[PlannedNode(f"id{n}", f"n{n}", ["r"]) for n in runs],
        tasks=tasks,
        instances=[PlannedInstance(task, node, 0, "i", run) for node, row in runs.items() for task, run in enumerate(row)],
        actions=[CommandAction(run="true")],
        contents=[],
        befores=[],
        files=[],
        packages=[],
        origins=[],
        tolerance={"r": tolerance},
        **fields,
    )


def task(name: str, **fields: object) -> PlannedTask:
    return PlannedTask(name=name, plugin="p", kind="shell", **fields)


def test_order_holds_across_a_skipped_instance() -> None:
    plan = make([task("p.a"), task("p.b", after=[0]), task("p.c", after=[1])], {0: ["new", "", "new"]})
    scheduler = Scheduler(plan)
    first = scheduler.take(0)
    assert first == 0
    assert scheduler.take(0) is None
    scheduler.finish(0)
    assert scheduler.take(0) == 2


def test_a_barrier_opens_when_all_are_finished() -> None:
    tasks = [task("p.a"), task("p.b", barriers=[0])]
    plan = make(tasks, {0: ["new", "new"], 1: ["new", "new"]}, barriers=[Barrier(task=0, group=0)], groups=[[0, 1]])
    scheduler = Scheduler(plan)
    assert (scheduler.take(0), scheduler.take(1)) == (0, 2)
    scheduler.finish(0)
    assert scheduler.take(0) is None
    scheduler.finish(2)
    assert (scheduler.take(0), scheduler.take(1)) == (1, 3)


def test_a_failed_node_within_tolerance_does_not_hold_a_barrier() -> None:
    tasks = [task("p.a"), task("p.b", barriers=[0])]
    runs = {0: ["new", "new"], 1: ["new", "new"]}
    plan = make(tasks, runs, tolerance="50%", barriers=[Barrier(task=0, group=0)], groups=[[0, 1]])
    scheduler = Scheduler(plan)
    scheduler.take(0)
    scheduler.take(1)
    scheduler.finish(0)
    scheduler.fail(2)
    assert scheduler.take(0) == 1
    assert not scheduler.halted


def test_more_failures_than_tolerated_let_nothing_start() -> None:
    scheduler = Scheduler(make([task("p.a"), task("p.b")], {0: ["new", "new"], 1: ["new", "new"]}))
    scheduler.take(0)
    scheduler.fail(0)
    assert scheduler.halted
    assert scheduler.take(1) is None
    assert "role r: 1 of 2" in scheduler.exceeded()


def test_only_the_nodes_of_the_role_are_named() -> None:
    plan = make([task("p.a")], {0: ["new"], 1: ["new"], 2: ["new"]}, tolerance=1)
    nodes = [plan.nodes[0], plan.nodes[1], PlannedNode("id2", "n2", [])]
    scheduler = Scheduler(msgspec.structs.replace(plan, nodes=nodes))
    for number in (0, 2):
        scheduler.take(number)
        scheduler.fail(number)
    assert scheduler.exceeded() == "nodes without a role: 1 of 1 nodes failed, 0 may (n2)"


def test_a_node_that_is_left_out_counts_as_failed_and_holds_nothing_up() -> None:
    tasks = [task("p.a"), task("p.b", barriers=[0])]
    runs = {0: ["new", "new"], 1: ["new", "new"], 2: []}
    plan = make(tasks, runs, tolerance=1, barriers=[Barrier(task=0, group=0)], groups=[[0, 1, 2]])
    nodes = [*plan.nodes[:2], PlannedNode("id2", "n2", ["r"], left_out="nobody answers")]
    scheduler = Scheduler(msgspec.structs.replace(plan, nodes=nodes))
    assert scheduler.failed_nodes == {2}
    assert scheduler.idle(2)
    scheduler.finish(scheduler.take(0))
    scheduler.finish(scheduler.take(1))
    assert (scheduler.take(0), scheduler.take(1)) == (1, 3)
    scheduler.fail(1)
    assert scheduler.halted
    assert scheduler.exceeded() == "role r: 2 of 3 nodes failed, 1 may (n0, n2)"


def test_one_by_one_is_one_by_one() -> None:
    scheduler = Scheduler(make([task("p.a", concurrency=1)], {0: ["new"], 1: ["new"]}))
    assert scheduler.take(0) == 0
    assert scheduler.take(1) is None
    scheduler.finish(0)
    assert 1 in scheduler.woken
    assert scheduler.take(1) == 1


def test_what_is_done_is_not_run_again() -> None:
    scheduler = Scheduler(make([task("p.a"), task("p.b", after=[0])], {0: ["new", "new"]}), done={(0, 0)})
    assert scheduler.take(0) == 1


@pytest.mark.parametrize(("tolerance", "nodes", "allowed"), [(2, 9, 2), ("50%", 3, 1), ("0", 5, 0), ("100%", 4, 4)])
def test_tolerance(tolerance: int | str, nodes: int, allowed: int) -> None:
    assert allowed_failures(tolerance, nodes) == allowed

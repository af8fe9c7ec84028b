# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Plans of a part: what is not chosen runs nothing and is told, and what it owes is remembered; restarts are never lost."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from making import carried_out, file_of, node, plugin, running, snapshot
from stoker.domain.action import ServiceAction
from stoker.domain.node import Facts
from stoker.domain.plan import Plan
from stoker.domain.snapshot import Selection, Snapshot
from stoker.errors import PlanningError
from stoker.planning.plans import make_plan
from stoker_sdk import ref
from stoker_sdk.extension_points import config_files, health_checks, node_packages, roles, tasks

PATH = "/etc/app.conf"
APP = (
    roles.Role(name="web"),
    roles.Role(name="db"),
    node_packages.NodePackages(roles=["*"], packages=["app"]),
    config_files.ConfigFile(path=PATH, format="plain"),
    config_files.Option(path=PATH, key="k", value=ref.settings.k),
    tasks.Service(id="run", roles=["*"], name="app", restart_on=[f"file:{PATH}"]),
    tasks.Shell(id="index", roles=["*"], run="index", run_on=[f"file:{PATH}"]),
    health_checks.HealthCheck(id="up", roles=["*"], run="true"),
)


def cluster(k: object = 1, **more: Any) -> Snapshot:
    return snapshot([plugin("app", *APP, settings={"k": k})], [node("a", "web"), node("b", "db")], **more)


def deployed(before: Snapshot) -> Snapshot:
    return carried_out(before, make_plan(before))


def changed(before: Snapshot, k: object) -> Snapshot:
    return msgspec.structs.replace(before, plugins=cluster(k).plugins)


def part(before: Snapshot, **names: list[str]) -> Snapshot:
    return msgspec.structs.replace(before, selection=Selection(**names))


def left(plan: Plan) -> dict[tuple[str, str], str]:
    return {(plan.nodes[item.node].name, plan.tasks[item.task].name): item.reason for item in plan.left_out}


def restarts(plan: Plan, name: str) -> bool:
    actions = [plan.actions[item.action] for item in plan.instances if item.run and plan.nodes[item.node].name == name]
    return any(isinstance(action, ServiceAction) and action.restart == "restart" for action in actions)


def test_what_is_chosen_and_what_is_left_out_are_together_the_whole() -> None:
    whole = running(make_plan(cluster()))
    for names in ({"nodes": ["a"]}, {"roles": ["db"]}, {"tasks": ["app.packages"]}, {"tasks": ["app.run"], "nodes": ["b"]}):
        plan = make_plan(part(cluster(), **names))
        together = {**running(plan), **left(plan)}
        checks = {place for place, reason in whole.items() if reason == "check"}
        assert {place: reason for place, reason in together.items() if place not in checks} == {
            place: reason for place, reason in whole.items() if place not in checks
        }


def test_nothing_runs_and_no_file_is_shown_on_a_node_that_was_not_chosen() -> None:
    plan = make_plan(part(cluster(), roles=["web"]))
    assert {place[0] for place in running(plan)} == {"a"}
    assert {plan.nodes[file.node].name for file in plan.files} == {"a"}
    assert {plan.nodes[package.node].name for package in plan.packages} == {"a"}
    assert [(planned.name, planned.outside) for planned in plan.nodes] == [("a", False), ("b", True)]


def test_a_partial_plan_of_everything_runs_what_the_whole_one_runs() -> None:
    one, two = make_plan(cluster()), make_plan(part(cluster(), nodes=["a", "b"]))
    assert running(one) == running(two)
    assert not two.left_out


def test_a_restart_that_a_part_leaves_out_is_owed_and_one_whose_trigger_is_left_out_too_is_not() -> None:
    now = changed(deployed(cluster(1)), 2)
    plan = make_plan(part(now, tasks=["app.files"], nodes=["a"]))
    assert running(plan) == {("a", "app.files"): "inputs"}
    owed = {(plan.nodes[item.node].name, plan.tasks[item.task].name) for item in plan.left_out if item.owed}
    assert owed == {("a", "app.run"), ("a", "app.index")}
    assert left(plan)["b", "app.run"] == "triggered"


def test_a_chosen_task_is_not_triggered_by_what_is_left_out_and_runs_with_the_whole() -> None:
    now = changed(deployed(cluster(1)), 2)
    plan = make_plan(part(now, tasks=["app.run"]))
    assert running(plan) == {}
    after = carried_out(now, plan)
    rest = make_plan(msgspec.structs.replace(after, selection=None))
    assert running(rest)["a", "app.run"] == "triggered"
    assert restarts(rest, "a")


def test_a_chosen_task_that_comes_after_one_that_is_left_out_is_warned_of() -> None:
    plan = make_plan(part(cluster(), tasks=["app.run"], nodes=["a"]))
    assert "app.run comes after app.files, which is left out and would have run on a." in plan.warnings


def test_a_file_that_somebody_wrote_as_planned_already_restarts_what_reads_it() -> None:
    """Its content is right, but the service has never seen it."""
    before = deployed(cluster(1))
    wanted = make_plan(changed(before, 2))
    ahead = carried_out(before, wanted)  # what is on the nodes is as planned; what was applied is not
    nodes = [
        msgspec.structs.replace(
            old, observed=msgspec.structs.replace(new.observed, services=old.observed.services), applied=old.applied
        )
        for old, new in zip(before.nodes, ahead.nodes, strict=True)
    ]
    plan = make_plan(msgspec.structs.replace(changed(before, 2), nodes=nodes))
    assert file_of(plan, "a", PATH).status == "same"
    assert running(plan)["a", "app.run"] == "triggered"
    assert running(plan)["a", "app.index"] == "triggered"
    assert restarts(plan, "a")


def test_nothing_to_do_stays_nothing_to_do() -> None:
    assert running(make_plan(deployed(cluster()))) == {}
    assert not make_plan(part(deployed(cluster()), nodes=["a"])).left_out


def test_names_that_mean_nothing_are_refused_together() -> None:
    with pytest.raises(PlanningError) as caught:
        make_plan(part(cluster(), nodes=["aa"], roles=["wep"], tasks=["app.file", "index"]))
    found = caught.value.data["findings"]
    assert [finding.rule for finding in found] == ["Q001"] * 4
    assert "Did you mean web?" in found[1].remedy
    assert "Did you mean app.files or" in found[2].remedy
    assert "app.index" in found[3].remedy


def test_a_part_without_nodes_is_refused() -> None:
    with pytest.raises(PlanningError) as caught:
        make_plan(part(cluster(), nodes=["a"], roles=["db"]))
    assert [finding.rule for finding in caught.value.data["findings"]] == ["Q002"]


def test_a_node_that_does_not_answer_holds_up_no_part_to_which_it_does_not_belong() -> None:
    away = [node("a", "web"), node("b", "db", left_out="node b: no answer", facts=Facts())]
    gone = msgspec.structs.replace(cluster(), nodes=away)
    with pytest.raises(PlanningError):
        make_plan(gone)
    assert {place[0] for place in running(make_plan(part(gone, nodes=["a"])))} == {"a"}


def test_removal_in_parts_keeps_the_plugin_until_the_whole_is_done() -> None:
    before = deployed(cluster())
    going = msgspec.structs.replace(before, plugins=[msgspec.structs.replace(before.plugins[0], removing=True)])
    plan = make_plan(part(going, nodes=["a"]))
    assert plan.remove_plugins == []
    assert ("a", "app.remove.files") in running(plan)
    assert left(plan)["b", "app.remove.files"] == "remove"
    assert all(plan.nodes[file.node].name == "a" for file in plan.files)
    assert make_plan(going).remove_plugins == ["app"]

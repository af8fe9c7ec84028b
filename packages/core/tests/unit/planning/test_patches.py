# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Patches of tasks: merged field by field, refused where plugins differ, and order holds across what is skipped."""

from __future__ import annotations

import itertools

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from making import carried_out, node, order, plugin, running, snapshot
from stoker.domain.action import CommandAction
from stoker.domain.secret import SecretSlot
from stoker.errors import PlanningError
from stoker.orchestration.scheduler import Scheduler
from stoker.planning.checks import check_plugins
from stoker.planning.plans import make_plan
from stoker_sdk import Dependency, ref
from stoker_sdk.extension_points import config_files, health_checks, node_packages, roles, tasks
from stoker_sdk.extension_points.task_patches import Extend, Replace, TaskPatch
from stoker_sdk.model.expression import Expression

MAIN = (
    roles.Role(name="web"),
    node_packages.NodePackages(roles=["web"], packages=["figlet"]),
    tasks.Shell(id="first", roles=["web"], run="first", environment={"A": "1"}),
    tasks.Shell(id="second", roles=["web"], run="second", after=["first"], unless="false"),
    tasks.Shell(id="third", roles=["web"], run="third", after=["second"]),
    tasks.Service(name="httpd", roles=["web"], restart_on=["task:third"]),
    tasks.Shell(id="undo", roles=["web"], run="undo", on="remove"),
    health_checks.HealthCheck(id="alive", roles=["web"], run="alive"),
)


def main(*more):
    return plugin("main", *MAIN, *more)


def planned(*plugins, nodes=None):
    return make_plan(snapshot(list(plugins), nodes or [node("n1", "web")]))


def task_of(plan, name):
    return next(task for task in plan.tasks if task.name == name)


def action_of(plan, name):
    return next(plan.actions[item.action] for item in plan.instances if plan.tasks[item.task].name == name)


def patches_of(plan):
    return [
        (plan.tasks[item.task].name, item.field, item.value, [plan.origins[number].plugin for number in item.origins])
        for item in plan.patches
    ]


def rules(*plugins):
    return [(finding.rule, finding.plugin) for finding in check_plugins(list(plugins))]


def test_fields_are_replaced_and_the_plan_says_by_whom():
    other = plugin(
        "other",
        TaskPatch(
            task="main.first",
            replace=Replace(run="better", timeout=9, environment={"A": "2"}),
            extend=Extend(environment={"B": "3"}),
        ),
        TaskPatch(task="main.check.alive", replace=Replace(retries=7)),
        TaskPatch(task="main.packages", replace=Replace(timeout=3600)),
    )
    plan = planned(main(), other)
    assert check_plugins([main(), other]) == []
    action = action_of(plan, "main.first")
    assert (action.run, action.environment, task_of(plan, "main.first").timeout) == ("better", {"A": "2", "B": "3"}, 9)
    assert (task_of(plan, "main.check.alive").retries, task_of(plan, "main.packages").timeout) == (7, 3600)
    assert patches_of(plan) == [
        ("main.packages", "timeout", "3600", ["other"]),
        ("main.first", "environment.A", "2", ["other"]),
        ("main.first", "environment.B", "3", ["other"]),
        ("main.first", "run", "better", ["other"]),
        ("main.first", "timeout", "9", ["other"]),
        ("main.check.alive", "retries", "7", ["other"]),
    ]


def test_expressions_see_what_the_plugin_that_patches_sees():
    other = plugin(
        "other",
        TaskPatch(
            task="main.first",
            replace=Replace(environment={"A": ref.settings.text + ref.node.name}),
            extend=Extend(environment={"KEY": ref.settings.key}),
        ),
        settings={"text": "hello ", "key": {"$secret": "key", "version": 2}},
    )
    plan = planned(main(), other, nodes=[node("n1", "web"), node("n2", "web")])
    environments = [
        plan.actions[item.action].environment for item in plan.instances if plan.tasks[item.task].name == "main.first"
    ]
    assert [found["A"] for found in environments] == ["hello n1", "hello n2"]
    assert environments[0]["KEY"] == [SecretSlot("other", "key", 2, "variable")]
    assert ("main.first", "environment.A", "(settings.text + node.name)", ["other"]) in patches_of(plan)


def test_equal_patches_merge_and_all_owners_are_named():
    patch = TaskPatch(task="main.first", replace=Replace(timeout=9, environment={"A": ref.settings.x}))
    one, two = plugin("one", patch, settings={"x": "same"}), plugin("two", patch, settings={"x": "same"})
    plan = planned(main(), one, two)
    assert ("main.first", "timeout", "9", ["one", "two"]) in patches_of(plan)
    assert ("main.first", "environment.A", "settings.x", ["one", "two"]) in patches_of(plan)
    assert action_of(plan, "main.first").environment == {"A": "same"}


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        (Replace(timeout=9), Replace(timeout=10)),
        (Replace(environment={"A": "2"}), Replace(environment={"A": "3"})),
        (Replace(environment={"A": "2"}), Replace(environment={"A": ref.settings.x})),
    ],
)
def test_different_patches_are_refused_naming_both(mine, theirs):
    one = plugin("one", TaskPatch(task="main.first", replace=mine), settings={"x": "5"})
    two = plugin("two", TaskPatch(task="main.first", replace=theirs), settings={"x": "5"})
    (finding,) = check_plugins([main(), one, two])
    assert finding.rule == "H010"
    assert "one (task_patches main.first)" in finding.message
    assert "two (task_patches main.first)" in finding.message
    assert finding.remedy
    with pytest.raises(PlanningError, match="differently"):
        planned(main(), one, two)


def test_what_differs_on_a_node_alone_is_found_in_the_plan():
    one = plugin("one", TaskPatch(task="main.first", replace=Replace(environment={"A": ref.node.name})))
    two = plugin("two", TaskPatch(task="main.first", replace=Replace(environment={"A": "n1"})))
    assert check_plugins([main(), one, two]) == []
    assert action_of(planned(main(), one, two), "main.first").environment == {"A": "n1"}
    with pytest.raises(PlanningError, match="on node n2: plugins patch this field differently: 'n2' by one"):
        planned(main(), one, two, nodes=[node("n1", "web"), node("n2", "web")])


PATCHES = {
    "no such task": ("H006", TaskPatch(task="main.none", skip=True)),
    "no such plugin": ("H006", TaskPatch(task="none.first", skip=True)),
    "own task": ("H004", TaskPatch(task="other.mine", skip=True)),
    "field of another kind": ("H007", TaskPatch(task="main.first", replace=Replace(port=80))),
    "state of a shell task": ("H007", TaskPatch(task="main.first", replace=Replace(state="stopped"))),
    "text of packages": ("H007", TaskPatch(task="main.packages", replace=Replace(run="x"))),
    "generated task skipped": ("H008", TaskPatch(task="main.packages", skip=True)),
    "task of a removal": ("H009", TaskPatch(task="main.undo", skip=True)),
    "condition on nodes": ("H005", TaskPatch(task="main.first", skip=True, when="node.name == 'n1'")),
    "variable that is not there": ("H012", TaskPatch(task="main.first", replace=Replace(environment={"B": "x"}))),
    "variable that is there": ("H012", TaskPatch(task="main.first", extend=Extend(environment={"A": "x"}))),
    "variable that is none": ("T020", TaskPatch(task="main.first", extend=Extend(environment={"a b": "x"}))),
    "time that is none": ("T001", TaskPatch(task="main.first", replace=Replace(timeout=0))),
    "trigger of a task without": ("H013", TaskPatch(task="main.first", extend=Extend(run_on=["file:/x"]))),
    "trigger that nothing brings": ("G005", TaskPatch(task="main.service.httpd", extend=Extend(restart_on=["file:/x"]))),
    "edge to nothing": ("G001", TaskPatch(task="main.first", extend=Extend(after=["nothing"]))),
    "edge to no role": ("G002", TaskPatch(task="main.first", extend=Extend(after=[Dependency("mine", role="none")]))),
    "circle": ("G004", TaskPatch(task="main.first", extend=Extend(after=["main.third"]))),
    "setting that is not there": ("E003", TaskPatch(task="main.first", replace=Replace(environment={"A": ref.settings.none}))),
}


@pytest.mark.parametrize("case", PATCHES)
def test_a_patch_that_cannot_be_is_found_when_it_is_enabled(case):
    rule, patch = PATCHES[case]
    other = plugin("other", patch, tasks.Shell(id="mine", roles=["*"], run="mine"), settings={"x": 1})
    found = check_plugins([main(), other])
    assert [finding.rule for finding in found] == [rule]
    assert rule == "G004" or found[0].plugin == "other", "the plugin that patches is named"
    assert found[0].message
    assert found[0].remedy


def test_an_optional_patch_of_a_missing_task_does_nothing():
    other = plugin("other", TaskPatch(task="none.first", skip=True, optional=True))
    assert check_plugins([main(), other]) == []
    assert patches_of(planned(main(), other)) == []


def test_a_condition_decides_over_the_whole_patch():
    patch = TaskPatch(task="main.first", replace=Replace(timeout=9), when="settings.slow")
    for slow, timeout in ((True, 9), (False, 600)):
        assert task_of(planned(main(), plugin("other", patch, settings={"slow": slow})), "main.first").timeout == timeout


def test_settings_that_are_still_to_come_do_not_hinder_enabling():
    other = plugin("other", TaskPatch(task="main.first", skip=True, when="settings.slow"), settings={"slow": True})
    incomplete = msgspec.structs.replace(other, settings={})
    assert check_plugins([main(), incomplete]) == []
    with pytest.raises(PlanningError, match="slow"):
        planned(main(), incomplete)


def test_skip_and_change_of_one_task_are_refused():
    one = plugin("one", TaskPatch(task="main.first", skip=True))
    two = plugin("two", TaskPatch(task="main.first", replace=Replace(timeout=9)))
    (finding,) = check_plugins([main(), one, two])
    assert (finding.rule, "one (" in finding.message, "two (" in finding.message) == ("H011", True, True)
    ordered = plugin(
        "two", tasks.Shell(id="mine", roles=["*"], run="x"), TaskPatch(task="main.first", extend=Extend(after=["mine"]))
    )
    assert check_plugins([main(), one, ordered]) == []


def test_a_skipped_task_keeps_its_place_and_is_not_run():
    other = plugin("other", TaskPatch(task="main.second", skip=True))
    plan = planned(main(), other)
    assert ("n1", "main.second") not in running(plan)
    names = order(plan, "n1")
    assert names.index("main.first") < names.index("main.second") < names.index("main.third")
    scheduler = Scheduler(plan)
    started = []
    while not scheduler.idle(0):
        number = scheduler.take(0)
        started.append(plan.tasks[plan.instances[number].task].name)
        scheduler.finish(number)
    assert started.index("main.first") < started.index("main.third")
    assert "main.second" not in started
    assert patches_of(plan) == [("main.second", "skip", "skipped", ["other"])]


def test_order_across_nodes_holds_through_a_skipped_task():
    across = plugin(
        "main",
        roles.Role(name="db"),
        roles.Role(name="web"),
        tasks.Shell(id="load", roles=["db"], run="load"),
        tasks.Shell(id="ready", roles=["db"], run="ready", after=["load"]),
        tasks.Shell(id="use", roles=["web"], run="use", after=[Dependency("ready", role="db")]),
    )
    plan = planned(across, plugin("other", TaskPatch(task="main.ready", skip=True)), nodes=[node("a", "db"), node("b", "web")])
    scheduler = Scheduler(plan)
    assert scheduler.take(1) is None, "use waits for what ready waited for"
    scheduler.finish(scheduler.take(0))
    assert plan.tasks[plan.instances[scheduler.take(1)].task].name == "main.use"


def test_what_a_skipped_task_brought_is_taken_back_and_comes_again():
    files = plugin(
        "main",
        tasks.Files(id="mine", roles=["*"], files=[tasks.FileItem(path="/etc/x", content="x")]),
        tasks.Service(name="httpd", roles=["*"]),
    )
    before = snapshot([files], [node("n1")])
    deployed = carried_out(before, make_plan(before))
    skipping = plugin("other", TaskPatch(task="main.mine", skip=True), TaskPatch(task="main.service.httpd", skip=True))
    with_patch = msgspec.structs.replace(deployed, plugins=[files, skipping])
    plan = make_plan(with_patch)
    assert set(running(plan)) == {("n1", "main.remove.files"), ("n1", "main.remove.service.httpd")}
    gone = msgspec.structs.replace(carried_out(with_patch, plan), plugins=[files])
    assert set(running(make_plan(gone))) == {("n1", "main.mine"), ("n1", "main.service.httpd")}


def test_without_the_patching_plugin_the_next_plan_returns_to_the_original():
    original = planned(main())
    state = snapshot([main(), plugin("other", TaskPatch(task="main.first", replace=Replace(run="better")))], [node("n1", "web")])
    deployed = carried_out(state, make_plan(state))
    back = make_plan(msgspec.structs.replace(deployed, plugins=[main()]))
    assert running(back)["n1", "main.first"] == "inputs"
    assert ("n1", "main.second") not in running(back)
    assert action_of(back, "main.first") == action_of(original, "main.first")
    assert back.patches == []


def test_triggers_and_edges_are_added_by_whole_name():
    other = plugin(
        "other",
        config_files.WholeFile(path="/etc/o", roles=["web"], content=ref.settings.text),
        tasks.Shell(id="mine", roles=["web"], run="mine"),
        TaskPatch(
            task="main.service.httpd",
            extend=Extend(restart_on=["file:/etc/o", "task:mine"], after=["mine"], before=["verify"]),
        ),
        settings={"text": "a"},
    )
    assert check_plugins([main(), other]) == []
    state = snapshot([main(), other], [node("n1", "web")])
    plan = make_plan(state)
    names = order(plan, "n1")
    assert names.index("other.mine") < names.index("main.service.httpd")
    assert names.index("other.files") < names.index("main.service.httpd")
    changed = msgspec.structs.replace(other, settings={"text": "b"})
    again = make_plan(msgspec.structs.replace(carried_out(state, plan), plugins=[main(), changed]))
    assert running(again)["n1", "main.service.httpd"] == "triggered"


VALUES = st.sampled_from([5, 6, 7])
TEXTS = st.sampled_from(["1", "2"]) | st.sampled_from(["settings.a", "settings.b", "node.name"]).map(Expression)
PATCH = st.builds(
    lambda timeout, value, after: TaskPatch(
        task="main.first",
        replace=Replace(timeout=timeout, environment={} if value is None else {"A": value}),
        extend=Extend(after=after),
    ),
    st.none() | VALUES,
    st.none() | TEXTS,
    st.sampled_from([[], ["prepare"], ["main.packages"]]),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(PATCH, min_size=2, max_size=3))
def test_any_order_gives_the_same_and_only_different_values_conflict(patches):
    """Whatever three plugins patch: the order does not matter, equal values merge, and different ones are refused."""
    others = [plugin(f"p{number}", patch, settings={"a": "1", "b": "n1"}) for number, patch in enumerate(patches)]
    results = set()
    for order_of in itertools.permutations([main(), *others]):
        try:
            results.add(msgspec.json.encode(make_plan(snapshot(list(order_of), [node("n1", "web")]))))
        except PlanningError as error:
            results.add(str(error).encode())
    assert len(results) == 1, "the order of plugins changed the result"
    timeouts = {patch.replace.timeout for patch in patches if patch.replace.timeout is not None}
    known = {"settings.a": "1", "settings.b": "n1", "node.name": "n1"}
    given_values = {
        known.get(getattr(value, "source", ""), value) for patch in patches for value in patch.replace.environment.values()
    }
    differ = len(timeouts) > 1 or len(given_values) > 1
    (result,) = results
    assert (b"differently" in result) == differ
    if not differ:
        plan = planned(main(), *others)
        assert task_of(plan, "main.first").timeout == next(iter(timeouts), 600)
        action = action_of(plan, "main.first")
        assert isinstance(action, CommandAction)
        assert action.environment == {"A": next(iter(given_values), "1")}
        owners = {name for _, field, _, names in patches_of(plan) if field == "timeout" for name in names}
        assert owners == {f"p{number}" for number, patch in enumerate(patches) if patch.replace.timeout is not None}

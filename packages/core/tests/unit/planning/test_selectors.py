# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Selectors: one node of a role or of all, stable once chosen; nodes of a service; and what cannot match."""

from __future__ import annotations

import pytest
from making import carried_out, node, plugin, running, snapshot, text_of
from stoker.domain.plan import Plan
from stoker.domain.snapshot import NodeInput, OverrideInput, PluginInput
from stoker.errors import PlanningError
from stoker.planning.checks import check_plugins
from stoker.planning.plans import make_plan
from stoker.planning.watch import watch_lists
from stoker_sdk import Dependency, ref
from stoker_sdk.extension_points import config_files, roles, services, tasks

NODES = [node("c", "db"), node("a", "db"), node("b", "web")]


def cluster(*more: object, **fields: object) -> PluginInput:
    return plugin(
        "cluster",
        roles.Role(name="db", tolerance=9),
        roles.Role(name="web", tolerance=9),
        tasks.Shell(id="init", roles=["primary(db)"], run="init"),
        tasks.Shell(id="join", roles=["db"], run="join", after=[Dependency("init", role="primary(db)")]),
        tasks.Shell(id="note", roles=["once"], run="note", phase="verify"),
        tasks.Shell(id="drop", roles=["primary(db)"], run="drop", on="remove"),
        *more,  # type: ignore[arg-type]
        **fields,
    )


def chosen(plan: Plan) -> dict[str, str]:
    return {selector: plan.nodes[place].name for selector, place in plan.primaries.items()}


def test_one_node_of_the_role_has_the_task_and_others_wait_for_it() -> None:
    plan = make_plan(snapshot([cluster()], NODES))
    assert set(running(plan)) == {
        ("a", "cluster.init"),
        ("a", "cluster.join"),
        ("c", "cluster.join"),
        ("a", "cluster.note"),
    }
    assert chosen(plan) == {"primary(db)": "a", "once": "a"}
    (barrier,) = plan.barriers
    assert (plan.tasks[barrier.task].name, plan.groups[barrier.group]) == ("cluster.init", [0])


@pytest.mark.parametrize(
    ("stored", "nodes", "expected"),
    [
        ("id-c", NODES, "c"),  # it stays, though another comes first by name
        ("id-c", [node("a", "db"), node("c", "web")], "a"),  # it lost the role
        ("id-c", [node("a", "db"), node("c", "db", removing=True)], "a"),  # it leaves
        ("id-c", [node("a", "db")], "a"),  # it is lost
        ("id-c", [node("a", "db"), node("c", "db", left_out="no answer")], "c"),  # it comes back
        ("", [node("a", "db", left_out="no answer"), node("c", "db")], "c"),  # who answers is chosen
    ],
)
def test_the_choice_is_stable(stored: str, nodes: list[NodeInput], expected: str) -> None:
    plan = make_plan(snapshot([cluster()], nodes, primaries={"primary(db)": stored}))
    assert chosen(plan)["primary(db)"] == expected
    told = [warning for warning in plan.warnings if warning.startswith("primary(db) is node")]
    assert bool(told) == (expected == "c" and any(item.left_out for item in nodes if item.name == "c"))


def test_a_task_of_the_one_node_is_undone_on_the_last_one_alone() -> None:
    first = snapshot([cluster()], NODES, primaries={"primary(db)": "id-c"})
    after = carried_out(first, make_plan(first))
    leaving = [node(item.name, *item.roles, applied=item.applied, removing=item.name == "c") for item in after.nodes]
    plan = make_plan(snapshot([cluster()], leaving, primaries={"primary(db)": "id-c"}))
    assert ("c", "cluster.drop") not in running(plan)
    assert chosen(plan)["primary(db)"] == "a"
    last = [node(item.name, *item.roles, applied=item.applied, removing=True) for item in after.nodes]
    plan = make_plan(snapshot([cluster()], last, primaries={"primary(db)": "id-c"}))
    assert {name for name, task in running(plan) if task == "cluster.drop"} == {"c"}


def test_nodes_of_a_service_are_a_selector() -> None:
    database = services.Service(name="database", roles=["primary(db)", "web"])
    mark = config_files.WholeFile(path="/etc/mark", roles=["service(database)"], content="x")
    plan = make_plan(snapshot([cluster(database, mark)], NODES))
    assert sorted(plan.nodes[file.node].name for file in plan.files) == ["a", "b"]


def test_values_see_the_primary() -> None:
    entry = config_files.WholeFile(path="/etc/db", roles=["web"], content=ref.primary.db.address)
    plan = make_plan(snapshot([plugin("x", roles.Role(name="db"), roles.Role(name="web"), entry)], NODES))
    assert text_of(plan, "b", "/etc/db") == "a.example"
    assert chosen(plan) == {"primary(db)": "a", "primary(web)": "b"}
    template = config_files.WholeFile(path="/etc/db", roles=["web"], template="t.j2")
    part = plugin(
        "x", roles.Role(name="db"), roles.Role(name="web"), template, templates={"t.j2": "{{ primary.db.name }} {{ by_service }}"}
    )
    plan = make_plan(snapshot([part], NODES, primaries={"primary(db)": "id-c"}))
    assert text_of(plan, "b", "/etc/db") == "c {}"


def test_plans_without_such_selectors_choose_nobody() -> None:
    assert make_plan(snapshot([plugin("x", roles.Role(name="db"))], NODES)).primaries == {}


@pytest.mark.parametrize(
    ("item", "rule", "meant"),
    [
        (tasks.Shell(id="t", roles=["primary(dbs)"], run="x"), "S001", "'db'"),
        (tasks.Shell(id="t", roles=["service(databse)"], run="x"), "S005", "'database'"),
        (tasks.Shell(id="t", roles=["web"], run="x", after=[Dependency("init", role="primary(dbb)")]), "G002", "'db'"),
        (tasks.Shell(id="t", roles=["web"], run="x", after=[Dependency("init", role="service(databas)")]), "G002", "'database'"),
        (tasks.Shell(id="t", roles=["web"], run="x", after=[Dependency("init", role="primary(web)")]), "G007", ""),
        (tasks.Shell(id="t", roles=["primary (db)"], run="x"), "S004", ""),
    ],
)
def test_what_can_match_nothing_is_found_when_enabled(item: tasks.Task, rule: str, meant: str) -> None:
    database = services.Service(name="database", roles=["db"])
    findings = [finding for finding in check_plugins([cluster(database, item)]) if finding.rule == rule]
    assert [finding.contribution for finding in findings] == ["tasks.shell t"]
    assert meant in findings[0].remedy


def test_one_value_for_the_primary_and_another_for_its_role_clash_at_enabling() -> None:
    file = config_files.ConfigFile(path="/etc/x", format="ini")
    one = config_files.Option(path="/etc/x", key="a", value=1, roles=["db"])
    two = config_files.Option(path="/etc/x", key="a", value=2, roles=["primary(db)"])
    assert {finding.rule for finding in check_plugins([cluster(file, one, two)])} == {"M001"}
    apart = config_files.Option(path="/etc/x", key="a", value=2, roles=["primary(web)"])
    assert check_plugins([cluster(file, one, apart)]) == []


def test_every_node_that_could_be_chosen_is_looked_at() -> None:
    entry = config_files.WholeFile(path="/etc/one", roles=["primary(db)"], content="x")
    lists = watch_lists(snapshot([cluster(entry)], NODES))
    assert ["/etc/one" in item.files for item in lists] == [True, True, False]


def test_the_operator_overrides_on_one_node() -> None:
    file = config_files.ConfigFile(path="/etc/x", format="ini")
    entry = config_files.Option(path="/etc/x", key="a", value=1)
    database = services.Service(name="database", roles=["db"])
    given = [OverrideInput(path="/etc/x", section="", key="a", value=2, roles=["primary(db)"], by="ada")]
    plan = make_plan(snapshot([cluster(file, entry, database)], NODES, overrides=given))
    assert [text_of(plan, name, "/etc/x").splitlines()[-1] for name in "abc"] == ["a = 2", "a = 1", "a = 1"]
    given = [OverrideInput(path="/etc/x", section="", key="a", value=2, roles=["service(database)"], by="ada")]
    plan = make_plan(snapshot([cluster(file, entry, database)], NODES, overrides=given))
    assert [text_of(plan, name, "/etc/x").splitlines()[-1] for name in "abc"] == ["a = 2", "a = 1", "a = 2"]
    given = [OverrideInput(path="/etc/x", section="", key="a", value=2, roles=["primary(dbs)"], by="ada")]
    with pytest.raises(PlanningError, match="O004"):
        make_plan(snapshot([cluster(file, entry)], NODES, overrides=given))

# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Services: their parts become packages, files and tasks; entries of others find them; a change restarts the units."""

from __future__ import annotations

import pytest
from making import carried_out, file_of, node, plugin, running, snapshot, text_of
from stoker.domain.action import ServiceAction
from stoker.domain.plan import Plan
from stoker.domain.snapshot import OverrideInput, PluginInput
from stoker.errors import PlanningError
from stoker.planning.checks import check_plugins
from stoker.planning.plans import make_plan
from stoker_sdk import Dependency, ref
from stoker_sdk.extension_points import config_files, node_packages, roles, services, tasks

CONF = "/etc/front/front.cfg"
UNIT = "web.service.frontd"


def web(*more: object, **service: object) -> PluginInput:
    given = {
        "name": "front",
        "roles": ["front"],
        "packages": [node_packages.Package("frontd", ">=0.5")],
        "units": ["frontd"],
        "files": [services.ServiceFile(path=CONF, format="blocks", mode="0640", sections=["global", "defaults"])],
        **service,
    }
    return plugin(
        "web",
        roles.Role(name="front"),
        roles.Role(name="back"),
        services.Service(**given),  # type: ignore[arg-type]
        config_files.Option(service="front", section="defaults", key="timeout client", value="30s", level="default"),
        config_files.Option(service="front", section="global", key="daemon", value=True),
        config_files.ListItem(
            service="front", section="backend web", key="server", items=ref("by_role['back'].map(n, n.name + ' ' + n.address)")
        ),
        *more,  # type: ignore[arg-type]
    )


NODES = [node("a", "back"), node("b", "back"), node("f", "front")]


def action_of(plan: Plan, name: str, task: str) -> ServiceAction:
    (found,) = [
        plan.actions[item.action]
        for item in plan.instances
        if plan.nodes[item.node].name == name and plan.tasks[item.task].name == task
    ]
    assert isinstance(found, ServiceAction)
    return found


def test_a_service_becomes_packages_files_and_a_task_for_each_unit() -> None:
    plan = make_plan(snapshot([web(concurrency=1, ready="true")], NODES))
    assert running(plan) == {("f", "web.packages"): "new", ("f", "web.files"): "new", ("f", UNIT): "new"}
    assert [(item.name, item.constraint) for item in plan.packages] == [("frontd", ">=0.5")]
    assert text_of(plan, "f", CONF).splitlines()[1:] == [
        "",
        "global",
        "    daemon",
        "",
        "defaults",
        "    timeout client 30s",
        "",
        "backend web",
        "    server a a.example",
        "    server b b.example",
    ]
    assert file_of(plan, "f", CONF).mode == "0640"
    task = next(item for item in plan.tasks if item.name == UNIT)
    assert (task.contribution, task.concurrency, task.kind) == ("services front", 1, "service")
    assert action_of(plan, "f", UNIT) == ServiceAction(name="frontd", restart="restart", ready="true")
    content = plan.contents[file_of(plan, "f", CONF).content]
    named = [{plan.origins[origin].contribution for origin in line} for line in content.lines]
    assert named[0] == {"services front"}
    assert named[5] == {f"config_files.option {CONF} [defaults] timeout client"}


@pytest.mark.parametrize(("on_change", "how"), [("restart", "restart"), ("reload", "reload"), ("none", "")])
def test_a_change_by_anybody_restarts_the_units(on_change: str, how: str) -> None:
    first = snapshot([web(on_change=on_change)], NODES)
    after = carried_out(first, make_plan(first))
    assert running(make_plan(after)) == {}
    tuner = plugin("tuner", config_files.Option(service="front", section="defaults", key="timeout client", value="1m"))
    changed = snapshot([web(on_change=on_change), tuner], after.nodes)
    plan = make_plan(changed)
    assert "timeout client 1m" in text_of(plan, "f", CONF)
    if how:
        assert running(plan)["f", UNIT] == "triggered"
        assert action_of(plan, "f", UNIT).restart == how
    else:
        assert ("f", UNIT) not in running(plan)


def test_a_whole_file_of_another_plugin_belongs_to_the_service() -> None:
    extra = plugin("extra", config_files.WholeFile(service="front", path="/etc/front/extra.cfg", content="x\n"))
    first = snapshot([web()], NODES)
    after = carried_out(first, make_plan(first))
    joined = snapshot([web(), extra], after.nodes)
    plan = make_plan(joined)
    assert running(plan) == {("f", "extra.files"): "new", ("f", UNIT): "triggered"}
    after = carried_out(joined, plan)
    assert running(make_plan(after)) == {}
    gone = snapshot([web(), plugin("extra", *_entries(), removing=True)], after.nodes)
    plan = make_plan(gone)
    assert running(plan) == {("f", "extra.remove.files"): "remove", ("f", UNIT): "triggered"}
    assert action_of(plan, "f", UNIT).restart == "restart"
    without = snapshot([web()], carried_out(gone, plan).nodes)
    assert running(make_plan(without)) == {}


def _entries() -> list[config_files.WholeFile]:
    return [config_files.WholeFile(service="front", path="/etc/front/extra.cfg", content="x\n")]


def test_a_node_that_joins_changes_the_file_that_lists_it_and_nothing_else() -> None:
    first = snapshot([web(on_change="reload")], NODES)
    after = carried_out(first, make_plan(first))
    plan = make_plan(snapshot([web(on_change="reload")], [*after.nodes, node("c", "back")]))
    assert running(plan) == {("f", "web.files"): "inputs", ("f", UNIT): "triggered"}
    assert action_of(plan, "f", UNIT).restart == "reload"


def test_units_wait_for_what_the_service_waits_for() -> None:
    front = services.Service(name="front", roles=["front"], units=["frontd"], after=[Dependency("service.backd", role="back")])
    back = services.Service(name="back", roles=["back"], units=["backd"])
    plan = make_plan(snapshot([plugin("web", roles.Role(name="front"), roles.Role(name="back"), front, back)], NODES))
    names = [task.name for task in plan.tasks]
    assert names.index("web.service.backd") < names.index(UNIT)
    assert [plan.groups[barrier.group] for barrier in plan.barriers] == [[0, 1]]


def test_entries_for_a_service_that_is_not_there_are_refused_or_left_out() -> None:
    entry = config_files.Option(service="fronts", section="defaults", key="a", value=1)
    (finding,) = check_plugins([web(), plugin("tuner", entry)])
    assert (finding.rule, finding.plugin, finding.field) == ("J012", "tuner", "service")
    assert "Did you mean 'front'?" in finding.remedy
    optional = config_files.Option(service="fronts", section="defaults", key="a", value=1, optional=True)
    assert check_plugins([web(), plugin("tuner", optional)]) == []
    assert make_plan(snapshot([web(), plugin("tuner", optional)], NODES)).warnings == []
    with pytest.raises(PlanningError, match="fronts"):
        make_plan(snapshot([web(), plugin("tuner", entry)], NODES))


@pytest.mark.parametrize(
    ("file", "message"),
    [("", "several files"), ("front.confg", "no file 'front.confg'"), ("other", "")],
)
def test_the_file_of_a_service_is_named_where_it_has_several(file: str, message: str) -> None:
    files = [services.ServiceFile(path=CONF, format="ini"), services.ServiceFile(path="/etc/o.ini", format="ini", name="other")]
    base = plugin("web", roles.Role(name="front"), services.Service(name="front", roles=["front"], files=files))
    entry = config_files.Option(service="front", file=file, section="a", key="b", value=1)
    findings = check_plugins([base, plugin("tuner", entry)])
    if message:
        assert [(finding.rule, finding.plugin) for finding in findings] == [("J010", "tuner")]
        assert message in findings[0].message
    else:
        assert findings == []
        assert "b = 1" in text_of(make_plan(snapshot([base, plugin("tuner", entry)], NODES)), "f", "/etc/o.ini")


def test_two_plugins_cannot_bring_one_service() -> None:
    other = plugin("other", roles.Role(name="o"), services.Service(name="front", roles=["o"]))
    (finding,) = check_plugins([web(), other])
    assert finding.rule == "J011"
    assert "other" in finding.message + finding.plugin
    assert "web" in finding.message + finding.plugin


def test_values_see_the_nodes_of_a_service() -> None:
    listing = config_files.WholeFile(
        path="/etc/list", roles=["back"], content=ref("by_service['front'].map(n, n.address)"), when="size(by_service.front) > 0"
    )
    plan = make_plan(snapshot([web(listing)], NODES))
    assert text_of(plan, "a", "/etc/list") == "f.example\n"
    wrong = config_files.WholeFile(path="/etc/list", roles=["back"], content=ref("by_service.fronts[0].name"))
    (finding,) = check_plugins([web(wrong)])
    assert finding.rule == "E003"
    assert "Did you mean 'front'?" in finding.remedy


def test_a_service_can_be_taken_away_again() -> None:
    first = snapshot([web()], NODES)
    after = carried_out(first, make_plan(first))
    gone = snapshot([plugin("web", *_contributions(), removing=True)], after.nodes)
    assert running(make_plan(gone)) == {
        ("f", "web.remove.service.frontd"): "remove",
        ("f", "web.remove.files"): "remove",
        ("f", "web.remove.packages"): "remove",
    }


def _contributions() -> list[roles.Role | services.Service | config_files.Option | tasks.Task]:
    file = services.ServiceFile(path=CONF, format="blocks")
    return [
        roles.Role(name="front"),
        services.Service(name="front", roles=["front"], packages=["frontd"], units=["frontd"], files=[file]),
        config_files.Option(service="front", section="global", key="daemon", value=True),
    ]


def test_an_override_in_a_services_file_beats_the_release_and_restarts_the_units() -> None:
    before = snapshot([web()], NODES)
    after = carried_out(before, make_plan(before))
    given = [OverrideInput(path=CONF, section="defaults", key="timeout client", value="5s", by="ann")]
    plan = make_plan(snapshot([web()], after.nodes, overrides=given))
    assert "    timeout client 5s" in text_of(plan, "f", CONF).splitlines()
    assert running(plan) == {("f", "web.files"): "inputs", ("f", UNIT): "triggered"}

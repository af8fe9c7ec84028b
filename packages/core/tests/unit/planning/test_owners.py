# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""One path, unit and package has one wanted state, whoever wants it and through which extension point."""

from __future__ import annotations

import itertools

import pytest
from making import carried_out, node, plugin, running, snapshot
from stoker.domain.node import Facts
from stoker.domain.snapshot import PluginInput
from stoker.errors import PlanningError
from stoker.planning.checks import check_plugins
from stoker.planning.plans import make_plan
from stoker_sdk import ref
from stoker_sdk.extension_points import config_files, node_packages, roles, tasks
from stoker_sdk.extension_points.tasks import FileItem
from stoker_sdk.model.contribution import Contribution

PATH = "/etc/same"
ALL = ["*"]


def whole(**more: object) -> Contribution:
    return config_files.WholeFile(path=PATH, content="A", **more)  # type: ignore[arg-type]


def file(content: object = "B", path: str = PATH, **more: object) -> Contribution:
    when, on = more.pop("when", None), more.pop("on", ALL)
    item = FileItem(path=path, content=content, **more)  # type: ignore[arg-type]
    return tasks.Files(id="f", roles=on, files=[item], when=when)  # type: ignore[arg-type]


def path(state: str, name: str = PATH, **more: object) -> Contribution:
    return tasks.Files(id="p", roles=ALL, files=[FileItem(path=name, state=state, **more)])  # type: ignore[arg-type]


def unit(state: str = "started", name: str = "ssh", **more: object) -> Contribution:
    return tasks.Service(name=name, roles=ALL, state=state, **more)  # type: ignore[arg-type]


def package(state: str = "present", **more: object) -> Contribution:
    return tasks.Packages(id="k", roles=more.pop("on", ALL), packages=["tree"], state=state, **more)  # type: ignore[arg-type]


UPLOAD = tasks.Upload(id="u", roles=ALL, source="u", path=PATH)
NEEDED = node_packages.NodePackages(roles=ALL, packages=["tree"])


def two(one: Contribution, other: Contribution) -> list[PluginInput]:
    return [plugin("one", one, blobs={"u": "1" * 64}), plugin("two", other, blobs={"u": "2" * 64})]


def refused(plugins: list[PluginInput]) -> list[str]:
    with pytest.raises(PlanningError) as caught:
        make_plan(snapshot(plugins, [node("a")]))
    return sorted({finding.rule for finding in caught.value.data["findings"]})


CLASHES = [
    (whole(), file(), "M005"),
    (whole(), file("A"), "M005"),
    (whole(), path("absent"), "M005"),
    (whole(), UPLOAD, "M005"),
    (file(), file("C"), "M005"),
    (file(), file(mode="0600"), "M005"),
    (file(), path("directory"), "M005"),
    (file(), path("absent"), "M005"),
    (path("directory"), path("directory", owner="web"), "M005"),
    (UPLOAD, UPLOAD, "M005"),
    (file(), file("B", path="/etc//same/x"), "M005"),
    (path("absent"), file("B", path="/etc/same/x"), "M005"),
    (file(), file("C", path="/etc/./same"), "M005"),
    (unit(), unit("stopped"), "M006"),
    (unit(), unit(enabled=False), "M006"),
    (unit(), unit("stopped", name="ssh.service", phase="prepare"), "M006"),
    (package(), package("absent"), "M007"),
    (NEEDED, package("absent"), "M007"),
]


@pytest.mark.parametrize(("one", "other", "rule"), CLASHES)
def test_two_states_are_refused_with_both_plugins(one: Contribution, other: Contribution, rule: str) -> None:
    (finding,) = check_plugins(two(one, other))
    assert (finding.rule, finding.plugin) == (rule, "one")
    for name, contribution in (("one", one), ("two", other)):
        assert f"{name} ({contribution.label})" in finding.message
    assert finding.remedy
    assert check_plugins(two(one, other)[::-1]) == [finding]
    assert refused(two(one, other)) == [rule]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (file(), file()),
        (path("directory"), path("directory")),
        (path("directory"), file("B", path="/etc/same/x")),
        (path("absent"), path("absent")),
        (path("absent"), path("absent", "/etc/same/x")),
        (unit(), unit()),
        (unit(), unit(enabled=None)),
        (package(), package()),
        (NEEDED, package()),
        (whole(when="node.name == 'a'"), file(when="node.name != 'a'")),
        (whole(), file(path="/etc/sameness")),
    ],
)
def test_equal_states_merge_and_a_second_plan_runs_nothing(one: Contribution, other: Contribution) -> None:
    both = two(one, other)
    assert check_plugins(both) == []
    first = snapshot(both, [node("a"), node("b")])
    plan = make_plan(first)
    if not any(isinstance(item, tasks.Files) and item.files[0].state != "file" for item in (one, other)):
        assert running(make_plan(carried_out(first, plan))) == {}


def test_all_who_clash_are_named() -> None:
    three = [plugin("p1", whole()), plugin("p2", file("B")), plugin("p3", file("C"))]
    (finding,) = check_plugins(three)
    assert all(name in finding.message for name in ("p1", "p2", "p3"))
    for order in itertools.permutations(three):
        assert check_plugins(list(order)) == [finding]


def test_what_depends_on_nodes_is_found_in_the_plan() -> None:
    both = two(file(ref.node.name), file("b"))
    assert check_plugins(both) == []
    make_plan(snapshot(both, [node("b")]))
    with pytest.raises(PlanningError, match="on node a: /etc/same"):
        make_plan(snapshot(both, [node("a"), node("b")]))


def test_roles_that_never_meet_do_not_clash() -> None:
    brought = plugin("brought", roles.Role(name="x"), roles.Role(name="y"))
    both = [brought, *two(whole(roles=["x"]), file(on=["y"]))]
    assert check_plugins(both) == []
    make_plan(snapshot(both, [node("a", "x"), node("b", "y")]))
    with pytest.raises(PlanningError, match="M005"):
        make_plan(snapshot(both, [node("a", "x", "y")]))


def test_packages_of_another_family_do_not_clash() -> None:
    other = node_packages.NodePackages(roles=ALL, packages=["tree"], os_family="redhat")
    debian = node_packages.NodePackages(roles=ALL, packages=["bush"])
    plugins = [plugin("one", other, debian), plugin("two", package("absent"))]
    assert check_plugins(plugins) == []
    make_plan(snapshot(plugins, [node("a")]))
    with pytest.raises(PlanningError, match="M007"):
        make_plan(snapshot(plugins, [node("a", facts=Facts(hostname="a", os_family="redhat"))]))


def test_within_one_plugin_a_unit_may_be_stopped_and_started_in_turn() -> None:
    down = tasks.Service(id="down", name="db", roles=ALL, state="stopped", phase="prepare")
    up = tasks.Service(id="up", name="db", roles=ALL)
    made = plugin("one", down, up)
    assert check_plugins([made]) == []
    first = snapshot([made], [node("a")])
    assert running(make_plan(carried_out(first, make_plan(first)))) == {}
    at_once = plugin("one", tasks.Service(id="down", name="db", roles=ALL, state="stopped"), up)
    assert [finding.rule for finding in check_plugins([at_once])] == ["M006"]


def test_within_one_plugin_files_and_packages_clash() -> None:
    assert [finding.rule for finding in check_plugins([plugin("one", whole(), file())])] == ["M005"]
    assert [finding.rule for finding in check_plugins([plugin("one", NEEDED, package("absent"))])] == ["M007"]

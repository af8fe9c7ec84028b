# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Checks at enabling: everything at once, each finding with its plugin and remedy; and no false alarm."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from making import node, plugin, snapshot
from stoker.planning.checks import check_plugins
from stoker.planning.watch import watch_lists
from stoker_sdk import Dependency, ref
from stoker_sdk.extension_points import config_files, node_packages, roles, tasks
from stoker_sdk.extension_points.settings import Settings
from stoker_sdk.model.contribution import Contribution

PATH = "/etc/c.conf"
FILE = config_files.ConfigFile(path=PATH, format="ini")
SCHEMA = Settings(
    json_schema={
        "type": "object",
        "properties": {"port": {"type": "integer"}, "tls": {"$ref": "#/$defs/T"}},
        "$defs": {"T": {"properties": {"key": {}}}},
    }
)


def option(value: object, *, when: str | None = None, on: tuple[str, ...] = ("*",)) -> config_files.Option:
    return config_files.Option(path=PATH, key="k", value=value, when=when, roles=on)  # type: ignore[arg-type]


TWO = (roles.Role(name="ctl"), roles.Role(name="cmp"))
PACKAGES = Dependency("packages", role="ctl")


def at(ident: str, *role: str, on: list[str] | None = None, **more: object) -> tasks.Shell:
    return tasks.Shell(id=ident, roles=list(role) if on is None else on, run="x", **more)  # type: ignore[arg-type]


def shell(ident: str, **more: object) -> tasks.Shell:
    return tasks.Shell(id=ident, roles=["*"], run="x", **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("contributions", "rule"),
    [
        ([shell("a", after=["nowhere"])], "G001"),
        ([shell("a", after=[Dependency("install", role="ghost")])], "G002"),
        ([*TWO, at("b", "cmp"), at("c", "ctl", after=[Dependency("b", role="ctl")])], "G007"),
        ([*TWO, at("b", "cmp"), at("c", "ctl", before=[Dependency("b", role="ctl")])], "G007"),
        ([*TWO, node_packages.NodePackages(roles=["cmp"], packages=["x"]), at("c", "ctl", after=[PACKAGES])], "G007"),
        ([at("a", on=[])], "S002"),
        ([shell("a", after=["b"]), shell("b", after=["a"])], "G004"),
        ([shell("a", run_on=["file:/etc/none"])], "G005"),
        ([shell("a"), shell("a")], "G006"),
        ([tasks.Shell(id="a", roles=["ghost"], run="x")], "S001"),
        ([shell("a", when="1 +")], "E003"),
        ([shell("a", environment={"X": ref("nood.name")})], "E003"),
        ([shell("a", environment={"X": ref.node.nmae})], "E003"),
        ([shell("a", environment={"X": ref.node.facts.color})], "E003"),
        ([SCHEMA, shell("a", environment={"X": ref.settings.prot})], "E003"),
        ([SCHEMA, shell("a", environment={"X": ref.settings.tls.certificate})], "E003"),
        ([shell("a", environment={"X": ref("by_role['ghost'].map(n, n.name)")})], "E003"),
        ([config_files.WholeFile(path=PATH, template="x.j2")], "E003"),
        ([tasks.Upload(id="u", roles=["*"], source="u.bin", path="/srv/u")], "E003"),
        ([tasks.Script(id="s", roles=["*"], source="s.sh")], "E003"),
        ([FILE, option(1), option(2)], "M001"),
        ([config_files.WholeFile(path=PATH, content="x"), FILE], "M002"),
        ([option(1)], "M003"),
        ([FILE, config_files.ConfigFile(path=PATH, format="yaml")], "M004"),
        ([roles.Role(name="r"), roles.Role(name="r")], "R007"),
        (
            [
                node_packages.NodePackages(
                    roles=["*"], packages=[node_packages.Package("x", ">=2"), node_packages.Package("x", "<1")]
                )
            ],
            "K001",
        ),
    ],
)
def test_each_fault_is_found(contributions: list[Contribution], rule: str) -> None:
    findings = check_plugins([plugin("bad", *contributions)])
    assert rule in {finding.rule for finding in findings}
    found = next(finding for finding in findings if finding.rule == rule)
    assert found.plugin == "bad"
    assert found.remedy


@pytest.mark.parametrize(
    "contributions",
    [
        [FILE, option(1, when="node.name == 'a'"), option(2, when="node.name != 'a'")],
        [FILE, roles.Role(name="x"), roles.Role(name="y"), option(1, on=("x",)), option(2, on=("y",))],
        [SCHEMA, FILE, option(ref.settings.port)],  # not given yet: told as a problem, not as a clash
        [SCHEMA, shell("a", environment={"X": ref("settings.tls.key.startsWith('a') ? 'x' : 'y'")})],
        [roles.Role(name="r"), FILE, option(ref("by_role['r'][0].address"))],
        [shell("a", environment={"X": ref("nodes.filter(n, n.name != node.name).map(m, m.address).join(',')")})],
        [shell("a", after=[Dependency("other.thing", optional=True)])],
        [*TWO, at("b", "cmp"), at("c", "ctl", after=[Dependency("b", role="cmp")], before=[Dependency("verify", role="cmp")])],
        [*TWO, at("b", "*"), at("c", "ctl", before=[Dependency("b", role="cmp")])],
        [*TWO, at("b", "cmp"), at("c", "ctl", before=[Dependency("b", role="*")])],
    ],
)
def test_what_only_a_plan_can_tell_is_no_fault(contributions: list[Contribution]) -> None:
    assert check_plugins([plugin("good", *contributions)]) == []


def test_needs_and_exclusions() -> None:
    needs = plugin("needs", requires=["base>=2"], conflicts=["rival"])
    assert [finding.rule for finding in check_plugins([needs])] == ["D001"]
    assert [finding.rule for finding in check_plugins([needs, plugin("base", version="1.5")])] == ["D001"]
    assert check_plugins([needs, plugin("base", version="2.1")]) == []
    together = check_plugins([needs, plugin("base", version="2.1"), plugin("rival")])
    assert [finding.rule for finding in together] == ["D002"]


@given(st.permutations(["one", "two", "three"]))
def test_findings_do_not_depend_on_the_order_of_enabling(names: list[str]) -> None:
    values = {"one": 1, "two": 2, "three": 1}
    findings = check_plugins([plugin(name, FILE, option(values[name])) for name in names])
    same = check_plugins([plugin(name, FILE, option(values[name])) for name in sorted(names)])
    assert findings == same
    assert [finding.rule for finding in findings] == ["M001"]


def test_what_is_watched_holds_what_was_applied_and_what_will_be() -> None:
    web = plugin(
        "web",
        roles.Role(name="web"),
        node_packages.NodePackages(roles=["web"], packages=["httpd"]),
        FILE,
        tasks.Service(name="httpd", roles=["web"]),
        tasks.Files(id="d", roles=["*"], files=[tasks.FileItem(path="/srv/x", state="directory")]),
    )
    first, second = watch_lists(snapshot([web], [node("a", "web"), node("b")]))
    assert (first.files, first.packages, first.services) == ([PATH, "/srv/x"], ["httpd"], ["httpd"])
    assert (second.files, second.packages, second.services) == ([PATH, "/srv/x"], [], [])

# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Releases, services and selectors: what can be seen of them in one plugin alone."""

from __future__ import annotations

import pytest
from stoker_sdk import Dependency, Plugin
from stoker_sdk.extension_points import config_files, node_packages, releases, roles, services, tasks
from stoker_sdk.model.contribution import Contribution
from stoker_sdk.model.selector import Selector, nodes_of, primary_of, read_selector
from stoker_sdk.validation import check_plugin

FILE = services.ServiceFile(path="/etc/front.cfg", format="blocks")
OTHER = services.ServiceFile(path="/etc/other.ini", format="ini", name="other")
WRONG_PACKAGE = node_packages.Package("frontd", "new")
FRONT = services.Service(name="front", roles=["front"], packages=["frontd"], units=["frontd"], files=[FILE])


def rules(*contributions: Contribution, **fields: object) -> list[tuple[str, str]]:
    given = {"name": "web", "version": "1.0.0", "title": "Web", "contributions": [roles.Role(name="front"), *contributions]}
    return [(finding.rule, finding.field) for finding in check_plugin(Plugin(**{**given, **fields}))]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("*", Selector("all")),
        ("once", Selector("once")),
        ("front", Selector("role", "front")),
        (primary_of("front"), Selector("primary", "front")),
        (nodes_of("front"), Selector("service", "front")),
        ("primary()", Selector("role", "primary()")),
        ("secondary(front)", Selector("role", "secondary(front)")),
    ],
)
def test_a_selector_is_read(text: str, expected: Selector) -> None:
    assert read_selector(text) == expected


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        ("primary(front)", []),
        ("service(front)", []),
        ("once", []),
        ("primary()", ["S004"]),
        ("primary(Front)", ["R003"]),
        ("service(Front)", ["J003"]),
        ("first(front)", ["S004"]),
        (" once", ["R003"]),
    ],
)
def test_selectors_are_checked_for_nodes_and_edges(selector: str, found: list[str]) -> None:
    shell = tasks.Shell(id="x", roles=[selector], run="x")
    assert [(rule, field) for rule, field in rules(FRONT, shell) if rule != "S003"] == [(rule, "roles[0]") for rule in found]
    edge = tasks.Shell(id="x", roles=["*"], run="x", after=[Dependency("packages", role=selector)])
    assert [(rule, field) for rule, field in rules(FRONT, edge) if rule != "S003"] == [(rule, "after[0].role") for rule in found]


@pytest.mark.parametrize(
    ("contribution", "found"),
    [
        (releases.Release(name="Web 1", product="web", version="1"), [("J001", "name")]),
        (releases.Release(name="web-1", product="web", version="one"), [("J002", "version")]),
        (
            releases.Release(name="web-1", product="web", version="1", operating_systems=["debian 12"]),
            [("P009", "operating_systems[0]")],
        ),
        (releases.Release(name="web-1", product="web", version="1", when="true"), [("J006", "when")]),
        (services.Service(name="Front", roles=["front"]), [("J003", "name")]),
        (services.Service(name="x", roles=[]), [("S002", "roles")]),
        (services.Service(name="x", roles=["service(front)"]), [("J004", "roles[0]")]),
        (services.Service(name="x", roles=["front"], files=[FILE, FILE]), [("J005", "files[1].name")]),
        (services.Service(name="x", roles=["front"], units=["a b"]), [("T006", "units[0]")]),
        (services.Service(name="x", roles=["front"], packages=[WRONG_PACKAGE]), [("F005", "packages[0].version")]),
        (services.Service(name="x", roles=["front"], timeout=0), [("T001", "timeout")]),
        (services.Service(name="x", roles=["front"], concurrency=-1), [("T002", "concurrency")]),
        (services.Service(name="front", roles=["front"]), [("J008", "name")]),
        (services.Service(name="x", roles=["front"], units=["frontd"]), [("J009", "units")]),
        (services.Service(name="x", roles=["front"], units=["u"], after=["fronts"]), [("P007", "after[0]")]),
        (
            services.Service(name="x", roles=["front"], files=[services.ServiceFile(path="etc/x", format="ini")]),
            [("F001", "files[0].path")],
        ),
        (config_files.Option(service="front", key="a", value=1), []),
        (config_files.Option(service="front", path="/etc/x", key="a", value=1), [("C006", "path")]),
        (config_files.Option(key="a", value=1), [("C006", "path"), ("F001", "path")]),
        (config_files.Option(path="/etc/x", file="x", key="a", value=1), [("C006", "file")]),
        (config_files.Option(service="front", roles=["front"], key="a", value=1), [("C004", "roles")]),
        (config_files.Option(path="/etc/x", optional=True, key="a", value=1), [("C005", "optional")]),
        (config_files.Option(service="front", file="front.cgf", key="a", value=1), [("J010", "file")]),
        (config_files.Option(service="front", section="#x", key="a", value=1), [("C003", "section")]),
        (config_files.Option(service="front", section="x", key="#a", value=1), [("C003", "key")]),
        (config_files.WholeFile(service="front", path="/etc/front.d/x", content="x"), []),
        (roles.Role(name="once"), [("R008", "name")]),
    ],
)  # fmt: skip
def test_faults_have_their_rule_and_place(contribution: Contribution, found: list[tuple[str, str]]) -> None:
    assert rules(FRONT, contribution) == found


def test_a_plugin_brings_one_release() -> None:
    one, two = (releases.Release(name=f"web-{number}", product="web", version="1") for number in (1, 2))
    assert rules(one, two) == [("J007", "")]


def test_the_file_is_named_where_there_are_several() -> None:
    both = services.Service(name="front", roles=["front"], files=[FILE, OTHER])
    assert rules(both, config_files.Option(service="front", key="a", value=1)) == [("J010", "file")]
    assert rules(both, config_files.Option(service="front", file="other", section="s", key="a", value=1)) == []
    assert rules(both, config_files.Option(service="front", file="other", section="[s", key="a", value=1)) == [
        ("C003", "section")
    ]
    assert rules(config_files.Option(service="elsewhere", key="a", value=1)) == []


def test_tasks_of_units_are_there_for_edges_and_circles() -> None:
    late = tasks.Shell(id="late", roles=["front"], run="x", after=["service.frontd"])
    assert rules(FRONT, late) == []
    waiting = services.Service(name="front", roles=["front"], units=["frontd"], after=["late"])
    assert [rule for rule, _ in rules(waiting, late)] == ["P008"]
    taken = tasks.Shell(id="service.frontd", roles=["front"], run="x")
    assert [rule for rule, _ in rules(FRONT, taken)] == ["P006"]


@pytest.mark.parametrize("field", ["releases", "operating_systems"])
def test_requirements_are_names_with_versions(field: str) -> None:
    assert rules(**{field: ["debian>=12,<13", "rocky"]}) == []
    assert rules(**{field: ["debian>=12", ">=12"]}) == [("P009", f"{field}[1]")]
    assert rules(**{field: ["debian[x]>=12"]}) == [("P009", f"{field}[0]")]

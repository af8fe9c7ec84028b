# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Fitting: one release in an environment, plugins that fit it, and nodes with its operating system."""

from __future__ import annotations

import pytest
from making import node, plugin, snapshot
from stoker.domain.fitting import fits
from stoker.domain.node import Facts
from stoker.domain.snapshot import PluginInput
from stoker.errors import PlanningError
from stoker.planning.checks import check_plugins
from stoker.planning.plans import make_plan
from stoker_sdk.extension_points import releases, roles, tasks


def shop(name: str = "shop", **more: object) -> PluginInput:
    release = releases.Release(name=f"{name}-1", product="shop", version="1.4", operating_systems=["debian>=12,<13"])
    return plugin(name, release, roles.Role(name=f"{name}-node"), **more)


@pytest.mark.parametrize(
    ("wanted", "version", "expected"),
    [([], "12", True), (["debian>=12,<13"], "12", True), (["debian>=12,<13"], "12.5", True), (["debian>=12,<13"], "13", False),
     (["debian"], "", True), (["debian>=12"], "", False), (["debian>=12"], "trixie/sid", False),
     (["ubuntu", "debian==11.*"], "11.2", True), (["rocky>=9"], "12", False)],
)  # fmt: skip
def test_a_version_fits_any_of_the_requirements(wanted: list[str], version: str, expected: bool) -> None:
    assert fits(wanted, "debian", version) is expected


def test_an_environment_runs_one_release() -> None:
    (finding,) = check_plugins([shop(), shop("store")])
    assert finding.rule == "J013"
    assert "shop" in finding.message
    assert finding.plugin == "store"


@pytest.mark.parametrize(
    ("wanted", "release", "told"),
    [
        (["shop>=1,<2"], True, ""),
        (["other", "shop==1.4"], True, ""),
        (["shop>=2"], True, "it is for shop>=2, and the environment runs shop 1.4."),
        (["shop"], False, "it is for shop, and the environment has no release."),
        ([], False, ""),
    ],
)
def test_a_plugin_fits_the_release(wanted: list[str], release: bool, told: str) -> None:
    findings = check_plugins([*([shop()] if release else []), plugin("extra", releases=wanted)])
    assert [(finding.rule, finding.plugin, finding.message) for finding in findings] == (
        [("J014", "extra", told)] if told else []
    )


@pytest.mark.parametrize(
    ("systems", "meet"),
    [([], True), (["debian>=12"], True), (["debian<12"], False), (["rocky>=9"], False), (["rocky>=9", "debian"], True)],
)
def test_a_plugin_fits_the_operating_systems_of_the_release(systems: list[str], meet: bool) -> None:
    findings = check_plugins([shop(), plugin("extra", operating_systems=systems)])
    assert [finding.rule for finding in findings] == ([] if meet else ["J015"])


@pytest.mark.parametrize(("version", "rules"), [("12", []), ("11", ["J016"]), ("", ["J016"])])
def test_nodes_that_do_not_fit_the_release_are_named(version: str, rules: list[str]) -> None:
    facts = Facts(os_id="debian", os_family="debian", os_version=version)
    state = snapshot([shop()], [node("n1", "shop-node", facts=facts), node("n2", facts=Facts(os_id="debian", os_version="12"))])
    if not rules:
        assert make_plan(state).warnings == []
        return
    with pytest.raises(PlanningError) as caught:
        make_plan(state)
    (finding,) = caught.value.data["findings"]
    assert finding.rule == "J016"
    assert all(word in finding.message for word in ("n1", "shop-1", "debian>=12,<13", f"debian {version}".strip()))


def test_nodes_on_which_a_plugin_has_something_to_do_have_its_operating_system() -> None:
    facts = Facts(os_id="debian", os_family="debian", os_version="11")
    extra = plugin(
        "extra", roles.Role(name="extra"), tasks.Shell(id="t", roles=["extra"], run="x"), operating_systems=["debian>=12"]
    )
    assert make_plan(snapshot([extra], [node("n1", facts=facts)])).instances == []
    with pytest.raises(PlanningError, match="n1 has debian 11, and the plugin is for debian>=12"):
        make_plan(snapshot([extra], [node("n1", "extra", facts=facts)]))

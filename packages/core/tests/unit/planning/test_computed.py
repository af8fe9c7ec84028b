# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""What plugins' code computed for a plan: planned like what a plugin brings, and told apart by its origin."""

from __future__ import annotations

import msgspec
import pytest
from making import node, plugin, snapshot
from stoker.domain.snapshot import Computed, PluginInput, Snapshot
from stoker.errors import PlanningError
from stoker.planning.plans import make_plan
from stoker.services.before_plan import MOST, unfit, with_computed
from stoker_sdk import Plugin
from stoker_sdk.extension_points import before_plan, config_files, node_packages, roles, tasks
from stoker_sdk.manifest import to_manifest
from stoker_sdk.model.contribution import Contribution

FILE = config_files.ConfigFile(path="/etc/a", format="plain")
HOOK = before_plan.BeforePlan(
    name="fill", call="code:fill", points=["config_files.option", "tasks.*"], names=["config_files.option *", "tasks.shell x*"]
)


def documents(*contributions: Contribution) -> list[dict[str, object]]:
    return msgspec.json.decode(msgspec.json.encode(contributions))


def computed(*contributions: Contribution) -> list[Computed]:
    return [Computed(hook="fill", digest="d", contributions=documents(*contributions))]


def option(value: str) -> config_files.Option:
    return config_files.Option(path="/etc/a", key="k", value=value)


def test_an_origin_names_the_hook_and_the_same_snapshot_gives_the_same_plan() -> None:
    one = plugin("one", roles.Role(name="r"), FILE, computed=computed(option("1"), tasks.Shell(id="x", roles=["*"], run="true")))
    given = snapshot([one], [node("n", "r")])
    plan = make_plan(given)
    assert msgspec.json.encode(plan) == msgspec.json.encode(make_plan(given))
    assert "config_files.option /etc/a k (before_plan fill)" in [origin.contribution for origin in plan.origins]
    assert {task.name for task in plan.tasks} >= {"one.x"}
    (told,) = plan.computed
    assert (told.plugin, told.hook, told.digest, told.contributions[1]) == ("one", "fill", "d", "tasks.shell x")


def test_computed_values_clash_like_static_ones_and_the_finding_names_the_hook() -> None:
    one = plugin("one", roles.Role(name="r"), FILE, computed=computed(option("1")))
    with pytest.raises(PlanningError) as caught:
        make_plan(snapshot([one, plugin("two", option("2"))], [node("n", "r")]))
    assert "before_plan fill" in str(caught.value.data["findings"])


def test_what_is_missing_is_a_warning_of_the_plan() -> None:
    one = plugin("one", roles.Role(name="r"), computed=[Computed(hook="fill", missing="it raised")])
    (warning,) = [text for text in make_plan(snapshot([one], [node("n", "r")])).warnings if "fill" in text]
    assert warning.endswith("is missing: it raised")


def test_a_snapshot_of_an_older_server_can_still_be_read_and_what_was_computed_goes_with_the_same_bundle() -> None:
    old = snapshot([plugin("one", FILE, computed=computed(option("1"))), plugin("two", FILE)], [])
    document = msgspec.json.decode(msgspec.json.encode(old))
    for item in document["plugins"]:
        del item["computed"]
    bare = msgspec.convert(document, Snapshot)
    assert [item.computed for item in bare.plugins] == [[], []]
    assert with_computed(bare, old) == old
    other: list[PluginInput] = [msgspec.structs.replace(item, digest="1" * 64) for item in bare.plugins]
    assert with_computed(msgspec.structs.replace(bare, plugins=other), old).plugins == other
    leaving = [msgspec.structs.replace(item, removing=True) for item in bare.plugins]
    assert with_computed(msgspec.structs.replace(bare, plugins=leaving), old).plugins == leaving


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([option("1")], ""),
        ([node_packages.NodePackages(roles=["*"], packages=["sl"])], "it may give config_files.option, tasks.* alone"),
        ([tasks.Shell(id="y", roles=["*"], run="true")], "whose name fits none of"),
        ([tasks.Shell(id="x", roles=["*"], run="true"), tasks.Shell(id="x", roles=["*"], run="false")], "x"),
        ([tasks.Shell(id="x", roles=["*"], run="true", after=["nothing"])], "nothing"),
        ([option(str(number)) for number in range(MOST + 1)], "1001 contributions"),
    ],
)
def test_an_answer_is_held_against_what_the_hook_declares_and_what_a_plugin_may_bring(
    given: list[Contribution], message: str
) -> None:
    manifest = msgspec.json.encode(to_manifest(Plugin(name="one", version="1", title="One", contributions=[FILE, HOOK]))).decode()
    findings = unfit(manifest, HOOK, msgspec.json.encode(given))
    assert (message in findings[0].message) if message else not findings

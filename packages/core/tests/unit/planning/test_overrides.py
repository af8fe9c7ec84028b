# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Operator's overrides: they beat plugins in any order, replace whole lists, and are refused where they cannot take effect."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from making import file_of, node, plugin, snapshot, text_of
from stoker.domain.plan import OPERATOR, Plan
from stoker.domain.snapshot import OverrideInput
from stoker.errors import PlanningError
from stoker.planning.plans import make_plan
from stoker_sdk import ref
from stoker_sdk.extension_points import config_files, roles

PATH = "/etc/m.conf"
FILE = config_files.ConfigFile(path=PATH, format="ini")


def option(value: object, level: str = "set") -> config_files.Option:
    return config_files.Option(path=PATH, key="k", value=value, level=level)  # type: ignore[arg-type]


def item(*texts: str) -> config_files.ListItem:
    return config_files.ListItem(path=PATH, key="k", items=list(texts))


def override(value: object, key: str = "k", **more: Any) -> OverrideInput:
    return OverrideInput(path=PATH, key=key, value=value, **more)


def planned(entries: list[list[object]], overrides: list[OverrideInput], *nodes: Any, **more: Any) -> Plan:
    plugins = [plugin(f"p{number}", FILE, *members, **more) for number, members in enumerate(entries)]  # type: ignore[arg-type]
    return make_plan(snapshot(plugins, list(nodes) or [node("a")], overrides=overrides))


def body(plan: Plan, name: str = "a") -> str:
    return "".join(line for line in text_of(plan, name, PATH).splitlines(keepends=True) if not line.startswith("#"))


def refused(entries: list[list[object]], overrides: list[OverrideInput], *nodes: Any, **more: Any) -> Any:
    with pytest.raises(PlanningError) as caught:
        planned(entries, overrides, *nodes, **more)
    [finding] = caught.value.data["findings"]
    return finding


@given(st.permutations([option(1, "default"), option(2, "default"), option(3), option(4)]), st.integers())
def test_an_override_wins_over_whatever_quarrel_of_plugins_in_any_order(order: list[object], value: int) -> None:
    assert body(planned([[entry] for entry in order], [override(value)])) == f"k = {value}\n"


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3)), unique_by=lambda pair: pair[0]), st.randoms())
def test_the_order_of_overrides_does_not_matter(pairs: list[tuple[str, int]], random: Any) -> None:
    given_ = [override(value, key) for key, value in pairs]
    mixed = random.sample(given_, len(given_))
    one, two = (msgspec.structs.replace(planned([[option(1)]], order), snapshot="") for order in (given_, mixed))
    assert msgspec.json.encode(one) == msgspec.json.encode(two)


@given(st.lists(st.tuples(st.integers(0, 1), st.sampled_from(["default", "set"])), min_size=2, max_size=4))
def test_equal_values_merge_and_different_ones_at_the_highest_level_conflict_unless_overridden(
    values: list[tuple[int, str]],
) -> None:
    entries: list[list[object]] = [[option(value, level)] for value, level in values]
    top = "set" if any(level == "set" for _, level in values) else "default"
    deciding = {value for value, level in values if level == top}
    assert body(planned(entries, [override(7)])) == "k = 7\n"
    if len(deciding) == 1:
        assert body(planned(entries, [])) == f"k = {deciding.pop()}\n"
    else:
        assert refused(entries, []).rule == "M001"


def test_an_override_takes_the_place_of_a_whole_list() -> None:
    assert body(planned([[item("a")], [item("b")]], [override(["x", "y"])])) == "k = x,y\n"
    assert body(planned([[item("a")], [item("b")]], [override("x")])) == "k = x\n"


def test_an_override_with_null_leaves_the_option_out() -> None:
    assert body(planned([[option(1), config_files.Option(path=PATH, key="other", value=1)]], [override(None)])) == "other = 1\n"


def test_an_override_may_add_an_option_that_no_plugin_gives() -> None:
    found = planned([[option(1)]], [override("fast", key="mode", section="tuning")])
    assert body(found) == "k = 1\n\n[tuning]\nmode = fast\n"


def test_provenance_names_the_operator_and_who_gave_it_and_ownership_stays_with_plugins() -> None:
    plan = planned([[option(1)]], [override(2, by="ann")])
    [number] = plan.contents[file_of(plan, "a", PATH).content].lines[-1]
    origin = plan.origins[number]
    assert (origin.plugin, origin.level, origin.by, origin.contribution) == (OPERATOR, "override", "ann", f"override {PATH} k")
    assert plan.tasks[file_of(plan, "a", PATH).task].name == "p0.files"


def test_an_override_for_a_role_concerns_its_nodes_alone() -> None:
    entries: list[list[object]] = [[roles.Role(name="web"), roles.Role(name="db"), option(1)]]
    plan = planned(entries, [override(2, roles=["web"])], node("w", "web"), node("d", "db"))
    assert (body(plan, "w"), body(plan, "d")) == ("k = 2\n", "k = 1\n")


def test_two_overrides_of_one_key_that_meet_on_a_node_are_refused() -> None:
    entries: list[list[object]] = [[roles.Role(name="web"), option(1)]]
    both = [override(2, roles=["web"]), override(3)]
    assert refused(entries, both, node("w", "web")).rule == "O003"
    assert body(planned(entries, [override(2, roles=["web"]), override(2)], node("w", "web")), "w") == "k = 2\n"


def test_an_override_of_a_file_that_nobody_declares_is_a_finding_that_names_what_is_meant() -> None:
    finding = refused([[option(1)]], [OverrideInput(path="/etc/n.conf", key="k", value=1)])
    assert finding.rule == "O001"
    assert f"Did you mean {PATH}?" in finding.remedy


def test_an_override_does_not_bring_a_file_whose_entries_all_do_not_hold() -> None:
    entry = config_files.Option(path=PATH, key="k", value=1, when=ref.settings.on)
    plan = planned([[entry]], [override(2)], settings={"on": False})
    assert not plan.files


def test_a_file_that_is_written_as_a_whole_cannot_be_overridden() -> None:
    whole = plugin("w", config_files.WholeFile(path="/etc/w", content="x\n"))
    with pytest.raises(PlanningError) as caught:
        make_plan(snapshot([whole], [node("a")], overrides=[OverrideInput(path="/etc/w", key="k", value=1)]))
    [finding] = caught.value.data["findings"]
    assert finding.rule == "O002"
    assert "plugin w" in finding.message


def test_what_holds_a_secret_is_not_overridden() -> None:
    secret = {"password": {"$secret": "password", "version": 1}}
    finding = refused([[option(ref.settings.password)]], [override("hunter2")], settings=secret)
    assert finding.rule == "O006"
    assert "hunter2" not in finding.message


def test_a_value_of_several_lines_and_an_unknown_role_are_refused() -> None:
    assert refused([[option(1)]], [override("a\nb")]).rule == "O005"
    assert refused([[option(1)]], [override(1, roles=["nobody"])]).rule == "O004"

# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Merging and ordering: levels, conflicts named from both sides, lists whose order depends on nothing but the members."""

from __future__ import annotations

import itertools

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from making import node, plugin, snapshot, text_of
from stoker.errors import PlanningError
from stoker.planning.graph import Definition, order_definitions
from stoker.planning.merge import order_items
from stoker.planning.packages import unsatisfiable
from stoker.planning.plans import make_plan
from stoker_sdk import Dependency
from stoker_sdk.extension_points import config_files

PATH = "/etc/m.conf"
FILE = config_files.ConfigFile(path=PATH, format="ini")


def option(value: object, level: str = "set", key: str = "k") -> config_files.Option:
    return config_files.Option(path=PATH, key=key, value=value, level=level)  # type: ignore[arg-type]


def merged(*plugins: tuple[str, list[object]]) -> str:
    made = [plugin(name, FILE, *entries) for name, entries in plugins]  # type: ignore[arg-type]
    text = text_of(make_plan(snapshot(made, [node("a")])), "a", PATH)
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith("#"))


@given(st.permutations(["default 1", "default 2", "set 3"]))
def test_a_higher_level_wins_even_over_a_quarrel_below(order: list[str]) -> None:
    found = merged(*((f"p{i}", [option(int(text.split()[1]), text.split()[0])]) for i, text in enumerate(order)))
    assert found == "k = 3\n"


def test_equal_values_merge_and_all_owners_are_named() -> None:
    plan = make_plan(snapshot([plugin("one", FILE, option(5)), plugin("two", FILE, option(5))], [node("a")]))
    last = plan.contents[0].lines[-1]
    assert [plan.origins[origin].plugin for origin in last] == ["one", "two"]


@given(st.sampled_from([("1", 1), (True, "true"), (1, 2), ("a", "b")]), st.booleans())
def test_different_values_at_one_level_are_refused_and_both_are_named(values: tuple[object, object], swap: bool) -> None:
    one, two = values[::-1] if swap else values
    with pytest.raises(PlanningError) as caught:
        merged(("one", [option(one)]), ("two", [option(two)]))
    [finding] = caught.value.data["findings"]
    assert finding.rule == "M001"
    assert "one (" in finding.message
    assert "two (" in finding.message
    assert PATH in finding.message


def test_an_option_and_a_list_do_not_mix() -> None:
    with pytest.raises(PlanningError, match="list for the other"):
        merged(("one", [option("x")]), ("two", [config_files.ListItem(path=PATH, key="k", items="y")]))


def test_a_whole_file_is_nobody_elses() -> None:
    whole = plugin("whole", config_files.WholeFile(path=PATH, content="x\n"))
    with pytest.raises(PlanningError, match=r"whole \(.*adds|adds.*whole"):
        make_plan(snapshot([whole, plugin("adds", FILE, option(1))], [node("a")]))


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.integers(-1, 1), min_size=1),
    st.sets(st.tuples(st.sampled_from("abcdef"), st.sampled_from("abcdef")), max_size=5),
)
def test_order_of_items_keeps_every_edge_and_is_the_smallest(weights: dict[str, int], edges: set[tuple[str, str]]) -> None:
    edges = {(one, two) for one, two in edges if one in weights and two in weights}
    found = order_items(weights, edges)
    fits = [order for order in itertools.permutations(weights) if all(order.index(one) < order.index(two) for one, two in edges)]
    if found is None:
        assert not fits
        return
    assert tuple(found) == min(fits, key=lambda order: [(weights[item], item) for item in order])


def test_items_of_several_plugins_form_one_list() -> None:
    item = config_files.ListItem
    found = merged(
        ("one", [item(path=PATH, key="k", items=["b", "c"])]),
        ("two", [item(path=PATH, key="k", items="a", after=["c"]), item(path=PATH, key="k", items="z", weight=-1)]),
    )
    assert found == "k = z,b,c,a\n"


@given(
    st.dictionaries(
        st.text("abc.-#: '\"\\é%", min_size=1, max_size=6).filter(lambda text: "." not in text),
        st.one_of(st.text("abc0: #'\"\\-~n{}[]\n\t%&*!|>@`", max_size=8), st.integers(), st.booleans()),
        min_size=1,
        max_size=4,
    )
)
def test_yaml_reads_back_what_was_meant(options: dict[str, object]) -> None:
    file = config_files.ConfigFile(path=PATH, format="yaml")
    entries = [config_files.Option(path=PATH, section="top.inner", key=key, value=value) for key, value in options.items()]
    plan = make_plan(snapshot([plugin("one", file, *entries)], [node("a")]))
    text = text_of(plan, "a", PATH)
    assert yaml.safe_load(text) == {"top": {"inner": options}}
    assert len(plan.contents[0].lines) == text.count("\n")


def test_a_value_of_two_lines_cannot_break_out_of_an_option() -> None:
    with pytest.raises(PlanningError, match="more than one line"):
        merged(("one", [option("x\n[other]\nk = 1")]))


@given(st.permutations(range(6)), st.sets(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=6))
def test_definitions_are_ordered_whatever_comes_first(order: list[int], edges: set[tuple[int, int]]) -> None:
    names = [f"p.t{i}" for i in range(6)]
    made = {
        i: Definition(
            name=names[i],
            plugin="p",
            label=f"task t{i}",
            phase="configure",
            after=[Dependency(f"t{a}") for a, b in sorted(edges) if b == i],
        )
        for i in range(6)
    }
    result, findings = order_definitions([made[i] for i in order], [])
    again, others = order_definitions([made[i] for i in range(6)], [])
    assert (result, findings) == (again, others)
    if findings:
        assert [finding.rule for finding in findings] == ["G004"]
        assert " -> " in findings[0].message
        return
    place = {definition.name: i for i, definition in enumerate(result.definitions)}
    assert all(place[names[a]] < place[names[b]] for a, b in edges)


@pytest.mark.parametrize(
    ("constraint", "fits"),
    [
        (">=1,<2", True),
        (">=2,<2", False),
        (">1.2,<1.3", True),
        (">=1.4,!=1.4", True),
        (">=1.2~rc1,<1.3", True),
        ("=2,2", True),
        (">=3,==2", False),
    ],
)
def test_constraints_that_no_version_fits_are_known(constraint: str, fits: bool) -> None:
    assert (unsatisfiable(constraint) == "") is fits

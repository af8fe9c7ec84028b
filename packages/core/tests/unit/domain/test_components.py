# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Choices of components: what follows from them is what all ways to go on have in common, in whatever order they are given."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stoker.domain import components
from stoker.domain.components import Offer, Solver
from stoker.errors import InvalidInputError


def offer(name, plugin="p", **fields):
    return Offer(name=name, plugin=plugin, **fields)


STORAGE = [
    offer("storage:local", "disks"),
    offer("storage:shared", "san", requires=["network:fast"], conflicts=["cache:ram"]),
    offer("network:fast", "wires"),
    offer("network:slow", "wires", conflicts=["network:fast"]),
    offer("cache:ram", "memory"),
]
ONE = {"storage": "one", "network": "some"}


def names(found):
    return [item.name for item in found]


def test_a_choice_brings_along_and_excludes_with_reasons_that_name_both_sides():
    choice = Solver(STORAGE, ONE).solve(["storage:shared"])
    assert (choice.contradiction, choice.possible, choice.open, choice.complete) == ([], [], [], True)
    assert names(choice.implied) == ["network:fast"]
    assert sorted(choice.implied[0].reasons) == [
        "storage:shared (plugin san) is chosen.",
        "storage:shared (plugin san) requires network:fast (plugin wires).",
    ]
    excluded = {item.name: " ".join(item.reasons) for item in choice.impossible}
    assert set(excluded) == {"storage:local", "network:slow", "cache:ram"}
    assert "conflicts with cache:ram (plugin memory)" in excluded["cache:ram"]
    assert "takes one component: storage:local (plugin disks) or storage:shared (plugin san)" in excluded["storage:local"]
    assert "network:slow (plugin wires) conflicts with network:fast (plugin wires)" in excluded["network:slow"]
    assert choice.taken == ["network:fast", "storage:shared"]


def test_what_has_still_to_be_chosen():
    choice = Solver(STORAGE, ONE).solve(["cache:ram"])
    assert names(choice.implied) == ["storage:local"], "the shared one cannot be, and one is needed"
    assert [(item.group, item.candidates) for item in choice.open] == [("network", ["network:fast", "network:slow"])]
    assert not choice.complete


def test_a_choice_that_contradicts_itself_says_why_and_no_more():
    choice = Solver(STORAGE, ONE).solve(["storage:shared", "network:slow", "cache:ram"])
    assert choice.contradiction
    assert len(choice.contradiction) < 6
    assert (choice.implied, choice.impossible, choice.complete) == ([], [], False)


def test_a_group_can_be_required_and_something_that_is_missing():
    offers = [offer("app:web", requires=["db"]), offer("db:one"), offer("db:two"), offer("app:odd", requires=["none:here"])]
    choice = Solver(offers, {}).solve(["app:web"])
    assert [item.group for item in choice.open] == ["db"]
    assert choice.possible == ["db:one", "db:two"]
    assert names(choice.impossible) == ["app:odd"]
    assert choice.impossible[0].reasons == [
        "app:odd (plugin p) requires none:here, which no installed plugin brings for this release."
    ]
    assert Solver(offers, {}).solve(["app:web", "db:one"]).complete


def test_contradictory_requirements_are_found_and_what_is_missing_is_none():
    offers = [offer("a:x", "one", requires=["b:y"]), offer("b:y", "two", conflicts=["a:x"]), offer("c:z", requires=["none:here"])]
    (found,) = Solver(offers, {}, tolerant=True).contradictions()
    assert found.name == "a:x"
    assert found.reasons == [
        "a:x (plugin one) requires b:y (plugin two).",
        "b:y (plugin two) conflicts with a:x (plugin one).",
    ]


def test_an_unknown_component_and_a_puzzle_are_refused(monkeypatch):
    with pytest.raises(InvalidInputError, match="no component 'storage:tape'"):
        Solver(STORAGE, ONE).solve(["storage:tape"])
    monkeypatch.setattr(components, "MOST_STEPS", 10)
    with pytest.raises(InvalidInputError, match="too many ways"):
        Solver(STORAGE, ONE).solve([])


NAMES = ["a:1", "a:2", "b:1", "b:2", "c:1"]
OTHERS = st.lists(st.sampled_from([*NAMES, "a", "b", "c", "d:9"]), max_size=2)
OFFERS = st.lists(st.tuples(st.sampled_from(NAMES), OTHERS, OTHERS), min_size=1, max_size=5, unique_by=lambda item: item[0])
GROUPS = st.dictionaries(st.sampled_from(["a", "b", "c", "d"]), st.sampled_from(["any", "some", "one"]), max_size=3)


def members(offers, name):
    known = {item.name for item in offers}
    return {name} & known or {item.name for item in offers if item.group == name}


def fits(offers, groups, taken):
    """The rules once more, told in the plainest way."""
    for item in offers:
        if item.name in taken:
            if not all(members(offers, other) & taken for other in item.requires):
                return False
            if any((members(offers, other) - {item.name}) & taken for other in item.conflicts):
                return False
    for group, how in groups.items():
        there = members(offers, group)
        count = len(there & taken)
        if there and ((how in ("some", "one") and not count) or (how == "one" and count > 1)):
            return False
    return True


@settings(max_examples=150, deadline=None)
@given(OFFERS, GROUPS, st.data())
def test_it_is_what_trying_everything_gives_in_any_order(given_offers, groups, data):
    offers = [
        offer(name, f"p{number}", requires=requires, conflicts=conflicts)
        for number, (name, requires, conflicts) in enumerate(given_offers)
    ]
    known = [item.name for item in offers]
    chosen = data.draw(st.lists(st.sampled_from(known), max_size=2, unique=True))
    choice = Solver(offers, groups).solve(chosen)
    for shuffled in (data.draw(st.permutations(offers)), list(reversed(offers))):
        assert Solver(shuffled, dict(reversed(list(groups.items())))).solve(list(reversed(chosen))) == choice
    ways = [
        set(taken)
        for count in range(len(known) + 1)
        for taken in itertools.combinations(known, count)
        if set(chosen) <= set(taken) and fits(offers, groups, set(taken))
    ]
    assert bool(choice.contradiction) == (not ways)
    if not ways:
        return
    rest = sorted(set(known) - set(chosen))
    assert names(choice.implied) == [name for name in rest if all(name in way for way in ways)]
    assert names(choice.impossible) == [name for name in rest if not any(name in way for way in ways)]
    assert choice.possible == [name for name in rest if name not in {*names(choice.implied), *names(choice.impossible)}]
    assert all(item.reasons for item in (*choice.implied, *choice.impossible))
    if choice.complete:
        assert fits(offers, groups, set(choice.taken)), "a complete choice satisfies every constraint"

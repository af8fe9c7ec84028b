# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The resolver finds the cheapest changes, always the same ones, and never a state in which something does not hold."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stoker.domain.plugin_resolver import Known, fits, parse, resolve


def known(*texts: str) -> list[Known]:
    """``"app 1.0 needs base>=2, lib; not old<3"``."""
    found = []
    for text in texts:
        head, _, conflicts = text.partition("; not ")
        head, _, requires = head.partition(" needs ")
        name, version = head.split()
        found.append(
            Known(
                name=name,
                version=version,
                requires=tuple(filter(None, requires.split(" + "))),
                conflicts=tuple(filter(None, conflicts.split(" + "))),
            )
        )
    return found


CASES = {
    "nothing": (known("app 1.0"), {"app": "1.0"}, "app", []),
    "not installed": (known("app 1.0 needs base>=2"), {"app": "1.0"}, "app", ["install base >=2 and enable it"]),
    "installed": (
        known("app 1.0 needs base", "base 1.0", "base 1.1"),
        {"app": "1.0"},
        "app",
        ["enable base 1.1, which is installed"],
    ),
    "too old, newer there": (
        known("app 1.0 needs base>=1.3", "base 1.2", "base 1.3"),
        {"app": "1.0", "base": "1.2"},
        "app",
        ["upgrade base to 1.3, which is installed"],
    ),
    "too old, none there": (
        known("app 1.0 needs base>=2", "base 1.2"),
        {"app": "1.0", "base": "1.2"},
        "app",
        ["install base >=2 and upgrade to it"],
    ),
    "another version of the chosen one": (
        known("app 2.0 needs base>=2", "app 1.0 needs base<2", "base 1.0"),
        {"app": "2.0", "base": "1.0"},
        "app",
        ["take app back to 1.0, which is installed"],
    ),
    "a third one follows": (
        known("app 2.0 needs base>=2", "base 1.0", "base 2.0", "friend 1.0 needs base<2", "friend 1.1 needs base>=2"),
        {"app": "2.0", "base": "1.0", "friend": "1.0"},
        "app",
        ["upgrade base to 2.0, which is installed", "upgrade friend to 1.1, which is installed"],
    ),
    "conflict, a version without": (
        known("app 1.0; not base<2", "base 1.0", "base 2.0"),
        {"app": "1.0", "base": "1.0"},
        "app",
        ["upgrade base to 2.0, which is installed"],
    ),
    "conflict with all": (known("app 1.0; not base", "base 1.0"), {"app": "1.0", "base": "1.0"}, "app", ["disable base"]),
    "two want what no version is": (
        known("app 1.0 needs base>=2", "friend 1.0 needs base<1"),
        {"app": "1.0", "friend": "1.0"},
        "app",
        ["install base >=2 and enable it", "disable friend"],
    ),
    "both demands told": (
        known("app 1.0 needs base>=2", "friend 1.0 needs base<4"),
        {"app": "1.0", "friend": "1.0"},
        "app",
        ["install base <4,>=2 and enable it"],
    ),
    "a circle": (
        known("app 1.0 needs base", "base 1.0 needs app>=1"),
        {"app": "1.0"},
        "app",
        ["enable base 1.0, which is installed"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_it_says_what_would_have_to_change(case: str) -> None:
    installed, enabled, chosen, wanted = CASES[case]
    for seed in range(5):
        mixed, pairs = list(installed), list(enabled.items())
        random.Random(seed).shuffle(mixed)
        random.Random(seed).shuffle(pairs)
        found = resolve(mixed, dict(pairs), chosen=chosen)
        assert found is not None
        assert sorted(map(str, found)) == sorted(wanted)


def test_what_must_not_come_back_does_not() -> None:
    installed = known("app 1.0 needs base", "base 1.0")
    assert [str(step) for step in resolve(installed, {"app": "1.0"}, without=["base"]) or ()] == ["disable app"]
    assert resolve(installed, {"app": "1.0"}, chosen="app", without=["base"]) is None


_NAMES = st.sampled_from(["a", "b", "c", "d"])
_REQUIREMENT = st.builds(lambda name, sign: f"{name}{sign}", _NAMES, st.sampled_from(["", ">=2", "<2", "==1", "!=3"]))
_KNOWN = st.builds(
    lambda name, version, requires, conflicts: Known(name=name, version=version, requires=requires, conflicts=conflicts),
    _NAMES,
    st.sampled_from(["1", "2", "3"]),
    st.lists(_REQUIREMENT, max_size=2).map(tuple),
    st.lists(_REQUIREMENT, max_size=1).map(tuple),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(_KNOWN, min_size=1, max_size=8, unique_by=lambda item: (item.name, item.version)), st.randoms())
def test_after_the_changes_everything_holds_and_the_order_does_not_matter(installed: list[Known], chance: random.Random) -> None:
    enabled = {item.name: item.version for item in installed}
    steps = resolve(installed, enabled)
    mixed = list(installed)
    chance.shuffle(mixed)
    assert resolve(mixed, dict(reversed(enabled.items()))) == steps
    if steps is None:
        return
    after = dict(enabled)
    coming = {step.plugin for step in steps if step.action == "install"}
    for step in steps:
        if step.action == "disable":
            del after[step.plugin]
        elif step.version:
            after[step.plugin] = step.version
        else:
            after.pop(step.plugin, None)
    of = {(item.name, item.version): item for item in installed}
    for name, version in after.items():
        for text in of[name, version].requires:
            other, specifier = parse(text)
            assert other in coming or other == name or (other in after and fits(after[other], specifier))
        for text in of[name, version].conflicts:
            other, specifier = parse(text)
            assert other == name or other not in after or not fits(after[other], specifier)

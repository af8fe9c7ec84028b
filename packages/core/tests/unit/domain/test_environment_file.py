# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Environments as files: what differs between two, whatever the order, and what counts as nothing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from stoker.domain.environment_file import (
    FORMAT,
    EnvironmentFile,
    FileNode,
    FileOverride,
    FilePlugin,
    differences,
    in_words,
    without_generated,
)

NAMES = st.sampled_from(["a", "b", "c"])
SETTINGS = st.dictionaries(NAMES, st.one_of(st.integers(0, 2), st.dictionaries(NAMES, st.integers(0, 2), max_size=2)), max_size=3)
PLUGINS = st.dictionaries(NAMES, st.builds(FilePlugin, version=st.sampled_from(["1", "2"]), settings=SETTINGS), max_size=3)
NODES = st.dictionaries(NAMES, st.builds(FileNode, roles=st.lists(NAMES, unique=True, max_size=2)), max_size=3)
OVERRIDES = st.lists(
    st.builds(FileOverride, file=NAMES, key=NAMES, value=st.integers(0, 2)),
    unique_by=lambda item: (item.file, item.key),
    max_size=3,
)
FILES = st.builds(EnvironmentFile, format=st.just(FORMAT), name=st.just("x"), plugins=PLUGINS, nodes=NODES, overrides=OVERRIDES)


@given(FILES, FILES)
def test_the_way_back_is_the_way_there_turned_round(one: EnvironmentFile, two: EnvironmentFile) -> None:
    there, back = differences(one, two), differences(two, one)
    opposite = {"add": "remove", "remove": "add", "change": "change"}
    assert [(opposite[item.kind], item.place, item.after, item.before) for item in there] == [
        (item.kind, item.place, item.before, item.after) for item in back
    ]


@given(FILES)
def test_order_makes_no_difference(file: EnvironmentFile) -> None:
    mixed = EnvironmentFile(
        format=FORMAT,
        stoker="another",
        name="y",
        plugins=dict(reversed(file.plugins.items())),
        nodes={name: FileNode(roles=list(reversed(node.roles))) for name, node in reversed(file.nodes.items())},
        overrides=list(reversed(file.overrides)),
    )
    assert differences(file, mixed) == []


def test_what_the_server_makes_counts_as_nothing_with_the_groups_that_held_it_alone() -> None:
    document = {"a": 1, "key": {"$generated": True}, "tls": {"key": {"$generated": True}}, "empty": {}, "list": [{"k": 1}]}
    assert without_generated(document) == {"a": 1, "empty": {}, "list": [{"k": 1}]}


def test_a_secret_is_told_by_its_name() -> None:
    assert in_words({"$secret": "mail.password"}) == "(secret mail.password)"

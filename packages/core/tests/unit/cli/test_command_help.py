# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The help of every command: what it does in words, and examples line by line."""

from __future__ import annotations

import click
import pytest
from stoker.cli.main import stoker


def leaves(group, words=("stoker",)):
    context = click.Context(group, info_name=words[-1])
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from leaves(command, (*words, name))
        else:
            yield (*words, name), command


@pytest.fixture(autouse=True)
def nothing_seen(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_each_example_has_a_line_of_its_own():
    wrong = []
    for words, command in leaves(stoker):
        shown = command.get_help(click.Context(command, info_name=" ".join(words)))
        _, found, examples = shown.partition("\nExamples:\n")
        lines = examples.partition("\n\n")[0].splitlines()
        if not found or not lines or not all(line.strip() for line in lines):
            wrong.append(" ".join(words))
    assert wrong == []

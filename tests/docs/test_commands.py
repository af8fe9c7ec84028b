# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Every command line that the manual shows exists with its options."""

import importlib
import re
import shlex
from pathlib import Path

import click
import msgspec
import pytest
from stoker.cli.main import stoker
from stoker.cli.plugin_commands import group_of
from stoker.services.commands import view_of
from stoker_sdk.scaffold.files import new_plugin

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PROMPT = re.compile(r"^\s*[$#] (stoker .*)$", re.MULTILINE)
LINE = re.compile(r"^\s*(stoker .*)$", re.MULTILINE)


PLUGINS = [importlib.import_module(path.name).plugin for path in sorted(ROOT.glob("plugins/*/src/stoker_plugin_*"))]


def tutorials():
    """The plugins that tutorials begin with, and write."""
    pages = [page.read_text() for page in sorted(DOCS.glob("tutorial/*.md"))]
    texts = [text for page in pages for text in re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)]
    begun = new_plugin("greeting", with_code=True)
    for text in [*texts, *(text for path, text in begun.items() if path.endswith("__init__.py"))]:
        names = {"__name__": "tutorial"}
        exec(compile(text, "tutorial", "exec", dont_inherit=True), names)
        yield names["plugin"]


OF_PLUGINS = {}
for item in (*PLUGINS, *tutorials()):
    found = group_of(msgspec.to_builtins(view_of(item.name, item.version, item.title, item.contributions)))
    OF_PLUGINS.setdefault(item.name, found).commands.update(found.commands)
"""The groups of commands that bundled plugins and those of tutorials bring."""


def blocks(page, language):
    return re.findall(rf"^\s*```{language}\n(.*?)^\s*```", page.read_text(), re.MULTILINE | re.DOTALL)


def shown():
    for page in [ROOT / "README.md", *sorted(DOCS.glob("**/*.md"))]:
        found = [line for block in blocks(page, "console") for line in PROMPT.findall(block)]
        found += [line for block in blocks(page, "sh") for line in LINE.findall(block)]
        for line in found:
            yield pytest.param(line, id=f"{page.name}: {line}")


@pytest.mark.parametrize("line", list(shown()))
def test_command_exists_with_its_options(line):
    words = shlex.split(line, comments=True)[1:]
    command, context = stoker, click.Context(stoker, info_name="stoker")
    while isinstance(command, click.Group):
        word = words.pop(0)
        command = command.get_command(context, word) or OF_PLUGINS.get(word)
        assert command is not None, f"there is no command {word!r}"
        context = click.Context(command, parent=context, info_name=word)
    command.make_parser(context).parse_args(list(words))  # raises on an unknown option

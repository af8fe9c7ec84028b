# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Every command line that the manual shows exists with its options, and the tutorial's plugin is a plugin."""

import importlib.util
import re
import shlex
from pathlib import Path

import click
import pytest
from stoker.cli.main import stoker
from stoker_sdk.manifest import read_manifest, to_manifest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PROMPT = re.compile(r"^\s*[$#] (stoker .*)$", re.MULTILINE)
LINE = re.compile(r"^\s*(stoker .*)$", re.MULTILINE)


def shown():
    for page in [ROOT / "README.md", *sorted(DOCS.glob("**/*.md"))]:
        for block in re.findall(r"^\s*```console\n(.*?)^\s*```", page.read_text(), re.MULTILINE | re.DOTALL):
            for line in PROMPT.findall(block):
                yield pytest.param(line, id=f"{page.name}: {line}")
    for line in LINE.findall((DOCS / "examples" / "tutorial" / "session.sh").read_text()):
        yield pytest.param(line, id=f"session.sh: {line}")


@pytest.mark.parametrize("line", list(shown()))
def test_command_exists_with_its_options(line):
    words = shlex.split(re.sub(r"\$\{CREDENTIAL:.*?\} ", "", line), comments=True)[1:]
    command, context = stoker, click.Context(stoker, info_name="stoker")
    while isinstance(command, click.Group):
        word = words.pop(0)
        command = command.get_command(context, word)
        assert command is not None, f"there is no command {word!r}"
        context = click.Context(command, parent=context, info_name=word)
    command.make_parser(context).parse_args(list(words))  # raises on an unknown option


def test_tutorial_plugin_is_a_plugin():
    spec = importlib.util.spec_from_file_location("greeting", DOCS / "examples" / "tutorial" / "greeting" / "plugin.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    manifest = to_manifest(module.plugin)
    assert read_manifest(manifest).name == "greeting"
    assert [finding for c in module.plugin.contributions for finding in c.check()] == []

# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The files of a new plugin: at most five, valid and tested from the first moment."""

from __future__ import annotations

from string import Template
from typing import Final

_PROJECT: Final = Template("""\
[project]
name = "stoker-plugin-$name"
version = "0.1.0"
description = "$title for Stoker"
requires-python = ">=3.11"
dependencies = ["stoker-sdk>=0.1,<1"]

[project.entry-points."stoker.plugins"]
$name = "stoker_plugin_$module:plugin"

[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[tool.hatch.build.targets.wheel]
packages = ["src/stoker_plugin_$module"]

[tool.pytest.ini_options]
pythonpath = ["src"]
""")

_PLUGIN: Final = Template('''\
"""$title: says on every node what it was told."""

import pydantic
from stoker_sdk import Plugin, ref
from stoker_sdk.extension_points import config_files, roles, settings


class ${class_name}Settings(pydantic.BaseModel):
    """What an operator can choose."""

    text: str = settings.field("Hello from Stoker", title="Text", description="What every node says.")


plugin = Plugin(
    name="$name",
    version="0.1.0",
    title="$title",
    contributions=[
        settings.Settings.from_model(${class_name}Settings),
        roles.Role(name="$name", title="$title"),
        config_files.WholeFile(path="/etc/$name.conf", roles=["$name"], content=ref.settings.text + "\\n"),
    ],
)
''')

_CODE: Final = Template('''\
"""$title: greets who asks, and every node."""

import json
from collections.abc import Mapping, Sequence

import pydantic
from stoker_sdk import Plugin, RESTAPIPlugin, code
from stoker_sdk.context import Context, Object, current
from stoker_sdk.extension_points import commands, rest_api, roles, serializer_hooks, settings


class ${class_name}Settings(pydantic.BaseModel):
    """What an operator can choose."""

    text: str = settings.field("Hello", title="Text", description="What greetings begin with.")


class Api(RESTAPIPlugin):
    """Answers at /api/plugins/$name/ and, for one environment, at /api/environments/ID/plugins/$name/."""

    @staticmethod
    def application(environ, start_response):  # WSGI; a Flask, Starlette or other application can stand here as well
        context = current()
        text = context.settings.get("text", "Hello")
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps({"greeting": f"{text}, {context.caller.name}", "version": context.version}).encode()]


def greet(objects: Sequence[Object], context: Context) -> Mapping[str, str]:
    """What nodes show under ext.$name.greeting; asked again when a node's name or the settings change."""
    return {node.id: f"{context.settings['text']}, {node.columns['name']}" for node in objects}


plugin = Plugin(
    name="$name",
    version="0.1.0",
    title="$title",
    contributions=[
        settings.Settings.from_model(${class_name}Settings),
        roles.Role(name="$name", title="$title"),
        rest_api.RestApi(call=code(Api)),
        commands.Command(name="hello", title="Greet me", path="/"),
        serializer_hooks.SerializerHook(
            name="greeting",
            target="node",
            call=code(greet),
            json_schema={"type": "string"},
            reads=["name"],
            settings=True,
        ),
    ],
)
''')

_TEST: Final = Template('''\
"""The plugin is valid, and its manifest carries all of it."""

from stoker_plugin_$module import plugin
from stoker_sdk.manifest import read_manifest, to_manifest
from stoker_sdk.validation import check_plugin


def test_the_plugin_is_valid() -> None:
    assert check_plugin(plugin) == []
    assert to_manifest(read_manifest(to_manifest(plugin))) == to_manifest(plugin)
''')

_README: Final = Template("""\
# $title

A plugin for Stoker.

    stoker-plugin check
${test}    stoker-plugin build
    stoker plugins install $name-0.1.0.stoker
""")

_RUN_THE_TEST: Final = "    python -m pytest\n"

_YAML: Final = Template("""\
name: $name
version: 0.1.0
title: $title
contributions:
  - point: settings
    schema:
      type: object
      additionalProperties: false
      properties:
        text: {type: string, title: Text, description: What every node says., default: Hello from Stoker}
  - point: roles
    name: $name
    title: $title
  - point: config_files.whole_file
    path: /etc/$name.conf
    roles: [$name]
    content: {$$cel: 'settings.text + "\\n"'}
""")


def new_plugin(name: str, *, yaml: bool = False, with_code: bool = False) -> dict[str, str]:
    """The files of a new plugin: path -> text.

    Args:
        name: the plugin's name, e.g. ``my-array``.
        yaml: a ``plugin.yaml`` without code instead of a Python package.
        with_code: a Python package whose code runs on the server: an application, a command and a serializer hook.
    """
    words = name.split("-")
    values = {
        "name": name,
        "module": name.replace("-", "_"),
        "title": " ".join(words).capitalize(),
        "class_name": "".join(word.capitalize() for word in words),
    }
    if yaml:
        return {"plugin.yaml": _YAML.substitute(values), "README.md": _README.substitute(values, test="")}
    module = values["module"]
    return {
        "pyproject.toml": _PROJECT.substitute(values),
        f"src/stoker_plugin_{module}/__init__.py": (_CODE if with_code else _PLUGIN).substitute(values),
        f"tests/test_{module}.py": _TEST.substitute(values),
        "README.md": _README.substitute(values, test=_RUN_THE_TEST),
    }

# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Bundles of plugins with code for tests: one module, built as an author would."""

from __future__ import annotations

import textwrap
import zipfile
from collections.abc import Sequence
from pathlib import Path

from stoker_sdk.source import build_bundle

_PROJECT = """\
[project]
name = "stoker-plugin-{name}"
version = "{version}"
description = "For tests"
requires-python = ">=3.11"
dependencies = [{dependencies}]

[project.entry-points."stoker.plugins"]
{name} = "{module}:plugin"

[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[tool.hatch.build.targets.wheel]
packages = ["src/{module}"]
{more}
"""

_MODULE = '''\
"""For tests."""

from stoker_sdk import *
from stoker_sdk.extension_points import actions, before_plan, commands, events, permissions, records, rest_api, serializer_hooks
from stoker_sdk.extension_points import config_files, node_packages, roles, settings, tasks, validate_settings

{source}

plugin = Plugin(name="{name}", version="{version}", title="{name}", {fields}contributions=[
{contributions}
])
'''


def write(
    folder: Path,
    name: str = "hello",
    version: str = "1.0.0",
    *,
    source: str = "",
    contributions: Sequence[str] = (),
    fields: str = "",
    dependencies: Sequence[str] = ("stoker-sdk",),
    more: str = "",
) -> Path:
    """A plugin's project in ``folder/NAME-VERSION``; ``source`` is Python that may define what ``contributions`` name.

    All extension points are imported there as modules, and the SDK's face. ``fields`` are further arguments of ``Plugin(...)``,
    with a comma at the end; ``more`` is appended to pyproject.toml.
    """
    module = f"stoker_plugin_{name.replace('-', '_')}"
    project = folder / f"{name}-{version}"
    package = project / "src" / module
    package.mkdir(parents=True, exist_ok=True)
    needed = ", ".join(f'"{item}"' for item in dependencies)
    project.joinpath("pyproject.toml").write_text(
        _PROJECT.format(name=name, version=version, module=module, dependencies=needed, more=more)
    )
    lines = "".join(f"    {textwrap.dedent(item).strip()},\n" for item in contributions)
    package.joinpath("__init__.py").write_text(
        _MODULE.format(source=textwrap.dedent(source), name=name, version=version, fields=fields, contributions=lines)
    )
    return project


def build(folder: Path, name: str = "hello", version: str = "1.0.0", **more: object) -> Path:
    """The bundle of such a plugin; see :func:`write`."""
    return build_bundle(write(folder, name, version, **more), folder)  # type: ignore[arg-type]


def wheel(folder: Path, name: str, version: str, *, tag: str = "py3-none-any", needs: Sequence[str] = ()) -> Path:
    """The wheel of a library that plugins can depend on: one module with its ``version``."""
    folder.mkdir(parents=True, exist_ok=True)
    information = f"{name}-{version}.dist-info"
    needed = "".join(f"Requires-Dist: {item}\n" for item in needs)
    members = {
        f"{name}.py": f"version = {version!r}\n",
        f"{information}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needed}",
        f"{information}/WHEEL": f"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    record = "".join(f"{path},,\n" for path in (*members, f"{information}/RECORD"))
    made = folder / f"{name}-{version}-{tag}.whl"
    with zipfile.ZipFile(made, "w") as archive:
        for path, text in {**members, f"{information}/RECORD": record}.items():
            archive.writestr(zipfile.ZipInfo(path, (1980, 1, 1, 0, 0, 0)), text)
    return made

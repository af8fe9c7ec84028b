# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Project: whether ``pyproject.toml`` says the same as the plugin."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path

from packaging.version import InvalidVersion, Version

from stoker_sdk.model.finding import Finding
from stoker_sdk.plugin import Plugin


def check_project(plugin: Plugin, folder: Path) -> Iterable[Finding]:
    """A distribution and its plugin that differ in their version confuse whoever installs one of them."""
    file = folder / "pyproject.toml"
    if not file.is_file():
        return
    try:
        project = tomllib.loads(file.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        return  # told when the plugin is loaded; a plugin.yaml does not need it
    version = project.get("project", {}).get("version")
    if isinstance(version, str) and not _same(version, plugin.version):
        lines = file.read_text().splitlines()
        yield Finding(
            rule="L015",
            severity="warning",
            field="version",
            file=file.name,
            line=next((number for number, line in enumerate(lines, 1) if line.replace(" ", "").startswith("version=")), 0),
            message=f"it says version {version}, the plugin says {plugin.version}.",
            remedy="Write the same version in both places.",
        )


def _same(one: str, two: str) -> bool:
    try:
        return Version(one) == Version(two)
    except InvalidVersion:
        return one == two

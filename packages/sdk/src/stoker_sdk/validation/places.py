# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Places: paths on nodes, and files in the plugin's folder."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from stoker_sdk.extension_points.config_files import ConfigFile, ListItem, Option, WholeFile
from stoker_sdk.extension_points.services import Service
from stoker_sdk.extension_points.task_patches import TaskPatch
from stoker_sdk.extension_points.tasks import Task
from stoker_sdk.model.contribution import Contribution
from stoker_sdk.model.finding import Finding
from stoker_sdk.plugin import Plugin
from stoker_sdk.source import named_files
from stoker_sdk.source.repositories import list_packages


def check_paths(contribution: Contribution) -> Iterable[Finding]:
    """Paths on the node are absolute."""
    paths = []
    if isinstance(contribution, ConfigFile | Option | ListItem | WholeFile) and (contribution.path or not contribution.service):
        paths.append(("path", contribution.path))
    if isinstance(contribution, Service):
        paths += [(f"files[{index}].path", item.path) for index, item in enumerate(contribution.files)]
    if isinstance(contribution, Task):
        paths += [
            (field, getattr(contribution, field))
            for field in ("path", "creates", "directory", "file")
            if getattr(contribution, field, None)
        ]
        paths += [(f"files[{index}].path", item.path) for index, item in enumerate(getattr(contribution, "files", ()))]
    if isinstance(contribution, TaskPatch) and (other := contribution.replace) is not None:
        named = (("creates", other.creates), ("directory", other.directory), ("file", other.file))
        paths += [(f"replace.{field}", path) for field, path in named if path]
    for field, path in paths:
        if not path.startswith("/") or ".." in PurePosixPath(path).parts or "\0" in path or "\n" in path:
            yield Finding(
                rule="F001", field=field, message=f"{path!r} is not an absolute path.", remedy="Begin with / and leave out '..'."
            )


def check_files(plugin: Plugin, folder: Path) -> Iterable[Finding]:
    """Files that contributions name are in the plugin's folder, and repositories hold packages that can be read."""
    plugin, findings = list_packages(plugin, folder)
    yield from findings
    root = folder.resolve()
    for name, label in named_files(plugin).items():
        path = folder / name
        if PurePosixPath(name).is_absolute() or not path.resolve().is_relative_to(root):
            yield Finding(
                rule="F002",
                contribution=label,
                file=name,
                message="it is outside the plugin's folder.",
                remedy="Copy the file into it.",
            )
        elif not path.is_file():
            yield Finding(
                rule="F003",
                contribution=label,
                file=name,
                message="it is not there.",
                remedy="Add the file, or correct the name.",
            )

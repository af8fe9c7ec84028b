# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Watch lists: what has to be looked at on each node before a plan can be made."""

from __future__ import annotations

from stoker_sdk.extension_points import tasks

from stoker.domain.node import Watch
from stoker.domain.snapshot import NodeInput, Snapshot
from stoker.planning.parts import PluginParts, read_plugins


def watch_lists(snapshot: Snapshot) -> list[Watch]:
    """For each node of the snapshot, in its order, the files, packages and services to look at."""
    parts, _ = read_plugins(snapshot)
    return [_watch(node, parts) for node in snapshot.nodes]


def _has(node: NodeInput, selector: object) -> bool:
    roles = selector if isinstance(selector, list | tuple) else ()
    return bool(node.roles) and any(role == "*" or role in node.roles for role in roles)


def _watch(node: NodeInput, parts: list[PluginParts]) -> Watch:
    files: set[str] = set(node.applied.files)
    packages: set[str] = set(node.applied.packages)
    services: set[str] = set()
    for part in parts:
        files |= {entry.path for entry in part.files if _has(node, entry.roles)}
        for item in part.packages:
            if _has(node, item.roles):
                packages |= {package if isinstance(package, str) else package.name for package in item.packages}
        for task in part.tasks:
            if not _has(node, task.roles):
                continue
            match task:
                case tasks.Service():
                    services.add(task.name)
                case tasks.Upload():
                    files.add(task.path)
                case tasks.Files():
                    files |= {item.path for item in task.files}
                case tasks.Packages():
                    packages |= set(task.packages)
                case _:
                    pass
    return Watch(files=sorted(files), packages=sorted(packages), services=sorted(services))

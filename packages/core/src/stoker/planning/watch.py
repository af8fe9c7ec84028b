# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Watch lists: what has to be looked at on each node before a plan can be made."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
from stoker_sdk.extension_points import tasks

from stoker.domain.node import Watch
from stoker.domain.snapshot import NodeInput, Snapshot
from stoker.planning.parts import NodeClass, PluginParts, classify, read_plugins
from stoker.planning.patches import apply_patches
from stoker.planning.repositories import repository_paths
from stoker.planning.secret_places import SecretPlaces


class _Wanted(msgspec.Struct):
    """What plugins bring to a class of nodes, conditions left out: looking at too much does no harm."""

    files: set[str]
    packages: set[str]
    services: set[str]


def watch_lists(snapshot: Snapshot) -> list[Watch]:
    """For each node of the snapshot, in its order, the files, packages and services to look at."""
    # Faults are told by the plan itself; who of several is chosen, when it is known who answers.
    read = read_plugins(snapshot, SecretPlaces(snapshot.marker), everyone=True)
    parts, _ = apply_patches(read.plugins)
    lists: list[Watch] = [Watch()] * len(snapshot.nodes)
    units = _services(parts)
    for node_class in classify(snapshot.nodes, read.membership):
        wanted = _wanted(parts, node_class)
        for number in node_class.nodes:
            lists[number] = _list(snapshot.nodes[number], wanted, units)
    return lists


def _wanted(parts: Sequence[PluginParts], node_class: NodeClass) -> _Wanted:
    wanted = _Wanted(set(), set(), set())
    for part in parts:
        if part.plugin.removing:
            continue
        wanted.files.update(item.path for item in part.files if node_class.has(item.roles))
        wanted.files.update(repository_paths(part, node_class))
        for item in part.packages:
            if node_class.has(item.roles):
                wanted.packages.update(package if isinstance(package, str) else package.name for package in item.packages)
        for task in part.tasks:
            if task.on == "deploy" and node_class.has(task.roles):
                _add_task(wanted, task)
    return wanted


def _add_task(wanted: _Wanted, task: tasks.Task) -> None:
    if isinstance(task, tasks.Service):
        wanted.services.add(task.name)
    elif isinstance(task, tasks.Packages):
        wanted.packages.update(task.packages)
    elif isinstance(task, tasks.Upload):
        wanted.files.add(task.path)
    elif isinstance(task, tasks.Files):
        wanted.files.update(item.path for item in task.files)


def _services(parts: Iterable[PluginParts]) -> dict[str, str]:
    """Unit by the name of the task that brought it: one that is not wanted any more has to be stopped."""
    return {
        f"{part.plugin.name}.{task.id}": task.name
        for part in parts
        for task in (*part.tasks, *part.skipped_tasks)
        if isinstance(task, tasks.Service)
    }


def _list(node: NodeInput, wanted: _Wanted, units: dict[str, str]) -> Watch:
    applied = node.applied
    return Watch(
        files=sorted(wanted.files.union(applied.files)),
        packages=sorted(wanted.packages.union(applied.packages)),
        services=sorted(wanted.services.union(units[name] for name in applied.tasks if name in units)),
    )

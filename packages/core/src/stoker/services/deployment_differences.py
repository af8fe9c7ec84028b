# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""How two deployments of an environment differ: what it was, what was planned for its nodes, and which tasks had other inputs."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Literal

import msgspec

from stoker.db.deployments import find_deployment
from stoker.db.plans import load_plan, load_snapshot
from stoker.domain.environment_file import FORMAT, Change, EnvironmentFile, FileNode, FileOverride, FilePlugin, differences
from stoker.domain.plan import Plan
from stoker.domain.snapshot import Snapshot
from stoker.errors import InvalidInputError
from stoker.services.context import ServerContext
from stoker.services.plan_views import shown

Kind = Literal["add", "change", "remove"]


class FileDifference(msgspec.Struct, frozen=True, kw_only=True):
    """A file that the two wanted differently."""

    kind: Kind
    path: str
    nodes: list[str]
    note: str
    diff: str


class NamedDifference(msgspec.Struct, frozen=True, kw_only=True):
    """A package or task that the two wanted differently."""

    kind: Kind
    name: str
    nodes: list[str]


class DeploymentDifferences(msgspec.Struct, frozen=True, kw_only=True):
    """What changed from one deployment to another."""

    before: str
    after: str
    environment: list[Change]
    """Plugins, settings with defaults, roles of nodes, overrides."""
    files: list[FileDifference]
    packages: list[NamedDifference]
    tasks: list[NamedDifference]
    """Tasks with other inputs; whether they ran is another question."""
    note: str = ""


def compare(context: ServerContext, before: str, after: str) -> DeploymentDifferences:
    """How two deployments differ.

    Raises:
        NotFoundError: one of them is not there.
        InvalidInputError: they are of two environments.
    """
    with context.database.read() as connection:
        rows = [find_deployment(connection, identity) for identity in (before, after)]
        if rows[0].environment_id != rows[1].environment_id:
            raise InvalidInputError(
                f"deployments {before} and {after} are of different environments.", remedy="Compare two of one environment."
            )
        old, new = (load_plan(connection, str(row.plan_id)).plan for row in rows)
        was, now = (load_snapshot(connection, str(row.plan_id)) for row in rows)
    # What a part leaves out is in neither: nothing is known of how it would be.
    outside = {node.name for plan in (old, new) for node in plan.nodes if node.outside}
    left = {(plan.nodes[item.node].name, plan.tasks[item.task].name) for plan in (old, new) for item in plan.left_out}
    return DeploymentDifferences(
        before=before,
        after=after,
        environment=differences(_as_file(was), _as_file(now)),
        files=_files(_planned(old, outside), _planned(new, outside), left),
        packages=_named(_packages(old, outside), _packages(new, outside)),
        tasks=_named(_tasks(old, outside), _tasks(new, outside)),
        note="one of the two was about a part; of what it left out nothing is said" if outside or left else "",
    )


def _as_file(snapshot: Snapshot) -> EnvironmentFile:
    return EnvironmentFile(
        format=FORMAT,
        name=snapshot.environment_name,
        plugins={
            plugin.name: FilePlugin(version=plugin.version, settings=plugin.settings)
            for plugin in snapshot.plugins
            if not plugin.removing
        },
        nodes={node.name: FileNode(roles=node.roles) for node in snapshot.nodes if not node.removing},
        overrides=[
            FileOverride(file=item.path, section=item.section, key=item.key, value=item.value, roles=item.roles)
            for item in snapshot.overrides
        ],
    )


Planned = dict[tuple[str, str], tuple[str, str, str, str]]
"""Node and path -> what it shall be, its text, its attributes, and the task that does it."""


def _planned(plan: Plan, outside: set[str]) -> Planned:
    found: Planned = {}
    for file in plan.files:
        node = plan.nodes[file.node].name
        if node in outside or file.content < 0:
            continue
        content = plan.contents[file.content]
        attributes = f"{file.owner}:{file.group} {file.mode}"
        found[node, file.path] = (content.sha256, shown(content.text), attributes, plan.tasks[file.task].name)
    return found


def _files(old: Planned, new: Planned, left: set[tuple[str, str]]) -> list[FileDifference]:
    groups: dict[tuple[Kind, str, str, str], list[str]] = {}
    for node, path in sorted(old.keys() | new.keys(), key=lambda place: (place[1], place[0])):
        before, after = old.get((node, path)), new.get((node, path))
        either = before or after
        if either is None or (node, either[3]) in left or (before and after and before[:3] == after[:3]):
            continue
        kind: Kind = "add" if before is None else "remove" if after is None else "change"
        note = f"{before[2]} -> {after[2]}" if before and after and before[2] != after[2] else ""
        lines = difflib.unified_diff(
            before[1].splitlines() if before else [],
            after[1].splitlines() if after else [],
            f"{path} (before)",
            f"{path} (after)",
            lineterm="",
        )
        groups.setdefault((kind, path, note, "".join(f"{line}\n" for line in lines)), []).append(node)
    return [
        FileDifference(kind=kind, path=path, note=note, diff=diff, nodes=nodes)
        for (kind, path, note, diff), nodes in groups.items()
    ]


def _packages(plan: Plan, outside: set[str]) -> dict[tuple[str, str], str]:
    wanted = [item for item in plan.packages if item.status in ("install", "drift", "same")]
    return {
        (item.name, plan.nodes[item.node].name): f"{item.version} {item.constraint}"
        for item in wanted
        if plan.nodes[item.node].name not in outside
    }


def _tasks(plan: Plan, outside: set[str]) -> dict[tuple[str, str], str]:
    return {
        (plan.tasks[item.task].name, plan.nodes[item.node].name): item.inputs
        for item in plan.instances
        if plan.nodes[item.node].name not in outside
    }


def _named(old: Mapping[tuple[str, str], str], new: Mapping[tuple[str, str], str]) -> list[NamedDifference]:
    groups: dict[tuple[str, Kind], list[str]] = {}
    for name, node in sorted(old.keys() | new.keys()):
        place = (name, node)
        if place in old and place in new and old[place] == new[place]:
            continue
        kind: Kind = "add" if place not in old else "remove" if place not in new else "change"
        groups.setdefault((name, kind), []).append(node)
    return [NamedDifference(kind=kind, name=name, nodes=nodes) for (name, kind), nodes in groups.items()]

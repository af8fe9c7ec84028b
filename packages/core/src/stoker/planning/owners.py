# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Owners: who wants which state of each path, unit and package, over all extension points and plugins; two states clash."""

from __future__ import annotations

import itertools
import posixpath
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Literal

import msgspec
from stoker_sdk.extension_points import tasks
from stoker_sdk.extension_points.config_files import ConfigFile
from stoker_sdk.extension_points.tasks import FileItem
from stoker_sdk.model.contribution import Contribution
from stoker_sdk.model.finding import Finding

from stoker.planning.parts import NodeClass, PluginParts
from stoker.planning.values import ValueFault, write_text

Kind = Literal["path", "unit", "package"]
_CONFIGURATION: Final = "a configuration file"
_DIRECTORY: Final = "a directory"
_ABSENT: Final = "absent"


class Want(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The state in which one contribution wants a path, a unit or a package."""

    kind: Kind
    name: str
    part: PluginParts
    contributions: list[Contribution]
    """It holds where the condition of one of these holds."""
    state: str
    """In words."""
    details: tuple[object, ...] = ()
    """What else has to be equal."""
    item: FileItem | None = None
    """The file whose content has to be equal."""

    @property
    def owner(self) -> str:
        """The plugin and the contribution, for messages."""
        return f"{self.part.plugin.name} ({self.contributions[0].label})"


Content = Callable[[Want], str | None]
"""The content of a wanted file; ``None`` if it is not known yet."""


def contested(parts: Sequence[PluginParts], group: NodeClass, *, packages: bool = True) -> list[list[Want]]:
    """Wants of a class of nodes that may clash, if their conditions hold: nearly always none.

    Args:
        parts: the plugins.
        group: the class.
        packages: whether those of ``node_packages`` count.
    """
    wants: dict[tuple[Kind, str], list[Want]] = {}
    for part in parts:
        for want in _wants(part, group, packages=packages):
            wants.setdefault((want.kind, want.name), []).append(want)
    groups = [members for _, members in sorted(wants.items(), key=lambda item: item[0]) if len(members) > 1]
    groups += _inside(wants)
    return [members for members in groups if any(_clash(one, two, _unknown) for one, two in itertools.combinations(members, 2))]


def clashes(groups: Sequence[Sequence[Want]], holds: Callable[[Want], bool], content: Content) -> Iterator[Finding]:
    """A finding for each path, unit or package that is wanted in two ways."""
    for group in groups:
        members = [want for want in group if holds(want)]
        pairs = [(one, two) for one, two in itertools.combinations(members, 2) if _clash(one, two, content)]
        clashing = [want for want in members if any(want in pair for pair in pairs)]
        if clashing:
            yield _finding(clashing)


def constant_content(want: Want) -> str | None:
    """The content of a wanted file on the node that the plugin's scope has entered."""
    item = want.item
    if item is None:
        return None
    try:
        value = want.part.scope.evaluate(item.content, want.contributions[0].label, "content")
    except ValueFault:
        return None  # told where the file is made
    return "".join(f"{write_text(part)}\n" for part in value) if isinstance(value, list) else write_text(value)


def holds_here(want: Want) -> bool:
    """Whether a want counts on the node that the plugin's scope has entered."""
    try:
        return any(want.part.scope.holds(item.when, item.label) for item in want.contributions)
    except ValueFault:
        return False  # told where the contribution is evaluated


def _unknown(want: Want) -> str | None:
    return None if want.item is None else want.owner + want.name  # any two may differ


def _wants(part: PluginParts, group: NodeClass, *, packages: bool) -> Iterator[Want]:
    entries: dict[str, list[Contribution]] = {}
    for entry in part.files:
        if group.has(entry.roles):
            entries.setdefault(_path(entry.path), []).append(entry)
    for path, members in entries.items():
        deciding = [item for item in members if not isinstance(item, ConfigFile)]
        yield Want(kind="path", name=path, part=part, contributions=deciding or members, state=_CONFIGURATION)
    for item in part.packages if packages else ():
        if group.has(item.roles) and (not group.os_family or item.os_family == group.os_family):
            for package in item.packages:
                name = package if isinstance(package, str) else package.name
                yield Want(kind="package", name=name, part=part, contributions=[item], state="present")
    for task in part.tasks:
        if task.on == "deploy" and group.has(task.roles):
            yield from _of_task(part, task)


def _of_task(part: PluginParts, task: tasks.Task) -> Iterator[Want]:
    if isinstance(task, tasks.Files):
        for item in task.files:
            mode = item.mode or ("0755" if item.state == "directory" else "0644")
            details = (item.owner, item.group, mode)
            if item.state == "file":
                state = f"a file ({item.owner}:{item.group} {mode})"
                yield _want("path", _path(item.path), part, task, state, (*details, "text"), item)
            elif item.state == "directory":
                yield _want("path", _path(item.path), part, task, _DIRECTORY, details)
            else:
                yield _want("path", _path(item.path), part, task, _ABSENT)
    elif isinstance(task, tasks.Upload):
        state = f"a file ({task.owner}:{task.group} {task.mode})"
        yield _want("path", _path(task.path), part, task, state, (part.plugin.blobs.get(task.source, ""),))
    elif isinstance(task, tasks.Packages):
        for name in task.packages:
            yield _want("package", name, part, task, task.state)
    elif isinstance(task, tasks.Service):
        yield _want("unit", task.name.removesuffix(".service"), part, task, task.state, (task.enabled,))


def _want(
    kind: Kind,
    name: str,
    part: PluginParts,
    task: tasks.Task,
    state: str,
    details: tuple[object, ...] = (),
    item: FileItem | None = None,
) -> Want:
    return Want(kind=kind, name=name, part=part, contributions=[task], state=state, details=details, item=item)


def _path(path: str) -> str:
    return posixpath.normpath(f"/{path.lstrip('/')}")


def _inside(wants: dict[tuple[Kind, str], list[Want]]) -> Iterator[list[Want]]:
    """Wants of a path that shall be no directory, with what is wanted inside it."""
    names = sorted(name for kind, name in wants if kind == "path")
    for name in names:
        closed = [want for want in wants["path", name] if want.state != _DIRECTORY]
        place = bisect_left(names, f"{name}/")
        while closed and place < len(names) and names[place].startswith(f"{name}/"):
            for want in closed:
                yield [want, *wants["path", names[place]]]
            place += 1


def _clash(one: Want, two: Want, content: Content) -> bool:
    if one.kind == "unit":
        return not _in_turn(one, two) and (
            one.state != two.state or (None not in (*one.details, *two.details) and one.details != two.details)
        )
    if one.name != two.name:
        outer, inner = (one, two) if len(one.name) < len(two.name) else (two, one)
        return outer.state != _DIRECTORY and inner.state != _ABSENT
    if one.state == two.state == _CONFIGURATION:
        return False  # how entries are merged, and what clashes among them, is their own matter
    if one.state != two.state:
        return True
    if one.item is None or two.item is None:
        return one.details != two.details
    texts = content(one), content(two)
    return one.details != two.details or (None not in texts and texts[0] != texts[1])


def _in_turn(one: Want, two: Want) -> bool:
    """Whether one plugin wants first this and then that of a unit: in two phases, or ordered by edges."""
    first, second = one.contributions[0], two.contributions[0]
    if one.part is not two.part or not isinstance(first, tasks.Service) or not isinstance(second, tasks.Service):
        return False
    return first.phase != second.phase or any((first.after, first.before, second.after, second.before))


def _finding(members: Sequence[Want]) -> Finding:
    first = members[0]
    names = " and ".join(dict.fromkeys(want.name for want in members))
    wanted = " and ".join(f"{_state(want)} by {want.owner}" for want in members)
    if len({_state(want) for want in members}) == 1:
        wanted += ", with different contents"
    plugin, label = first.part.plugin.name, first.contributions[0].label
    if first.kind == "path":
        return Finding(
            rule="M005",
            plugin=plugin,
            contribution=label,
            field="path",
            file=first.name,
            message=f"{names} cannot be all that is wanted: {wanted}.",
            remedy="Disable one of the plugins, let one of the contributions go, or make them equal.",
        )
    if first.kind == "unit":
        return Finding(
            rule="M006",
            plugin=plugin,
            contribution=label,
            field="name",
            message=f"the unit {names} cannot be all that is wanted: {wanted}.",
            remedy="Disable one of the plugins, or make them agree; within one plugin, give the tasks different phases.",
        )
    return Finding(
        rule="M007",
        plugin=plugin,
        contribution=label,
        field=f"packages.{first.name}",
        message=f"the package {names} cannot be all that is wanted: {wanted}.",
        remedy="Disable one of the plugins, or let one of the contributions go.",
    )


def _state(want: Want) -> str:
    if want.kind == "unit":
        enabled = want.details[0]
        return want.state if enabled is None else f"{want.state} and {'enabled' if enabled else 'disabled'}"
    return want.state

# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Planned tasks: a task's definition with everything that is the same on all nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from stoker.domain.plan import PlannedPatch, PlannedTask
from stoker.planning.definitions import TaskSource
from stoker.planning.kinds import KindTask
from stoker.planning.parts import Origins, PluginParts

_GENERATED: Final = {
    "repository": ("files", "Package repository of {}"),
    "packages": ("packages", "Packages of {}"),
    "files": ("files", "Configuration files of {}"),
    "remove.packages": ("packages", "Packages of {} that nobody needs any more"),
    "remove.files": ("files", "Files of {} that are taken back"),
}
_PACKAGES_TIMEOUT: Final = 1800
_NOT_IDEMPOTENT: Final = frozenset({"shell", "script", "reboot"})


def planned_task(source: TaskSource, after: list[int], barriers: list[int]) -> PlannedTask:
    """The task as it stands in a plan."""
    definition, task, check = source.definition, source.task, source.check
    name, plugin, label = definition.name, definition.plugin, definition.label
    if source.origin in _GENERATED:
        kind, title = _GENERATED[source.origin]
        timeout = _PACKAGES_TIMEOUT if kind == "packages" else 600
        planned = PlannedTask(
            name=name,
            plugin=plugin,
            kind=kind,
            title=title.format(plugin),
            contribution=label,
            timeout=timeout,
            after=after,
            barriers=barriers,
        )
        patched = source.part.patched.get(name) if source.part is not None else None
        return msgspec.structs.replace(planned, **patched.timing) if patched is not None else planned
    if source.origin == "remove.service":
        title = f"Stop {source.service}"
        return PlannedTask(
            name=name, plugin=plugin, kind="service", title=title, contribution=label, after=after, barriers=barriers
        )
    member = task or check
    if member is None:
        raise AssertionError(name)
    kind = "check" if task is None else str(task.__struct_config__.tag).removeprefix("tasks.")
    idempotent = True
    if task is not None:
        guarded = bool(task.unless or task.creates)
        idempotent = task.idempotent if task.idempotent is not None else guarded or kind not in _NOT_IDEMPOTENT
    return PlannedTask(
        name=name,
        plugin=plugin,
        kind=kind,
        title=member.title,
        contribution=label,
        timeout=member.timeout,
        retries=member.retries,
        retry_interval=member.retry_interval,
        idempotent=idempotent,
        concurrency=task.concurrency if task is not None else 0,
        dry_run=isinstance(task, KindTask) and task.dry_run,
        after=after,
        barriers=barriers,
    )


def planned_patches(parts: Sequence[PluginParts], places: Mapping[str, int], origins: Origins) -> list[PlannedPatch]:
    """What plugins changed in each other's tasks, as far as a plan has them.

    Args:
        parts: the plugins, patched.
        places: a task's name -> its index in the plan.
        origins: the plan's, where whoever changed something is noted.
    """
    found = [
        PlannedPatch(
            task=places[name],
            field=field.field,
            value=field.value,
            origins=[origins.add(plugin, contribution, value) for plugin, contribution, value in field.owners],
        )
        for part in parts
        for name, patched in part.patched.items()
        if name in places
        for field in patched.fields
    ]
    return sorted(found, key=lambda patch: (patch.task, patch.field, patch.value))

# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Patches: whether a plugin patches others' tasks and not its own, and triggers that it adds are some."""

from __future__ import annotations

from collections.abc import Iterable

from stoker_sdk.extension_points.task_patches import TaskPatch
from stoker_sdk.extension_points.tasks import check_trigger
from stoker_sdk.model.finding import Finding
from stoker_sdk.plugin import Plugin


def check_patches(plugin: Plugin) -> Iterable[Finding]:
    """What the plugin's patches say of others' tasks; the tasks themselves are seen when it is enabled."""
    for item in plugin.contributions:
        if not isinstance(item, TaskPatch):
            continue
        if item.task.startswith(f"{plugin.name}."):
            yield Finding(
                rule="H004",
                contribution=item.label,
                field="task",
                message=f"{item.task} is the plugin's own task.",
                remedy="Change the task itself.",
            )
        for field in ("run_on", "restart_on"):
            for index, trigger in enumerate(getattr(item.extend, field, ())):
                for finding in check_trigger(trigger, f"extend.{field}[{index}]"):
                    yield Finding(
                        rule=finding.rule,
                        contribution=item.label,
                        field=finding.field,
                        message=finding.message,
                        remedy=finding.remedy,
                    )

# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""More time for the tasks of other plugins, for nodes that are slow."""

from __future__ import annotations

from typing import Final

from stoker_sdk import Plugin
from stoker_sdk.extension_points.task_patches import Replace, TaskPatch

PACKAGES: Final = ("ntp.packages", "web-cluster.packages", "web-cache.packages")
CHECKS: Final = (
    "ntp.check.serves",
    "ntp.check.source-answers",
    "web-cluster.check.page",
    "web-cache.check.passes-pages-on",
)


def _patch(task: str, replace: Replace, reason: str) -> TaskPatch:
    return TaskPatch(task=task, replace=replace, optional=True, reason=reason)


plugin = Plugin(
    name="slow-nodes",
    version="1.0.0",
    title="More time for nodes that are slow",
    description="Gives tasks and checks of other bundled plugins more time and more tries. It brings nothing to nodes.",
    license="Apache-2.0",
    contributions=(
        *(_patch(task, Replace(timeout=3600), "A slow disk or mirror takes long to install packages.") for task in PACKAGES),
        *(
            _patch(task, Replace(retries=60, retry_interval=5.0), "A slow node takes long to answer after a start.")
            for task in CHECKS
        ),
    ),
)

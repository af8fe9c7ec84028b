# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Task patches: what a plugin changes in another plugin's task, field by field."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import msgspec

from stoker_sdk.model.contribution import Contribution, ExtensionPoint
from stoker_sdk.model.dependency import Edge
from stoker_sdk.model.expression import Value
from stoker_sdk.model.finding import Finding


class Replace(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """New values of fields; a field that is not given stays as it is. The target's kind must have the field."""

    run: str | None = None
    """The shell text of a shell task or a check."""
    environment: Mapping[str, Value] = {}
    """New values of environment variables that the task has."""
    parameters: Mapping[str, Value] = {}
    """New values of parameters that a task of a plugin's own kind has."""
    directory: str | None = None
    """The working directory."""
    timeout: int | None = None
    """Seconds for one attempt."""
    retries: int | None = None
    """How often a failed attempt is tried again."""
    retry_interval: float | None = None
    """Seconds between two attempts."""
    unless: str | None = None
    """The guard's shell text; an empty text takes the guard away."""
    creates: str | None = None
    """The guard's path; an empty text takes the guard away."""
    idempotent: bool | None = None
    """Whether it may run twice without harm."""
    concurrency: int | None = None
    """How many nodes run it at the same time; 0 for all."""
    always: bool | None = None
    """Whether it runs in every deployment."""
    state: Literal["started", "stopped"] | None = None
    """What a service shall be after the task."""
    enabled: bool | None = None
    """Whether a service starts with the machine."""
    reload: bool | None = None
    """Whether a service is reloaded instead of restarted."""
    host: str | None = None
    """The host of the port that is waited for."""
    port: int | None = None
    """The port that is waited for."""
    file: str | None = None
    """The path that is waited for."""
    interval: float | None = None
    """Seconds between two looks."""


class Extend(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is added; several plugins may add side by side. Bare names of tasks are those of the plugin that patches."""

    after: Sequence[Edge] = ()
    """Tasks that must be finished before the target."""
    before: Sequence[Edge] = ()
    """Tasks that wait for the target."""
    environment: Mapping[str, Value] = {}
    """Environment variables that the task does not have yet."""
    parameters: Mapping[str, Value] = {}
    """Parameters that a task of a plugin's own kind does not give yet."""
    run_on: Sequence[str] = ()
    """Further triggers of a task that has some: ``file:/etc/x``, ``package:NAME``, ``task:[plugin.]ID``."""
    restart_on: Sequence[str] = ()
    """Further triggers of a service's restart."""


class TaskPatch(Contribution, frozen=True, kw_only=True, tag="task_patches"):
    """A change of one task of another plugin: it is skipped, fields get other values, or something is added to it.

    Expressions see what the plugin that patches sees: its own settings, not those of the plugin whose task it is.
    """

    task: str
    """The task, as ``plugin.id``; a health check is ``plugin.check.id``, generated tasks are ``plugin.packages`` and
    ``plugin.files``."""
    skip: bool = False
    """The task is not run. It keeps its place: what was ordered through it stays ordered, on its node and across nodes."""
    replace: Replace | None = None
    """Other values for fields."""
    extend: Extend | None = None
    """What is added."""
    optional: bool = False
    """Whether the task may be missing, e.g. because its plugin is not enabled; without it a missing task is refused."""
    reason: str = ""
    """Why, in one sentence for whoever reads the plan."""

    @property
    def label(self) -> str:
        """``task_patches PLUGIN.TASK``."""
        return f"task_patches {self.task}"

    def check(self) -> Iterable[Finding]:
        """The target's name, and that something is patched."""
        plugin, _, task = self.task.partition(".")
        if not plugin or not task:
            yield Finding(
                rule="H001",
                field="task",
                message=f"{self.task!r} does not name a task of another plugin.",
                remedy="Write PLUGIN.ID, e.g. ntp.service.chrony.",
            )
        changes = self.replace not in (None, Replace()) or self.extend not in (None, Extend())
        if not self.skip and not changes:
            yield Finding(
                rule="H002",
                field="task",
                message="the patch changes nothing.",
                remedy="Give skip, replace or extend, or take it out.",
            )
        if self.skip and self.replace not in (None, Replace()):
            yield Finding(
                rule="H003",
                field="replace",
                message="a task that is skipped has no use for other values.",
                remedy="Give either skip or replace.",
            )


POINT = ExtensionPoint(name="task_patches", combines="patch", contributions=(TaskPatch,))

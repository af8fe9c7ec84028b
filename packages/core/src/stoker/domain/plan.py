# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Plans: what a deployment would do, complete and immutable, stored by content hash."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from stoker.domain.action import Action
from stoker.domain.secret import Text
from stoker.domain.snapshot import Selection

OPERATOR: Final = "operator override"
"""Stands in an origin instead of a plugin's name: the operator gave the value."""


class Origin(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a value came from: one entry of provenance."""

    plugin: str
    version: str
    contribution: str
    """The contribution's label."""
    settings: list[str] = []
    """Settings that it depends on, dotted paths."""
    level: Literal["", "default", "set", "override"] = ""
    expression: str = ""
    by: str = ""
    """Of an override: who gave it."""


class PlannedContent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The text of a file, shared by all nodes on which it is the same."""

    text: Text
    sha256: str
    """Hash of the bytes; of the text with slots shown as ``str(slot)`` if there are secrets."""
    lines: list[list[int]] = []
    """For each line the indexes of its origins in ``Plan.origins``; empty for files that are copied as they are."""


class PlannedFile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One managed file on one node."""

    node: int
    path: str
    content: int
    """Index into ``Plan.contents``; -1 if the file is removed or restored."""
    status: Literal["create", "change", "drift", "same", "remove", "restore"]
    """``drift``: Stoker wrote it as planned, and somebody changed it since."""
    task: int
    """Index into ``Plan.tasks``: the task that applies it."""
    owner: str = "root"
    group: str = "root"
    mode: str = "0644"
    before: int = -1
    """Index into ``Plan.befores``: the text found on the node, for the diff; -1 if none."""
    note: str = ""
    """E.g. ``mode 0600 -> 0644``, or ``binary``."""


class PlannedPackage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One package on one node."""

    node: int
    name: str
    status: Literal["install", "upgrade", "downgrade", "drift", "same", "remove", "keep"]
    """``upgrade``, ``downgrade``: another version than that of a plugin's own repository is there.
    ``keep``: the plugin goes, but another one needs it or it was there before."""
    task: int
    installed: str = ""
    version: str = ""
    """The version to install; empty: version decided on the node."""
    constraint: str = ""
    origins: list[int] = []


class PlannedTask(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One task with everything that is the same on all nodes."""

    name: str
    """``plugin.id``; anchors have no instances and do not appear."""
    plugin: str
    kind: str
    """packages, files, service, shell, script, upload, reboot, wait_for, custom or check."""
    title: str = ""
    contribution: str = ""
    timeout: int = 600
    retries: int = 0
    retry_interval: float = 5.0
    idempotent: bool = True
    concurrency: int = 0
    dry_run: bool = False
    """Whether its program can tell beforehand what it would change."""
    after: list[int] = []
    """Same node: indexes of tasks that come first (all smaller than this one's own)."""
    barriers: list[int] = []
    """Across nodes: indexes into ``Plan.barriers`` that must be open."""


class Barrier(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Opens when a task is finished on all (or any) nodes of a group: one node of the graph instead of N x N edges."""

    task: int
    group: int
    """Index into ``Plan.groups``: only nodes that have an instance of the task count."""
    wait: Literal["all", "any"] = "all"
    holds: int = -1
    """Index into ``Plan.groups``: the nodes on which the waiting tasks are held back; -1 for all of them."""


class PlannedPatch(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A field of a task that other plugins than its own changed."""

    task: int
    """Index into ``Plan.tasks``."""
    field: str
    """``skip``, a field's name, ``environment.NAME``, ``after`` ..."""
    value: str
    """The new value in words; of an expression its text."""
    origins: list[int]
    """Who wants it so: indexes into ``Plan.origins``."""


class PlannedInstance(msgspec.Struct, frozen=True, array_like=True):
    """One task on one node."""

    task: int
    node: int
    action: int
    """Index into ``Plan.actions``."""
    inputs: str
    """Hash of everything that the result depends on."""
    run: str = ""
    """Why it runs: ``new``, ``inputs``, ``drift``, ``triggered``, ``always``, ``remove``, ``check``.

    Empty: skipped, nothing changed."""


class LeftOut(msgspec.Struct, frozen=True, array_like=True):
    """A task that would run on a node, if a partial plan did not leave it out."""

    task: int
    node: int
    reason: str
    """As in ``PlannedInstance.run``."""
    owed: bool = False
    """What triggers it is done by this very plan: the next plan has to remember that it is still to come."""


class PlannedNode(msgspec.Struct, frozen=True, omit_defaults=True):
    """A node in the plan."""

    id: str
    name: str
    roles: list[str]
    removing: bool = False
    left_out: str = ""
    """Why the node could not be looked at: it has no instances in this plan and counts as failed."""
    outside: bool = False
    """The plan is about a part to which this node does not belong: nothing runs there."""


class PlannedComputed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the code of a plugin computed for the plan, before its snapshot was closed."""

    plugin: str
    version: str
    hook: str
    digest: str
    contributions: list[str]
    """Their labels."""
    missing: str = ""
    """Why it gave nothing."""


class Plan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The whole of what a deployment would do.

    Tasks are in an order that fits every dependency. An instance may start when on its node all instances of
    ``task.after`` are finished or skipped and all ``task.barriers`` are open.
    """

    environment_id: str
    environment_name: str
    nodes: list[PlannedNode]
    tasks: list[PlannedTask]
    instances: list[PlannedInstance]
    """Ordered by node, then task."""
    actions: list[Action]
    contents: list[PlannedContent]
    befores: list[str]
    files: list[PlannedFile]
    packages: list[PlannedPackage]
    origins: list[Origin]
    barriers: list[Barrier] = []
    groups: list[list[int]] = []
    """Groups of nodes, e.g. those of a role: indexes into ``nodes``."""
    patches: list[PlannedPatch] = []
    """What plugins changed in each other's tasks, ordered by task and field."""
    tolerance: dict[str, int | str] = {}
    """Role -> how many of its nodes may fail."""
    primaries: dict[str, int] = {}
    """Selector (``primary(ROLE)``, ``once``) -> index of the one node that it means."""
    warnings: list[str] = []
    remove_plugins: list[str] = []
    """Plugins that are gone from the environment when this plan is carried out."""
    selection: Selection | None = None
    """The part that the plan is about; ``None`` for the whole."""
    left_out: list[LeftOut] = []
    """What a plan of the whole would run besides, ordered by node, then task."""
    computed: list[PlannedComputed] = []
    """What plugins' ``before_plan`` hooks gave."""
    keyed_hashes: dict[str, str] = {}
    """For contents with secrets: index (as text) -> HMAC of the final bytes; filled in outside planning."""
    pretended: list[int] = []
    """Indexes of instances that a simulated node would only pretend to run; filled in outside planning."""
    snapshot: str = ""
    """Content hash of the snapshot."""
    format: Literal[1] = 1

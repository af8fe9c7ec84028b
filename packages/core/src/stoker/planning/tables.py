# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The plan's tables while they grow, and what is known of one node meanwhile."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec
from stoker_sdk.model.finding import Finding

from stoker.domain.plan import LeftOut, PlannedFile, PlannedInstance, PlannedPackage
from stoker.domain.snapshot import NodeInput
from stoker.planning.actions import Actions
from stoker.planning.files import Contents
from stoker.planning.parts import Origins
from stoker.planning.selection import Chosen

CHANGED: Final = frozenset({"create", "change", "drift", "install", "upgrade", "downgrade", "restore", "remove"})


class Tables(msgspec.Struct, kw_only=True):
    """What grows while instances are made: the plan's tables."""

    contents: Contents
    actions: Actions
    origins: Origins
    files: list[PlannedFile] = []
    packages: list[PlannedPackage] = []
    instances: list[PlannedInstance] = []
    befores: list[str] = []
    before_index: dict[str, int] = {}
    findings: list[Finding] = []
    left_out: list[LeftOut] = []

    def before(self, text: str | None) -> int:
        """The index of a text found on a node; -1 for none."""
        if text is None:
            return -1
        if text not in self.before_index:
            self.before_index[text] = len(self.befores)
            self.befores.append(text)
        return self.before_index[text]

    def leave_out(self, items: Iterable[LeftOut], files: int, packages: int) -> None:
        """Keep what is left out on a node, and take away what it would have changed (the rows from these numbers on)."""
        left = {item.task: item for item in items}
        self.left_out += left.values()
        self.files[files:] = [item for item in self.files[files:] if item.task not in left or item.status == "same"]
        self.packages[packages:] = [
            item for item in self.packages[packages:] if item.task not in left or item.status in ("same", "keep")
        ]

    def fault(self, finding: Finding, node: str) -> None:
        """Keep a fault once, with the first node that has it; the plan is refused when all are known."""
        known = ((item.rule, item.plugin, item.contribution, item.field, item.file) for item in self.findings)
        if (finding.rule, finding.plugin, finding.contribution, finding.field, finding.file) not in known:
            self.findings.append(msgspec.structs.replace(finding, message=f"on node {node}: {finding.message}"))


class NodeState:
    """What is known of one node while its instances are made."""

    __slots__ = (
        "applied",
        "chosen",
        "index",
        "inputs",
        "last_of_unit",
        "left",
        "left_packages",
        "left_paths",
        "node",
        "packages",
        "paths",
        "plugins_running",
        "running",
        "sums",
        "units",
    )

    def __init__(self, index: int, node: NodeInput, last_of_unit: Mapping[str, int], chosen: Chosen | None = None) -> None:
        self.index = index
        self.node = node
        self.applied = node.applied.tasks
        self.paths: dict[str, str] = {}
        """Path -> status, of all files that any task brings or takes away."""
        self.sums: dict[str, str] = {}
        self.packages: dict[str, str] = {}
        """Name -> status, of all packages that any task brings or takes away."""
        self.last_of_unit = last_of_unit
        """Unit -> the last task that wants it in a state."""
        self.units: set[str] = set()
        """Services that some task wants in a state."""
        self.running: set[str] = set()
        self.inputs: dict[str, str] = {}
        self.plugins_running: set[str] = set()
        self.chosen = chosen
        """The part that is planned; ``None`` for the whole."""
        self.left: dict[str, LeftOut] = {}
        """By name, tasks outside of that part that would run here."""
        self.left_paths: set[str] = set()
        """Paths that these would change."""
        self.left_packages: set[str] = set()

    def leaves_out(self, task: str) -> bool:
        """Whether a task on this node is outside of the part that is planned."""
        return self.chosen is not None and not (self.chosen.task(task) and self.chosen.node(self.node))

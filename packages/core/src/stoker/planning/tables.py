# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The plan's tables while they grow, and what is known of one node meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
from stoker_sdk.model.finding import Finding

from stoker.domain.plan import PlannedFile, PlannedInstance, PlannedPackage
from stoker.domain.snapshot import NodeInput
from stoker.planning.actions import Actions
from stoker.planning.files import Contents
from stoker.planning.parts import Origins

CHANGED: Final = frozenset({"create", "change", "drift", "install", "restore", "remove"})


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

    def before(self, text: str | None) -> int:
        """The index of a text found on a node; -1 for none."""
        if text is None:
            return -1
        if text not in self.before_index:
            self.before_index[text] = len(self.befores)
            self.befores.append(text)
        return self.before_index[text]

    def fault(self, finding: Finding, node: str) -> None:
        """Keep a fault once, with the first node that has it; the plan is refused when all are known."""
        known = ((item.rule, item.plugin, item.contribution, item.field, item.file) for item in self.findings)
        if (finding.rule, finding.plugin, finding.contribution, finding.field, finding.file) not in known:
            self.findings.append(msgspec.structs.replace(finding, message=f"on node {node}: {finding.message}"))


class NodeState:
    """What is known of one node while its instances are made."""

    __slots__ = (
        "applied",
        "index",
        "inputs",
        "last_of_unit",
        "node",
        "packages",
        "paths",
        "plugins_running",
        "running",
        "sums",
        "units",
    )

    def __init__(self, index: int, node: NodeInput, last_of_unit: Mapping[str, int]) -> None:
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

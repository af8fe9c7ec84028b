# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The parts of a snapshot: each plugin's contributions by kind, and nodes grouped into classes that are planned alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec
from stoker_sdk.errors import InvalidPluginError
from stoker_sdk.extension_points.config_files import ConfigFile, ListItem, Option, WholeFile
from stoker_sdk.extension_points.health_checks import HealthCheck
from stoker_sdk.extension_points.node_packages import NodePackages
from stoker_sdk.extension_points.roles import Role
from stoker_sdk.extension_points.settings import Settings
from stoker_sdk.extension_points.tasks import Task
from stoker_sdk.manifest import read_contribution
from stoker_sdk.model.contribution import Contribution
from stoker_sdk.model.finding import Finding

from stoker.domain.plan import Origin
from stoker.domain.snapshot import NodeInput, PluginInput, Snapshot
from stoker.planning.secret_places import SecretPlaces
from stoker.planning.values import Nodes, Scope, settings_of, sources

FileEntry = ConfigFile | Option | ListItem | WholeFile


class PluginParts(msgspec.Struct, kw_only=True):
    """One plugin's contributions by kind."""

    plugin: PluginInput
    scope: Scope
    roles: list[Role] = []
    packages: list[NodePackages] = []
    files: list[FileEntry] = []
    tasks: list[Task] = []
    checks: list[HealthCheck] = []
    contributions: list[Contribution] = []
    """All of them, in the plugin's order."""
    settings_schema: Mapping[str, object] = {}


class NodeClass(msgspec.Struct, frozen=True, kw_only=True):
    """Nodes with the same roles and operating-system family: what is selected for one is selected for all."""

    roles: tuple[str, ...]
    os_family: str
    nodes: list[int]
    removing: bool = False
    """Nodes that are being taken out: nothing is selected for them any more."""

    def has(self, selector: Sequence[str]) -> bool:
        """Whether a selector of roles means these nodes."""
        return not self.removing and any(role == "*" or role in self.roles for role in selector)


class Origins:
    """Origins with their indexes; equal ones are kept once."""

    def __init__(self) -> None:
        """Start empty."""
        self.items: list[Origin] = []
        self._index: dict[tuple[str, str, str], int] = {}

    def add(self, plugin: PluginInput, contribution: Contribution, value: object = None, level: str = "") -> int:
        """The index of a contribution's origin."""
        key = (plugin.name, contribution.label, repr(value))
        if key not in self._index:
            self._index[key] = len(self.items)
            texts = sources(value)
            self.items.append(
                Origin(
                    plugin=plugin.name,
                    version=plugin.version,
                    contribution=contribution.label,
                    settings=settings_of(value, contribution.when),
                    level=level,  # type: ignore[arg-type]
                    expression=texts[0] if texts else "",
                )
            )
        return self._index[key]


def read_plugins(snapshot: Snapshot, secrets: SecretPlaces) -> tuple[list[PluginParts], list[Finding]]:
    """Every plugin's contributions, ordered by the plugin's name; faults as findings."""
    findings: list[Finding] = []
    nodes = Nodes(snapshot.nodes)
    environment = {"id": snapshot.environment_id, "name": snapshot.environment_name}
    read: list[tuple[PluginInput, list[Contribution]]] = []
    for plugin in sorted(snapshot.plugins, key=lambda item: item.name):
        contributions: list[Contribution] = []
        for document in plugin.contributions:
            try:
                contributions.append(read_contribution(document))
            except InvalidPluginError as error:
                findings.extend(msgspec.structs.replace(finding, plugin=plugin.name) for finding in error.findings)
        read.append((plugin, contributions))
    roles = [item.name for _, contributions in read for item in contributions if isinstance(item, Role)]
    parts = [_sort(plugin, contributions, Scope(plugin, nodes, environment, secrets, roles)) for plugin, contributions in read]
    return parts, findings


def _sort(plugin: PluginInput, contributions: Iterable[Contribution], scope: Scope) -> PluginParts:
    parts = PluginParts(plugin=plugin, scope=scope, contributions=list(contributions))
    for item in parts.contributions:
        if isinstance(item, Role):
            parts.roles.append(item)
        elif isinstance(item, NodePackages):
            parts.packages.append(item)
        elif isinstance(item, ConfigFile | Option | ListItem | WholeFile):
            parts.files.append(item)
        elif isinstance(item, Task):
            parts.tasks.append(item)
        elif isinstance(item, HealthCheck):
            parts.checks.append(item)
        elif isinstance(item, Settings):
            parts.settings_schema = item.json_schema
    return parts


def classify(nodes: Sequence[NodeInput]) -> list[NodeClass]:
    """Group nodes that were looked at; in the order of their roles, so that the order depends on nothing but the members."""
    groups: dict[tuple[bool, tuple[str, ...], str], list[int]] = {}
    for index, node in enumerate(nodes):
        if node.left_out:
            continue
        groups.setdefault((node.removing, tuple(sorted(node.roles)), node.facts.os_family), []).append(index)
    return [
        NodeClass(roles=roles, os_family=family, nodes=members, removing=removing)
        for (removing, roles, family), members in sorted(groups.items())
    ]

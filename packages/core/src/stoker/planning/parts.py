# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The parts of a snapshot: each plugin's contributions by kind, and nodes grouped into classes that are planned alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec
from stoker_sdk.errors import InvalidPluginError
from stoker_sdk.extension_points.config_files import ConfigFile, ListItem, Option, WholeFile
from stoker_sdk.extension_points.health_checks import HealthCheck
from stoker_sdk.extension_points.node_packages import NodePackages, Repository
from stoker_sdk.extension_points.roles import Role
from stoker_sdk.extension_points.settings import Settings
from stoker_sdk.extension_points.tasks import Task
from stoker_sdk.manifest import read_contribution
from stoker_sdk.model.contribution import Contribution
from stoker_sdk.model.finding import Finding
from stoker_sdk.model.selector import primary_of

from stoker.domain.plan import Origin
from stoker.domain.snapshot import NodeInput, PluginInput, Snapshot
from stoker.planning.computed import read_computed
from stoker.planning.patched import Patched
from stoker.planning.secret_places import SecretPlaces
from stoker.planning.selectors import Membership, selectors_of
from stoker.planning.services import Services
from stoker.planning.uses import names_primary
from stoker.planning.values import Nodes, Scope, settings_of, sources

FileEntry = ConfigFile | Option | ListItem | WholeFile


class PluginParts(msgspec.Struct, kw_only=True):
    """One plugin's contributions by kind."""

    plugin: PluginInput
    scope: Scope
    roles: list[Role] = []
    packages: list[NodePackages] = []
    repositories: list[Repository] = []
    files: list[FileEntry] = []
    """With those of services; entries that name a service have its path and roles."""
    tasks: list[Task] = []
    checks: list[HealthCheck] = []
    contributions: list[Contribution] = []
    """All of them as the plugin wrote them, in its order."""
    settings_schema: Mapping[str, object] = {}
    patched: Mapping[str, Patched] = {}
    """Tasks of this plugin that others patched, by their whole names."""
    skipped_tasks: list[Task] = []
    """Tasks that others skip: they keep their places and do nothing."""
    skipped_checks: list[HealthCheck] = []


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was read of a snapshot."""

    plugins: list[PluginParts]
    """Ordered by name."""
    membership: Membership
    services: dict[str, Sequence[str]]
    """For each service the selectors of its nodes."""
    findings: list[Finding]


class NodeClass(msgspec.Struct, frozen=True, kw_only=True):
    """Nodes that selectors mean alike, of one operating-system family: what is selected for one is selected for all."""

    roles: tuple[str, ...]
    """Everything that selectors say of them: roles, and ``primary(ROLE)`` and the like."""
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


def read_plugins(snapshot: Snapshot, secrets: SecretPlaces, *, everyone: bool = False) -> Parts:
    """Every plugin's contributions, ordered by the plugin's name; faults as findings.

    Args:
        snapshot: nodes and plugins.
        secrets: how secrets are marked.
        everyone: whether ``primary(ROLE)`` and ``once`` mean every node that they could choose.
    """
    findings: list[Finding] = []
    read: list[tuple[PluginInput, list[Contribution]]] = []
    for plugin in sorted(snapshot.plugins, key=lambda item: item.name):
        contributions: list[Contribution] = []
        for document in plugin.contributions:
            try:
                contributions.append(read_contribution(document))
            except InvalidPluginError as error:
                findings.extend(msgspec.structs.replace(finding, plugin=plugin.name) for finding in error.findings)
        read.append((plugin, [*contributions, *read_computed(plugin)]))
    services = Services(read)
    roles = [item.name for _, contributions in read for item in contributions if isinstance(item, Role)]
    used = {selector for _, contributions in read for item in contributions for selector in selectors_of(item)}
    used |= {selector for override in snapshot.overrides for selector in override.roles}
    if any(names_primary(plugin, contributions) for plugin, contributions in read):
        used |= {primary_of(role) for role in roles}
    membership = Membership(snapshot.nodes, used, services.selectors, snapshot.primaries, everyone=everyone)
    nodes = Nodes(snapshot.nodes, membership)
    environment = {"id": snapshot.environment_id, "name": snapshot.environment_name}
    parts = [
        _sort(
            plugin,
            contributions,
            services.expand(plugin, contributions),
            Scope(plugin, nodes, environment, secrets, roles),
        )
        for plugin, contributions in read
    ]
    return Parts(plugins=parts, membership=membership, services=services.selectors, findings=[*findings, *services.findings])


def _sort(
    plugin: PluginInput, contributions: Sequence[Contribution], expanded: Iterable[Contribution], scope: Scope
) -> PluginParts:
    parts = PluginParts(plugin=plugin, scope=scope, contributions=list(contributions))
    for item in expanded:
        if isinstance(item, Role):
            parts.roles.append(item)
        elif isinstance(item, NodePackages):
            parts.packages.append(item)
        elif isinstance(item, Repository):
            parts.repositories.append(item)
        elif isinstance(item, ConfigFile | Option | ListItem | WholeFile):
            parts.files.append(item)
        elif isinstance(item, Task):
            parts.tasks.append(item)
        elif isinstance(item, HealthCheck):
            parts.checks.append(item)
        elif isinstance(item, Settings):
            parts.settings_schema = item.json_schema
    return parts


def classify(nodes: Sequence[NodeInput], membership: Membership) -> list[NodeClass]:
    """Group nodes that were looked at; in the order of their roles, so that the order depends on nothing but the members."""
    groups: dict[tuple[bool, frozenset[str], str], list[int]] = {}
    for index, node in enumerate(nodes):
        if node.left_out:
            continue
        groups.setdefault((node.removing, membership.of[index], node.facts.os_family), []).append(index)
    return [
        NodeClass(roles=roles, os_family=family, nodes=members, removing=removing)
        for (removing, roles, family), members in sorted(
            ((removing, tuple(sorted(roles)), family), members) for (removing, roles, family), members in groups.items()
        )
    ]

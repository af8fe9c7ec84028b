# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Packages: what nodes need, with constraints of all plugins together, and how that compares with what is installed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version
from stoker_sdk.extension_points.node_packages import NodePackages
from stoker_sdk.model.finding import Finding
from stoker_sdk.model.naming import check_constraints

from stoker.domain import versions
from stoker.domain.snapshot import NodeInput
from stoker.planning.parts import NodeClass, Origins, PluginParts
from stoker.planning.values import ValueFault

Status = Literal["install", "upgrade", "downgrade", "drift", "same"]


class NeededPackage(msgspec.Struct, kw_only=True):
    """A package that a class of nodes needs."""

    name: str
    constraint: str
    plugins: list[str]
    origins: list[int]


class _Item(msgspec.Struct, frozen=True):
    part: PluginParts
    contribution: NodePackages


class PackageProgram:
    """Says for each node of a class which packages it needs, and which plugin's task installs them."""

    def __init__(self, parts: Sequence[PluginParts], group: NodeClass, origins: Origins) -> None:
        """Select what fits the class."""
        self._origins = origins
        self._items = [
            _Item(part, item)
            for part in parts
            for item in part.packages
            if group.has(item.roles) and (not group.os_family or item.os_family == group.os_family)
        ]
        self._memo: dict[tuple[bool, ...], list[NeededPackage]] = {}

    def needed(self, node: int) -> list[NeededPackage]:
        """The node's packages, ordered by name.

        Raises:
            ValueFault: a condition cannot be decided, or constraints exclude each other.
        """
        key = []
        for item in self._items:
            if item.contribution.when is None:
                key.append(True)
            else:
                item.part.scope.enter(node)
                key.append(item.part.scope.holds(item.contribution.when, item.contribution.label))
        found = self._memo.get(tuple(key))
        if found is None:
            found = self._memo[tuple(key)] = self._collect([item for item, holds in zip(self._items, key, strict=True) if holds])
        return found

    def _collect(self, items: list[_Item]) -> list[NeededPackage]:
        for item in items:
            for finding in item.contribution.check():
                label, plugin = item.contribution.label, item.part.plugin.name
                raise ValueFault(msgspec.structs.replace(finding, plugin=plugin, contribution=label))
        for finding in contradictions((item.part, item.contribution) for item in items):
            raise ValueFault(finding)
        packages: dict[str, NeededPackage] = {}
        for item in items:
            origin = self._origins.add(item.part.plugin, item.contribution)
            for package in item.contribution.packages:
                name, version = (package, "") if isinstance(package, str) else (package.name, package.version)
                known = packages.get(name)
                if known is None:
                    packages[name] = NeededPackage(
                        name=name, constraint=version, plugins=[item.part.plugin.name], origins=[origin]
                    )
                    continue
                known.constraint = join_constraints(known.constraint, version)
                if item.part.plugin.name not in known.plugins:
                    known.plugins.append(item.part.plugin.name)
                if origin not in known.origins:
                    known.origins.append(origin)
        return [packages[name] for name in sorted(packages)]


def join_constraints(one: str, other: str) -> str:
    """Both constraints together, each part once, in a fixed order."""
    return ",".join(sorted({part.strip() for text in (one, other) for part in text.split(",") if part.strip()}))


def package_status(node: NodeInput, name: str, constraint: str = "", version: str = "") -> Status:
    """How a needed package compares with the node; a version that does not fit is as good as none.

    Args:
        node: the node.
        name: the package's name.
        constraint: what its version must fit.
        version: the exact version that is planned, if it is known.
    """
    installed = node.observed.packages.get(name)
    if version and installed is not None:
        if installed == version:
            return "same"
        if name in node.applied.packages and node.applied.packages[name].version == version:
            return "drift"
        return "upgrade" if versions.compare_whole(version, installed, node.facts.os_family) > 0 else "downgrade"
    if installed is not None and (not constraint or versions.fits(installed, constraint, node.facts.os_family)):
        return "same"
    return "drift" if name in node.applied.packages else "install"


def contradictions(members: Iterable[tuple[PluginParts, NodePackages]]) -> list[Finding]:
    """Packages for which no version keeps the constraints of all plugins together; what is no constraint is told elsewhere."""
    wanted: dict[str, list[tuple[PluginParts, NodePackages, str]]] = {}
    findings: list[Finding] = []
    for part, item in members:
        for package in item.packages:
            if isinstance(package, str) or not package.version:
                continue
            if not any(check_constraints(package.version, "")):
                wanted.setdefault(package.name, []).append((part, item, package.version))
    for name, owners in sorted(wanted.items()):
        part, item, _ = owners[0]
        reason = unsatisfiable(",".join(version for _, _, version in owners))
        if reason:
            names = " and ".join(f"{part.plugin.name} ({version})" for part, _, version in owners)
            findings.append(
                Finding(
                    rule="K001",
                    plugin=part.plugin.name,
                    contribution=item.label,
                    field="packages",
                    message=f"no version of {name} fits: {names}: {reason}.",
                    remedy="Disable one of the plugins or use versions of them that agree.",
                )
            )
    return findings


def unsatisfiable(constraint: str) -> str:
    """Why no version can fit, or an empty text."""
    written = [f"{sign if sign not in ('', '=') else '=='}{version}" for sign, version in versions.read_constraints(constraint)]
    try:
        specifiers = SpecifierSet(",".join(written))
    except InvalidSpecifier:
        return ""  # versions of the distribution's own kind: their order is known, what lies between them is not
    candidates: set[Version] = set()
    for specifier in specifiers:
        try:
            version = Version(specifier.version.removesuffix(".*"))
        except InvalidVersion:
            return ""
        # Bounds, and points just beside them: if any version fits, one of these does.
        candidates |= {version, Version(f"{version}.0.1"), Version(f"{version.major}.{version.minor + 1}"), Version("0")}
        candidates.add(Version(f"{max(version.major - 1, 0)}.999999"))
        candidates.add(Version(f"{version.major + 1}"))
    if any(specifiers.contains(candidate, prereleases=True) for candidate in candidates):
        return ""
    return f"{specifiers} contradict each other"

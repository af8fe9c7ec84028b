# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Repositories in plans: which nodes get the repository of a plugin, by which files, and which versions come from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec
from stoker_sdk.extension_points.node_packages import Repository, RepositoryPackage
from stoker_sdk.extension_points.tasks import Packages
from stoker_sdk.model.finding import Finding

from stoker.domain import versions
from stoker.domain.repository import ORIGIN, RepositoryAccess, label_of, source_of
from stoker.domain.snapshot import NodeInput
from stoker.planning.files import FileAttributes, FileProgram
from stoker.planning.packages import NeededPackage
from stoker.planning.parts import NodeClass, PluginParts
from stoker.planning.tables import Tables
from stoker.planning.values import ValueFault

_READABLE: Final = FileAttributes("root", "root", "0644")
_NEVER: Final = -1
"""The priority of everything that a controller signs: apt installs none of it."""
_CHOSEN: Final = 990
"""The priority of what the manifest names: before a distribution's own packages."""
_DEBIAN_NAMES: Final = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "i386": "i386",
    "i686": "i386",
    "armv7l": "armhf",
    "ppc64le": "ppc64el",
}
_ANY: Final = frozenset({"all", "noarch"})


class Pick(msgspec.Struct, frozen=True):
    """Where a package comes from."""

    version: str
    plugin: str


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """What the repositories on one node give."""

    plugins: tuple[str, ...] = ()
    """Whose repositories the node gets."""
    picks: Mapping[str, Pick] = {}
    way: str = ""

    def version(self, name: str) -> str:
        """The exact version of a package; empty: decided on the node."""
        pick = self.picks.get(name)
        return pick.version if pick is not None else ""

    def sources(self, plugin: str, names: Sequence[str]) -> list[str]:
        """The sources that a plugin's task uses to install some packages: its own, and those that the packages come from."""
        used = {self.picks[name].plugin for name in names if name in self.picks} | ({plugin} & set(self.plugins))
        return [source_of(name) for name in sorted(used)]


class RepositoryProgram:
    """Says for each node of a class which repositories it gets, and which versions come from them."""

    def __init__(self, parts: Sequence[PluginParts], group: NodeClass, access: RepositoryAccess | None, tables: Tables) -> None:
        """Select what fits the class."""
        self._access = access
        self._tables = tables
        self._parts = {
            part.plugin.name: (part, repository) for part in parts for repository in _fitting(part, group) if access is not None
        }
        self._always = {name for name, (part, _) in self._parts.items() if _by_task(part, group)}
        self._memo: dict[tuple[object, ...], Offer] = {}
        self._files: dict[str, list[tuple[FileProgram, int]]] = {}

    def offer(self, node: NodeInput, needed: Sequence[NeededPackage]) -> Offer:
        """What the node's repositories give of what it needs.

        Raises:
            ValueFault: no version of a package in them keeps all constraints.
        """
        if not self._parts:
            return Offer()
        names = self._always | {plugin for item in needed for plugin in item.plugins if plugin in self._parts}
        plugins = tuple(sorted(names))
        key = (node.facts.architecture, plugins, *((item.name, item.constraint) for item in needed))
        found = self._memo.get(key)
        if found is None:
            way = self._access.way if self._access is not None else ""
            picks = {item.name: pick for item in needed if (pick := self._pick(item, plugins, node)) is not None}
            found = self._memo[key] = Offer(plugins=plugins, picks=picks, way=way)
        return found

    def _pick(self, needed: NeededPackage, plugins: Sequence[str], node: NodeInput) -> Pick | None:
        """The newest version that fits; of equal ones the first plugin's, for their bytes are equal too."""
        family = node.facts.os_family
        there = [
            (package.version, plugin)
            for plugin in plugins
            for package in self._parts[plugin][1].packages
            if package.name == needed.name and _runs_on(package, node.facts.architecture)
        ]
        best: Pick | None = None
        for version, plugin in there:
            if versions.fits(version, needed.constraint, family) and (
                best is None or versions.compare_whole(version, best.version, family) > 0
            ):
                best = Pick(version, plugin)
        if there and best is None:
            raise ValueFault(self._none_fits(needed, there))
        return best

    def _none_fits(self, needed: NeededPackage, there: Sequence[tuple[str, str]]) -> Finding:
        shown = " and ".join(f"{version} of plugin {plugin}" for version, plugin in there)
        return Finding(
            rule="K002",
            plugin=there[0][1],
            contribution=self._parts[there[0][1]][1].label,
            field="packages",
            message=f"plugins want {needed.name} {needed.constraint}, and the repositories here have {shown}.",
            remedy="Disable one of the plugins, or use versions of them that agree.",
        )

    def files(self, plugin: str) -> list[tuple[FileProgram, int]]:
        """The files that make a plugin's repository known to a node, with their contents."""
        if plugin not in self._files:
            part, repository = self._parts[plugin]
            assert self._access is not None
            origin = self._tables.origins.add(part.plugin, repository)
            made = debian_files if repository.os_family == "debian" else redhat_files
            texts = made(plugin, part.plugin.version, repository, self._access)
            self._files[plugin] = [
                (
                    FileProgram(path, _READABLE, [plugin]),
                    self._tables.contents.add(text, [[origin]] * text.count("\n")),
                )
                for path, text in sorted(texts.items())
            ]
        return self._files[plugin]


def _fitting(part: PluginParts, group: NodeClass) -> list[Repository]:
    """The plugin's repository for a class of nodes, if any of its packages may come to them."""
    wanted = _by_task(part, group) or any(group.has(item.roles) and item.os_family == group.os_family for item in part.packages)
    return [item for item in part.repositories if item.os_family == group.os_family] if wanted else []


def _by_task(part: PluginParts, group: NodeClass) -> bool:
    return any(
        isinstance(task, Packages) and task.on == "deploy" and task.state == "present" and group.has(task.roles)
        for task in part.tasks
    )


def _runs_on(package: RepositoryPackage, machine: str) -> bool:
    return package.architecture in _ANY or package.architecture in (machine, _DEBIAN_NAMES.get(machine, machine))


def repository_paths(part: PluginParts, group: NodeClass) -> list[str]:
    """The files of a plugin's repository on a class of nodes."""
    name = part.plugin.name
    return [
        path
        for item in _fitting(part, group)
        for path in (_debian_paths(name) if item.os_family == "debian" else _redhat_paths(name))
    ]


def _debian_paths(plugin: str) -> tuple[str, str, str]:
    source = source_of(plugin)
    return (
        f"/etc/apt/keyrings/{source}.asc",
        f"/etc/apt/preferences.d/{source}",
        f"/etc/apt/sources.list.d/{source}.sources",
    )


def _redhat_paths(plugin: str) -> tuple[str, str]:
    source = source_of(plugin)
    return f"/etc/pki/rpm-gpg/RPM-GPG-KEY-{source}", f"/etc/yum.repos.d/{source}.repo"


def _names(repository: Repository) -> list[str]:
    return sorted({package.name for package in repository.packages})


def debian_files(plugin: str, version: str, repository: Repository, access: RepositoryAccess) -> dict[str, str]:
    """Key, preferences and source for apt."""
    key, preferences, source = _debian_paths(plugin)
    enabled = "no" if access.way else "yes"
    note = "# Stoker turns it on while it deploys: it comes through the connection that is held then.\n" if access.way else ""
    return {
        key: access.key,
        preferences: (
            f"Package: *\nPin: release o={ORIGIN}\nPin-Priority: {_NEVER}\n\n"
            f"Package: {' '.join(_names(repository))}\nPin: release o={ORIGIN},l={label_of(plugin, version)}\n"
            f"Pin-Priority: {_CHOSEN}\n"
        ),
        source: (
            f"{note}Types: deb\nURIs: {access.address(plugin, version, 'debian')}\nSuites: ./\nSigned-By: {key}\n"
            f"Enabled: {enabled}\n"
        ),
    }


def redhat_files(plugin: str, version: str, repository: Repository, access: RepositoryAccess) -> dict[str, str]:
    """Key and source for dnf; packages and metadata are signed, and it takes only those that the manifest names."""
    key, source = _redhat_paths(plugin)
    return {
        key: access.key,
        source: (
            f"[{source_of(plugin)}]\nname=Packages of the Stoker plugin {plugin} {version}\n"
            f"baseurl={access.address(plugin, version, 'redhat')}\nenabled={0 if access.way else 1}\n"
            f"gpgcheck=1\nrepo_gpgcheck=1\ngpgkey=file://{key}\nincludepkgs={' '.join(_names(repository))}\n"
        ),
    }


def differing_packages(parts: Sequence[PluginParts]) -> Iterator[Finding]:
    """Packages that stand in two repositories with one version and different bytes: a node could not tell them apart."""
    known: dict[tuple[str, str, str, str], tuple[PluginParts, RepositoryPackage]] = {}
    for part in parts:
        for repository in part.repositories:
            for package in repository.packages:
                key = (repository.os_family, package.name, package.version, package.architecture)
                first, other = known.setdefault(key, (part, package))
                if other.sha256 != package.sha256:
                    yield Finding(
                        rule="K003",
                        plugin=part.plugin.name,
                        contribution=repository.label,
                        field="packages",
                        message=f"{package.name} {package.version} is another package than that of {first.plugin.name}.",
                        remedy=f"Disable {first.plugin.name} or {part.plugin.name}, or give one package another version.",
                    )

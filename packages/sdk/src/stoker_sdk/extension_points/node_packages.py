# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Node packages: operating-system packages to install on nodes, and repositories of a plugin's own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath
from typing import Final

import msgspec

from stoker_sdk.model.contribution import Contribution, ExtensionPoint
from stoker_sdk.model.finding import Finding
from stoker_sdk.model.naming import check_package, check_selector
from stoker_sdk.model.package import Package, check_packages

__all__ = ["NodePackages", "Package", "Repository", "RepositoryPackage"]

SUFFIXES: Final = {"debian": ".deb", "redhat": ".rpm"}
"""How the package files of each family end."""
MAX_REPOSITORY: Final = 2000
"""Packages that one repository may have."""
_FILE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~:@-]{0,200}")
_VERSION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+~^_:-]{0,200}")
_ARCHITECTURE: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,30}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


class NodePackages(Contribution, frozen=True, kw_only=True, tag="node_packages"):
    """Operating-system packages that nodes of some roles need; they form the plugin's task ``packages``."""

    roles: Sequence[str]
    """The nodes that get the packages: roles, ``*`` for every node, ``primary(ROLE)``, ``once`` or ``service(NAME)``."""
    packages: Sequence[str | Package]
    """Names, or names with version constraints."""
    os_family: str = "debian"
    """The family of operating systems that the names belong to (``debian`` or ``redhat``); other nodes are left alone."""

    @property
    def label(self) -> str:
        """``node_packages`` with the first names."""
        names = [p if isinstance(p, str) else p.name for p in self.packages]
        return f"node_packages {', '.join(names[:3])}"

    def check(self) -> Iterable[Finding]:
        """Selector, names and constraints."""
        yield from check_selector(self.roles)
        yield from check_packages(self.packages)


class RepositoryPackage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One package file of a repository; ``stoker-plugin build`` writes these."""

    name: str
    """The package's name."""
    version: str
    """Its whole version, as the package manager of its family writes it."""
    architecture: str
    """As the package manager writes it, e.g. ``amd64`` or ``all``, ``x86_64`` or ``noarch``."""
    file: str
    """The file's name in the repository's folder."""
    sha256: str
    """The hash of its bytes."""


class Repository(Contribution, frozen=True, kw_only=True, tag="node_packages.repository"):
    """A folder of the plugin with package files, from which nodes on which the plugin has packages may get those."""

    path: str
    """The folder, relative to the plugin's own; its ``.deb`` or ``.rpm`` files are the repository, folders in it are not."""
    os_family: str = "debian"
    """The family of operating systems that the packages are for (``debian`` or ``redhat``)."""
    packages: Sequence[RepositoryPackage] = ()
    """What the folder holds; leave it out, ``stoker-plugin build`` reads the package files and fills it in."""

    @property
    def label(self) -> str:
        """``node_packages.repository PATH``."""
        return f"node_packages.repository {self.path}"

    def check(self) -> Iterable[Finding]:
        """Path, family, and what can be seen of the list alone."""
        parts = PurePosixPath(self.path).parts
        if (
            not parts
            or self.path.startswith("/")
            or ".." in parts
            or "\\" in self.path
            or str(PurePosixPath(self.path)) != self.path
        ):
            yield Finding(
                rule="A001",
                field="path",
                message=f"{self.path!r} is not a folder inside the plugin's own.",
                remedy="Write e.g. repository/debian.",
            )
        if self.os_family not in SUFFIXES:
            yield Finding(
                rule="A002",
                field="os_family",
                message=f"there are no repositories for the family {self.os_family!r}.",
                remedy=f"Write one of {', '.join(SUFFIXES)}.",
            )
        if self.when is not None:
            yield Finding(
                rule="A003",
                field="when",
                message="a repository has no condition.",
                remedy="Give the condition to the packages that come from it: nodes without them do not get the repository.",
            )
        if len(self.packages) > MAX_REPOSITORY:
            yield Finding(
                rule="A004",
                field="packages",
                message=f"it has more than {MAX_REPOSITORY} packages.",
                remedy="Split the plugin, or publish the packages elsewhere.",
            )
        seen: set[tuple[str, str, str]] = set()
        files: set[str] = set()
        for index, package in enumerate(self.packages):
            key = (package.name, package.version, package.architecture)
            if key in seen or package.file in files:
                yield Finding(
                    rule="A005",
                    field=f"packages[{index}]",
                    message=f"{package.name} {package.version} ({package.architecture}) or its file is there twice.",
                    remedy="Keep one of the files.",
                )
            seen.add(key)
            files.add(package.file)
            yield from _check_entry(package, f"packages[{index}]", self.os_family)


def _check_entry(package: RepositoryPackage, place: str, os_family: str) -> Iterable[Finding]:
    """What stands in indexes, paths and files on nodes cannot be read as anything else there."""
    yield from check_package(package.name, f"{place}.name")
    faults = [
        field
        for field, pattern in (("version", _VERSION), ("architecture", _ARCHITECTURE), ("file", _FILE), ("sha256", _SHA256))
        if not pattern.fullmatch(getattr(package, field))
    ]
    if not package.file.endswith(SUFFIXES.get(os_family, "")) and "file" not in faults:
        faults.append("file")
    if ":" in package.name:
        faults.append("name")
    for field in faults:
        yield Finding(
            rule="A006",
            field=f"{place}.{field}",
            message=f"{getattr(package, field)[:80]!r} cannot stand in a repository.",
            remedy="'stoker-plugin build' fills the list in; file names have letters, digits and . _ + ~ : @ - alone.",
        )


POINT = ExtensionPoint(name="node_packages", combines="ordered set", contributions=(NodePackages, Repository))

# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Node packages: operating-system packages to install on nodes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from stoker_sdk.model.contribution import Contribution, ExtensionPoint
from stoker_sdk.model.finding import Finding
from stoker_sdk.model.naming import check_constraints, check_package, check_selector


class Package(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A package with an optional constraint on its version."""

    name: str
    """The package's name in the distribution."""
    version: str = ""
    """Comma-separated constraints on the upstream version, e.g. ``>=4.3,<5``; empty for any."""


class NodePackages(Contribution, frozen=True, kw_only=True, tag="node_packages"):
    """Operating-system packages that nodes of some roles need; they form the plugin's task ``packages``."""

    roles: Sequence[str]
    """The roles whose nodes get the packages; ``*`` for every node."""
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
        for index, item in enumerate(self.packages):
            package = Package(item) if isinstance(item, str) else item
            place = f"packages[{index}]"
            yield from check_package(package.name, place if isinstance(item, str) else f"{place}.name")
            yield from check_constraints(package.version, f"{place}.version")


POINT = ExtensionPoint(name="node_packages", combines="ordered set", contributions=(NodePackages,))

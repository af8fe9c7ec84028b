# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Node packages: operating-system packages to install on nodes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from stoker_sdk.model.contribution import Contribution, ExtensionPoint
from stoker_sdk.model.finding import Finding
from stoker_sdk.model.naming import check_selector
from stoker_sdk.model.package import Package, check_packages

__all__ = ["NodePackages", "Package"]


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


POINT = ExtensionPoint(name="node_packages", combines="ordered set", contributions=(NodePackages,))

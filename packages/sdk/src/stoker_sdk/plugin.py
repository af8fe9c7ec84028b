# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""A plugin: a name, a version and what it contributes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Literal

import msgspec
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from stoker_sdk.model.contribution import Contribution
from stoker_sdk.model.finding import Finding
from stoker_sdk.model.naming import MAX_NAME, NAME
from stoker_sdk.model.requirement import check_requirements


class Wheel(msgspec.Struct, frozen=True, kw_only=True):
    """One wheel in a bundle."""

    file: str
    """Its path in the plugin's folder."""
    platforms: Sequence[str] = ()
    """The declared platforms that it is for; empty: all."""


class Code(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The Python code of a plugin, as it travels in a bundle."""

    entry_point: str
    """The name of its entry point in ``stoker.plugins``."""
    distribution: str
    """The distribution that brings it, as ``NAME==VERSION``."""
    requires_python: str = ">=3.11"
    wheels: Sequence[Wheel] = ()
    """The plugin's own wheel and those that it needs beside the SDK's."""
    platforms: Sequence[str] = ()
    """The platforms that the wheels are complete for, as ``cp311-manylinux_2_28_x86_64``; empty: any."""


class Plugin(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A named, versioned unit of extension, with everything that it contributes."""

    name: str
    """Lower case letters, digits and dashes; unique on a server."""
    version: str
    """A version as in Python packaging, e.g. ``1.0.0``."""
    title: str
    """One line for a person."""
    description: str = ""
    """A paragraph or two, Markdown."""
    requires_stoker: str = ">=0.1,<1"
    """The versions of Stoker that it works with, as in Python packaging."""
    requires_plugins: Sequence[str] = ()
    """Plugins that must be enabled in the same environment, e.g. ``ceph>=1.2``."""
    conflicts_plugins: Sequence[str] = ()
    """Plugins that must not be enabled in the same environment."""
    releases: Sequence[str] = ()
    """Releases that it works with, by product and version, e.g. ``web-cluster>=1,<2``: any of these; empty: it needs none."""
    operating_systems: Sequence[str] = ()
    """Operating systems of the nodes that it can be for, e.g. ``debian>=12``: any of these; empty: all."""
    license: str = ""
    """An SPDX expression."""
    homepage: str = ""
    """Where to read more."""
    outbound_network: str = ""
    """Why its code must reach the network, for the admin who agrees to it at install; empty: it need not, and cannot."""
    api_access: Literal["", "viewer", "operator"] = ""
    """The highest access level with which its code may use the server's API, and never more than who it works for has."""
    memory: int = 256
    """MiB that its code may use."""
    code: Code | None = None
    """How its code is started; written by ``stoker-plugin build``."""
    contributions: Sequence[Contribution] = ()
    """What it contributes, in any order."""

    def check(self) -> Iterable[Finding]:
        """Faults of name, version and the like; contributions are not looked at."""
        if not NAME.fullmatch(self.name) or len(self.name) > MAX_NAME:
            yield Finding(
                rule="P001",
                field="name",
                message=f"{self.name!r} is not a name.",
                remedy="Lower case letters, digits, dashes; at most 64.",
            )
        try:
            Version(self.version)
        except InvalidVersion:
            yield Finding(rule="P002", field="version", message=f"{self.version!r} is not a version.", remedy="Write e.g. 1.0.0.")
        try:
            SpecifierSet(self.requires_stoker)
        except InvalidSpecifier:
            message = f"{self.requires_stoker!r} is not a version specifier."
            yield Finding(rule="P003", field="requires_stoker", message=message, remedy="Write e.g. >=0.1,<1.")
        for field in ("requires_plugins", "conflicts_plugins"):
            for index, text in enumerate(getattr(self, field)):
                try:
                    Requirement(text)
                except InvalidRequirement:
                    yield Finding(
                        rule="P004",
                        field=f"{field}[{index}]",
                        message=f"{text!r} is not a requirement.",
                        remedy="Write e.g. ceph>=1.2.",
                    )
        if not LEAST_MEMORY <= self.memory <= MOST_MEMORY:
            message = f"{self.memory} is not a size of memory."
            yield Finding(rule="X008", field="memory", message=message, remedy=f"Give MiB from {LEAST_MEMORY} to {MOST_MEMORY}.")
        yield from check_requirements(self.releases, "releases", "web-cluster>=1,<2")
        yield from check_requirements(self.operating_systems, "operating_systems", "debian>=12")
        if not self.title.strip():
            yield Finding(
                rule="P005", field="title", message="There is no title.", remedy="Say in one line what the plugin is for."
            )


LEAST_MEMORY: Final = 64
MOST_MEMORY: Final = 4096

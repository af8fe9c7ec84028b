# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""What would have to change so that plugins can be enabled together, among all that is installed and not denied."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

import msgspec
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import Version
from sqlalchemy import Connection, select
from stoker_sdk.model.finding import Finding

from stoker import __version__
from stoker.db import tables
from stoker.db.plugin_denials import read_denials
from stoker.domain.plugin_denial import denial_of
from stoker.domain.plugin_resolver import Known, Step, resolve

RULES: Final = frozenset({"D001", "D002"})
"""Findings that the resolver knows a way out of."""


class ResolutionView(msgspec.Struct, frozen=True, kw_only=True):
    """One change of those that would make plugins fit."""

    action: str
    """``switch`` to another installed version, ``enable`` or ``install`` another plugin, or ``disable`` one."""
    plugin: str
    version: str
    """The one to have then, if it is installed."""
    versions: str
    """Which ones would do, if it must be installed."""
    text: str
    """The same in words."""


class _Manifest(msgspec.Struct):
    requires_stoker: str = ""
    requires_plugins: list[str] = []
    conflicts_plugins: list[str] = []


def usable(connection: Connection) -> list[Known]:
    """All installed versions that fit this Stoker and are not denied."""
    denials, table = read_denials(connection), tables.plugins
    found = []
    for row in connection.execute(select(table.c.name, table.c.version, table.c.manifest)):
        manifest = msgspec.json.decode(row.manifest, type=_Manifest)
        if denial_of(denials, row.name, row.version) is None and fits_stoker(manifest.requires_stoker):
            found.append(
                Known(
                    name=row.name,
                    version=row.version,
                    requires=tuple(manifest.requires_plugins),
                    conflicts=tuple(manifest.conflicts_plugins),
                )
            )
    return found


def fits_stoker(specifier: str) -> bool:
    """Whether a plugin with such a ``requires_stoker`` works with this version."""
    try:
        return SpecifierSet(specifier).contains(Version(__version__), prereleases=True)
    except InvalidSpecifier:
        return False


def ways_out(
    connection: Connection,
    findings: Sequence[Finding],
    enabled: Mapping[str, str],
    *,
    chosen: str = "",
    without: Collection[str] = (),
) -> list[ResolutionView]:
    """The changes that would do, if what was found is about needed or excluded plugins; nothing if there is no way."""
    if not any(finding.rule in RULES for finding in findings):
        return []
    return views(resolve(usable(connection), enabled, chosen=chosen, without=without) or [])


def views(steps: Sequence[Step]) -> list[ResolutionView]:
    """Changes as they are shown."""
    return [
        ResolutionView(action=step.action, plugin=step.plugin, version=step.version, versions=step.versions, text=str(step))
        for step in steps
    ]


def in_words(resolution: Sequence[ResolutionView]) -> str:
    """A sentence for a remedy; empty without a way out."""
    return f"It would fit if you {', and '.join(view.text for view in resolution)}." if resolution else ""

# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Server scope: contributions that are active once their plugin is installed, and the refusal of what two plugins would bring."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Final, Generic, TypeVar

import msgspec
from packaging.version import Version
from sqlalchemy import Connection, Row, select
from stoker_sdk.extension_points import all_points
from stoker_sdk.manifest import read_contribution
from stoker_sdk.model.contribution import Contribution
from stoker_sdk.plugin import Plugin

from stoker.db import tables
from stoker.errors import ConflictError

C = TypeVar("C", bound=Contribution)

_KEPT: Final = 256


class _Manifest(msgspec.Struct):
    contributions: list[dict[str, object]] = []


class Active(msgspec.Struct, Generic[C], frozen=True, kw_only=True):
    """One contribution of one installed plugin version."""

    plugin: str
    version: str
    contribution: C


def _server_points() -> dict[str, str]:
    """For each class of contributions of the server's scope, by its name in manifests, its point."""
    return {
        str(kind.__struct_config__.tag): point.name
        for point in all_points().values()
        if point.scope == "server"
        for kind in point.contributions
    }


@lru_cache(maxsize=_KEPT)
def contributions_of(manifest: str) -> tuple[Contribution, ...]:
    """The contributions of the server's scope in a manifest (JSON text)."""
    points = _server_points()
    documents = msgspec.json.decode(manifest, type=_Manifest).contributions
    return tuple(read_contribution(document) for document in documents if document.get("point") in points)


def active(connection: Connection, kind: type[C]) -> list[Active[C]]:
    """All contributions of a class, by plugin, newest version first."""
    return [
        Active(plugin=row.name, version=row.version, contribution=item)
        for row in _installed(connection)
        for item in contributions_of(row.manifest)
        if isinstance(item, kind)
    ]


def _installed(connection: Connection) -> list[Row[tuple[object, ...]]]:
    table = tables.plugins
    rows: list[Row[tuple[object, ...]]] = list(connection.execute(select(table)))
    return sorted(sorted(rows, key=lambda row: Version(row.version), reverse=True), key=lambda row: str(row.name))


def refuse_clashes(connection: Connection, plugin: Plugin) -> None:
    """Refuse a plugin that is about to be installed, if another one brings what it brings.

    Raises:
        ConflictError: both plugins and the contribution are named.
    """
    points = all_points()
    names = _server_points()
    new = {
        (names[tag], item.identity): item
        for item in plugin.contributions
        if (tag := str(item.__struct_config__.tag)) in names and points[names[tag]].combines == "ordered set"
    }
    if not new:
        return
    for row, place in _brought_by_others(connection, plugin.name, names):
        if place in new:
            raise ConflictError(
                f"plugin {plugin.name} {plugin.version} is refused: {new[place].label} is brought by plugin {row.name}"
                f" {row.version} already.",
                remedy=f"Uninstall {row.name}, or use a version of {plugin.name} that calls it otherwise.",
                plugins=[plugin.name, str(row.name)],
            )


def _brought_by_others(
    connection: Connection, plugin: str, names: dict[str, str]
) -> Iterator[tuple[Row[tuple[object, ...]], tuple[str, str]]]:
    for row in _installed(connection):
        if row.name != plugin:
            for item in contributions_of(row.manifest):
                yield row, (names[str(item.__struct_config__.tag)], item.identity)

# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Rows of installed plugins."""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection, Row, select

from stoker.db import tables
from stoker.errors import NotFoundError


class _Contribution(msgspec.Struct):
    """What rows of this database need to know of a contribution."""

    point: str
    name: str = ""


class _Manifest(msgspec.Struct):
    """The same of a manifest."""

    contributions: list[_Contribution] = []


def find_plugin(connection: Connection, name: str, version: str | None = None) -> Row[tuple[object, ...]]:
    """An installed plugin; without a version, the one that is installed alone.

    Raises:
        NotFoundError: it is not installed, or the version must be chosen.
    """
    rows = [row for row in plugin_versions(connection, name) if version in (None, row.version)]
    if not rows:
        shown = f"{name} {version}" if version else name
        raise NotFoundError(
            f"plugin {shown} is not installed.",
            remedy="'stoker plugins list' shows what is; 'stoker plugins install FILE' adds one.",
        )
    if len(rows) > 1:
        versions = ", ".join(sorted(row.version for row in rows))
        raise NotFoundError(f"plugin {name} is installed in several versions: {versions}.", remedy="Name the version.")
    return rows[0]


def plugin_versions(connection: Connection, name: str) -> list[Row[tuple[object, ...]]]:
    """All installed versions of a plugin."""
    return list(connection.execute(select(tables.plugins).where(tables.plugins.c.name == name)))


def installed_versions(connection: Connection) -> list[tuple[str, str]]:
    """Name and version of everything that is installed."""
    table = tables.plugins
    return [(row.name, row.version) for row in connection.execute(select(table.c.name, table.c.version))]


def environments_using(connection: Connection) -> dict[tuple[str, str], list[str]]:
    """Plugin and version -> names of the environments that use it."""
    used, environments = tables.environment_plugins, tables.environments
    found: dict[tuple[str, str], list[str]] = {}
    rows = connection.execute(
        select(used.c.plugin, used.c.version, environments.c.name)
        .join(environments, environments.c.id == used.c.environment_id)
        .order_by(environments.c.name)
    )
    for row in rows:
        found.setdefault((row.plugin, row.version), []).append(row.name)
    return found


def role_names(manifest: str) -> list[str]:
    """The roles that a manifest (JSON text) brings."""
    read = msgspec.json.decode(manifest, type=_Manifest)
    return [item.name for item in read.contributions if item.point == "roles"]

# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Rows of installed plugins."""

from __future__ import annotations

import msgspec
from packaging.version import Version
from sqlalchemy import Connection, Row, select

from stoker.db import tables
from stoker.db.plugin_denials import read_denials
from stoker.domain.plugin_denial import denial_of
from stoker.errors import NotFoundError


class _Contribution(msgspec.Struct):
    """What rows of this database need to know of a contribution."""

    point: str
    name: str = ""


class _Manifest(msgspec.Struct):
    """The same of a manifest."""

    contributions: list[_Contribution] = []


def find_plugin(connection: Connection, name: str, version: str | None = None) -> Row[tuple[object, ...]]:
    """An installed plugin; without a version, the server's default one.

    Raises:
        NotFoundError: it is not installed.
    """
    wanted = version or default_version(connection, name)
    row = next((row for row in plugin_versions(connection, name) if row.version == wanted), None)
    if row is None:
        shown = f"{name} {version}" if version else name
        raise NotFoundError(
            f"plugin {shown} is not installed.",
            remedy="'stoker plugins list' shows what is; 'stoker plugins install FILE' adds one.",
        )
    return row


def default_version(connection: Connection, name: str) -> str | None:
    """The server's default version of a plugin; none if it is not installed."""
    return default_versions(connection, name).get(name)


def default_versions(connection: Connection, name: str = "") -> dict[str, str]:
    """The server's default version of each plugin, or of one: the one that an admin chose, else the newest.

    Never a denied one, unless all are; and a pre-release only if there is nothing else.
    """
    table, chosen = tables.plugins, tables.plugin_defaults
    installed = select(table.c.name, table.c.version)
    pins = select(chosen)
    if name:
        installed, pins = installed.where(table.c.name == name), pins.where(chosen.c.plugin == name)
    pinned = {row.plugin: row.version for row in connection.execute(pins)}
    denials = read_denials(connection)
    best: dict[str, tuple[bool, bool, bool, Version, str]] = {}
    for row in connection.execute(installed):
        version = Version(row.version)
        rank = (
            denial_of(denials, row.name, row.version) is None,
            pinned.get(row.name) == row.version,
            not version.is_prerelease,
            version,
            row.version,
        )
        best[row.name] = max(best.get(row.name, rank), rank)
    return {plugin: rank[-1] for plugin, rank in best.items()}


def pinned_version(connection: Connection, name: str) -> str | None:
    """The default version that an admin chose."""
    table = tables.plugin_defaults
    return connection.execute(select(table.c.version).where(table.c.plugin == name)).scalar()


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

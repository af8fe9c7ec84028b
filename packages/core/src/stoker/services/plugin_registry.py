# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The registry of live plugin versions, made of the database after each change of it."""

from __future__ import annotations

import logging
from typing import Final

import msgspec
from sqlalchemy import Connection, select

from stoker.db import tables
from stoker.db.database import Database
from stoker.db.plugins import default_versions
from stoker.plugin_host.registry import EnvironmentEntry, PluginEntry, Registry, RegistryFile, VersionEntry

_LOG = logging.getLogger(__name__)
TABLES: Final = ("plugins", "plugin_defaults", "plugin_denials", "environments", "environment_plugins")
"""What the registry is made of."""
_GONE: Final = "it was uninstalled"


class _Contribution(msgspec.Struct):
    point: str
    openapi: str = ""


class _Manifest(msgspec.Struct):
    contributions: list[_Contribution] = []


def follow(database: Database, file: RegistryFile) -> None:
    """Write the registry now and after each change, before the next one begins: what is committed is live."""

    def write() -> None:
        try:
            with database.read() as connection:
                present = build(connection, file.read())
            if present != file.read():
                file.write(present)
        except OSError:  # the change itself is done; the next one writes the registry again
            _LOG.exception("the registry of plugins cannot be written to %s", file.path)

    database.after_changes(TABLES, write)
    write()


def build(connection: Connection, before: Registry) -> Registry:
    """The registry as the database has it; plugins that were there before and are not now are said to be gone."""
    plugins: dict[str, dict[str, VersionEntry]] = {}
    table = tables.plugins
    for row in connection.execute(select(table.c.name, table.c.version, table.c.digest)):
        plugins.setdefault(row.name, {})[row.version] = _entry(connection, row.name, row.version, row.digest)
    defaults = default_versions(connection)
    known = {
        name: PluginEntry(default=defaults[name], versions=dict(sorted(versions.items())))
        for name, versions in sorted(plugins.items())
    }
    gone = {name: _GONE for name in (*before.gone, *before.plugins) if name not in known}
    return Registry(plugins=known, environments=_environments(connection), gone=dict(sorted(gone.items())))


def _environments(connection: Connection) -> dict[str, EnvironmentEntry]:
    environments, enabled = tables.environments, tables.environment_plugins
    used: dict[str, dict[str, str]] = {}
    for row in connection.execute(
        select(enabled.c.environment_id, enabled.c.plugin, enabled.c.version).where(enabled.c.state == "enabled")
    ):
        used.setdefault(row.environment_id, {})[row.plugin] = row.version
    return {
        row.id: EnvironmentEntry(name=row.name, plugins=dict(sorted(used.get(row.id, {}).items())))
        for row in connection.execute(select(environments.c.id, environments.c.name).order_by(environments.c.id))
    }


_known: dict[str, VersionEntry] = {}


def _entry(connection: Connection, name: str, version: str, digest: str) -> VersionEntry:
    table = tables.plugins
    if digest not in _known:
        row = connection.execute(select(table.c.manifest).where(table.c.name == name, table.c.version == version)).scalar_one()
        _known[digest] = _read(digest, row)
    return _known[digest]


def _read(digest: str, manifest: str) -> VersionEntry:
    api = next((item for item in msgspec.json.decode(manifest, type=_Manifest).contributions if item.point == "rest_api"), None)
    return VersionEntry(digest=digest, application=api is not None, openapi=api.openapi if api else "")

# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Indexes over fields of plugins' records: one for each field that an installed version of a plugin declares."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

import msgspec
from sqlalchemy import Connection, select, text

from stoker.db import tables
from stoker.db.plugins import plugin_versions
from stoker.db.records import FIELD, NAME, field_sql, of_collection

_PREFIX: Final = "record_field_"
_EXISTING: Final = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = 'plugin_records'",
    "postgresql": "SELECT indexname FROM pg_indexes WHERE tablename = 'plugin_records' AND schemaname = current_schema()",
}


class _Collection(msgspec.Struct):
    point: str = ""
    name: str = ""
    indexes: list[str] = []


class _Manifest(msgspec.Struct):
    contributions: list[_Collection] = []


def follow(connection: Connection, plugin: str) -> None:
    """Make the indexes that the installed versions of a plugin declare, and drop those that none does any more."""
    wanted = {
        _name(plugin, *field): field for field in _declared(str(row.manifest) for row in plugin_versions(connection, plugin))
    }
    dialect = connection.dialect.name
    there = {str(name) for name in connection.execute(text(_EXISTING[dialect])).scalars()}
    mine = {name for name in there if name.startswith(_of(plugin))}
    for name in sorted(mine - wanted.keys()):
        connection.exec_driver_sql(f"DROP INDEX {name}")
    for name in sorted(wanted.keys() - mine):
        connection.exec_driver_sql(_made(dialect, name, plugin, *wanted[name]))


def follow_all(connection: Connection) -> None:
    """The same for all plugins: after a restore none of these indexes is there."""
    table = tables.plugins
    query = select(table.c.name).where(table.c.manifest.contains('"indexes"')).distinct()
    for plugin in connection.execute(query).scalars().all():
        follow(connection, plugin)


def _declared(manifests: Iterable[str]) -> set[tuple[str, str]]:
    found: set[tuple[str, str]] = set()
    for manifest in manifests:
        if '"indexes"' not in manifest:
            continue
        for item in msgspec.json.decode(manifest, type=_Manifest).contributions:
            if item.point == "records" and NAME.fullmatch(item.name):
                found.update((item.name, path) for path in item.indexes if FIELD.fullmatch(path))
    return found


def _made(dialect: str, name: str, plugin: str, collection: str, path: str) -> str:
    field = field_sql(dialect, path).replace("plugin_records.", "")
    where = of_collection(plugin, collection)
    if dialect == "postgresql":  # by hash: a value of any length has a place in it
        return f"CREATE INDEX {name} ON plugin_records USING hash ({field}) WHERE {where}"
    return f"CREATE INDEX {name} ON plugin_records (plugin, environment_id, collection, generation, {field}, key) WHERE {where}"


def _of(plugin: str) -> str:
    return f"{_PREFIX}{hashlib.sha256(plugin.encode()).hexdigest()[:12]}_"


def _name(plugin: str, collection: str, path: str) -> str:
    return _of(plugin) + hashlib.sha256(f"{collection} {path}".encode()).hexdigest()[:16]

# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Where a plugin stands in the database: which rows go with one of its versions, which with the last one, and which stay."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from sqlalchemy import ColumnElement, Connection, Table, delete, func, select

from stoker.db import tables

WITH_VERSION: Final[Mapping[str, tuple[str, str]]] = {
    "hook_quarantine": ("plugin", "version"),
    "plugin_event_interests": ("plugin", "version"),
    "plugin_events": ("plugin", "version"),
    "plugin_versions_before": ("plugin", "version"),
    "plugin_defaults": ("plugin", "version"),
    "plugins": ("name", "version"),
}
"""Tables whose rows go with one version -> the columns of the plugin's name and of the version; its own row is the last."""
WITH_PLUGIN: Final[Mapping[str, str]] = {
    "plugin_events": "plugin",
    "plugin_records": "plugin",
    "record_collections": "plugin",
    "refresh_queue": "plugin",
    "serializer_hooks": "plugin",
}
"""Tables whose rows go with the last version -> the column of the plugin's name."""
STAYING: Final[Mapping[str, str]] = {
    "environment_plugins": "what an environment uses is not uninstalled",
    "secrets": "they go when the plugin is disabled",
    "plugin_denials": "an admin's word about what is to come, too",
    "jobs": "history",
}
"""Tables with a plugin's name that keep their rows -> why."""


def rows_of(connection: Connection, name: str, version: str, *, last: bool) -> dict[str, int]:
    """How many rows of each table go with a version."""
    found: dict[str, int] = {}
    for table, condition in _places(name, version, last=last):
        count = int(connection.execute(select(func.count()).select_from(table).where(condition)).scalar_one())
        if count:
            found[table.name] = found.get(table.name, 0) + count
    return found


def drop_rows(connection: Connection, name: str, version: str, *, last: bool) -> None:
    """Delete all rows that go with a version."""
    for table, condition in _places(name, version, last=last):
        connection.execute(delete(table).where(condition))


def documents_of(connection: Connection, name: str) -> dict[str, int]:
    """How many records each of a plugin's collections has that are live; those of all environments together."""
    records, collections = tables.plugin_records, tables.record_collections
    same = (
        (records.c.plugin == collections.c.plugin)
        & (records.c.environment_id == collections.c.environment_id)
        & (records.c.collection == collections.c.collection)
        & (records.c.generation == collections.c.generation)
    )
    query = select(records.c.collection, func.count()).join(collections, same).where(records.c.plugin == name)
    return {str(row[0]): int(row[1]) for row in connection.execute(query.group_by(records.c.collection))}


def _places(name: str, version: str, *, last: bool) -> Iterator[tuple[Table, ColumnElement[bool]]]:
    known = tables.metadata.tables
    if last:
        for table, column in WITH_PLUGIN.items():
            yield known[table], known[table].c[column] == name
    for table, (plugin, its_version) in WITH_VERSION.items():
        yield known[table], (known[table].c[plugin] == name) & (known[table].c[its_version] == version)

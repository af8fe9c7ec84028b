# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Plugins' records as people see them: which collections there are, what is in them, and what is kept from before."""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection, Row, Text, cast, select

from stoker.db import record_generations as generations
from stoker.db import records as rows
from stoker.db import tables
from stoker.db.environments import find_environment
from stoker.db.plugins import plugin_versions
from stoker.db.records import Place
from stoker.errors import ConflictError, NotFoundError
from stoker.services import audit
from stoker.services.context import ServerContext
from stoker.services.windows import Part, Window, cut, look


class CollectionView(msgspec.Struct, frozen=True, kw_only=True):
    """A collection of a plugin's records in one place."""

    plugin: str
    collection: str
    environment: str
    """The environment's name; empty for one of the whole server."""
    schema_version: int
    documents: int
    kept_schema_version: int | None
    """Of the copy that is kept from before the last migration; null if none is."""
    kept_documents: int
    migrating: bool
    """Whether a copy in another version is being written."""


class RecordEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One record."""

    key: str
    value: msgspec.Raw
    """Any JSON."""
    revision: int
    changed_at: float


def list_collections(context: ServerContext, plugin: str) -> list[CollectionView]:
    """A plugin's collections in all environments, by name. Raises NotFoundError: there is no such plugin."""
    homes = tables.environments
    with context.database.read() as connection:
        _refuse_unknown(connection, plugin)
        names = {str(one.id): str(one.name) for one in connection.execute(select(homes.c.id, homes.c.name))}
        views = [
            _view(connection, row, names.get(row.environment_id, "")) for row in generations.collections_of(connection, plugin)
        ]
    return sorted(views, key=lambda view: (view.collection, view.environment))


def list_records(context: ServerContext, plugin: str, collection: str, environment: str, window: Window) -> Part[RecordEntry]:
    """Records of a collection by key, a part at a time.

    Args:
        context: the server.
        plugin: whose.
        collection: its name.
        environment: by name or id; empty for a collection of the whole server.
        window: the part.

    Raises:
        NotFoundError: there is no such plugin or environment, or nothing was ever written to such a collection there.
    """
    table = tables.plugin_records
    with context.database.read() as connection:
        place, row = _find(connection, plugin, collection, environment)
        query = select(table.c.key, cast(table.c.value, Text).label("value"), table.c.revision, table.c.changed_at)
        query = query.where(place.where(), table.c.generation == row.generation)
        found, last = cut(connection.execute(look(query, window, table.c.key)).all(), window, lambda one: (one.key,))
    items = [
        RecordEntry(key=one.key, value=msgspec.Raw(one.value.encode()), revision=one.revision, changed_at=one.changed_at)
        for one in found
    ]
    return Part(items, last)


def purge(context: ServerContext, plugin: str, collection: str, environment: str) -> CollectionView:
    """Delete the copy that is kept from before the last migration: there is no way back then.

    Raises:
        NotFoundError: there is no such collection.
        ConflictError: no copy is kept.
    """
    with context.database.transaction() as connection:
        place, row = _find(connection, plugin, collection, environment)
        kept = 0 if row.kept_generation is None else rows.count(connection, place, row.kept_generation)
        if not generations.purge_kept(connection, place):
            raise ConflictError(
                f"plugin {plugin}, records {collection}: no copy is kept from before.",
                remedy=f"'stoker plugins records {plugin}' shows where one is.",
            )
        name = str(find_environment(connection, place.environment_id).name) if place.environment_id else ""
        told = {"collection": collection, "schema_version": row.kept_schema_version, "documents": kept}
        audit.record(connection, "records.purge", f"{plugin}/{collection}", plugin, environment=name, before=told)
    generations.sweep(context.database, place)
    with context.database.read() as connection:
        return _view(connection, _find(connection, plugin, collection, environment)[1], name)


def _view(connection: Connection, row: Row[tuple[object, ...]], environment: str) -> CollectionView:
    place = generations.place_of(row)
    kept = 0 if row.kept_generation is None else rows.count(connection, place, row.kept_generation)
    return CollectionView(
        plugin=row.plugin,
        collection=row.collection,
        environment=environment,
        schema_version=row.schema_version,
        documents=rows.count(connection, place, row.generation),
        kept_schema_version=row.kept_schema_version,
        kept_documents=kept,
        migrating=row.shadow_generation is not None,
    )


def _refuse_unknown(connection: Connection, plugin: str) -> None:
    if not plugin_versions(connection, plugin):
        raise NotFoundError(f"plugin {plugin!r} is not installed.", remedy="'stoker plugins list' shows what is.")


def _find(connection: Connection, plugin: str, collection: str, environment: str) -> tuple[Place, Row[tuple[object, ...]]]:
    _refuse_unknown(connection, plugin)
    home = str(find_environment(connection, environment).id) if environment else ""
    place = Place(plugin=plugin, environment_id=home, collection=collection)
    row = rows.find_collection(connection, place)
    if row is None:
        where = f"in environment {environment}" if environment else "of the whole server"
        raise NotFoundError(
            f"plugin {plugin} has no records {collection[:80]!r} {where}.",
            remedy=f"'stoker plugins records {plugin}' shows all; those of an environment are named with it (--env).",
        )
    return place, row

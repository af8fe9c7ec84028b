# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Generations of plugins' records: the live one, the copy that a migration writes, and the one kept from before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row, Text, cast, exists, func, select, update

from stoker.db import records as rows
from stoker.db.database import Database
from stoker.db.records import Place
from stoker.db.tables import plugin_records as records
from stoker.db.tables import record_collections as collections

DELETED: Final = -1
"""``source`` of a kept record that was deleted since the other generation went live."""
_AT_ONCE: Final = 5000
_KEYS: Final = 500


def collections_of(connection: Connection, plugin: str = "") -> Sequence[Row[Any]]:
    """All collections that hold or held something, of one plugin if it is named."""
    query = select(collections).order_by(collections.c.plugin, collections.c.collection, collections.c.environment_id)
    return connection.execute(query.where(collections.c.plugin == plugin) if plugin else query).all()


def place_of(row: Row[Any]) -> Place:
    """Where the records of a row of ``record_collections`` are."""
    return Place(plugin=row.plugin, environment_id=row.environment_id, collection=row.collection)


def begin_shadow(connection: Connection, place: Place, generation: int) -> None:
    """Say that a copy is being written."""
    connection.execute(update(collections).where(place.where(collections)).values(shadow_generation=generation))


def forget_shadow(connection: Connection, place: Place, generation: int | None = None) -> bool:
    """Say that a copy is written no more, this one or any; whether there was one."""
    query = update(collections).where(place.where(collections), collections.c.shadow_generation.is_not(None))
    if generation is not None:
        query = query.where(collections.c.shadow_generation == generation)
    return connection.execute(query.values(shadow_generation=None)).rowcount > 0


def changed_since(
    connection: Connection, place: Place, generation: int, revision: int, after: str, limit: int
) -> Sequence[Row[Any]]:
    """Records with a later revision, by key: ``key``, ``value`` (JSON text), ``revision``."""
    query = select(records.c.key, cast(records.c.value, Text).label("value"), records.c.revision)
    query = query.where(place.where(), records.c.generation == generation, records.c.revision > revision, records.c.key > after)
    return connection.execute(query.order_by(records.c.key).limit(limit)).all()


def late(connection: Connection, place: Place, generation: int, revision: int) -> int:
    """How many records have a later revision."""
    query = select(func.count()).select_from(records).where(place.where(), records.c.generation == generation)
    return int(connection.execute(query.where(records.c.revision > revision)).scalar_one())


def revisions(connection: Connection, place: Place, generation: int, keys: Sequence[str]) -> dict[str, int]:
    """The present revisions of records that are there."""
    found: dict[str, int] = {}
    for start in range(0, len(keys), _KEYS):
        query = select(records.c.key, records.c.revision).where(place.where(), records.c.generation == generation)
        found.update(
            (row.key, row.revision) for row in connection.execute(query.where(records.c.key.in_(keys[start : start + _KEYS])))
        )
    return found


def write_shadow(
    connection: Connection,
    place: Place,
    row: Row[Any],
    batch: Mapping[str, tuple[str | None, int]],
    key_of: str,
) -> None:
    """Write migrated records into the copy: those that are as they were when they were read.

    Args:
        connection: of a transaction that holds the collection's row.
        place: the collection.
        row: of ``record_collections``.
        batch: key -> JSON text (``None``: dropped) and the revision that it was made of.
        key_of: as the plugin declares it.
    """
    present = revisions(connection, place, row.generation, list(batch))
    same = {key: made for key, made in batch.items() if present.get(key) == made[1]}
    written = [(key, text, revision) for key, (text, revision) in sorted(same.items()) if text is not None]
    rows.write(connection, place, row.shadow_generation, written, key_of=key_of)
    rows.remove(connection, place, row.shadow_generation, [key for key, (text, _) in same.items() if text is None])


def go_live(connection: Connection, place: Place, row: Row[Any], schema_version: int) -> int:
    """Let the copy be the live generation, and keep the one that was; how many records it has."""
    documents = rows.count(connection, place, row.shadow_generation)
    connection.execute(
        update(collections)
        .where(place.where(collections))
        .values(
            generation=row.shadow_generation,
            schema_version=schema_version,
            counter=row.counter + 1,
            documents=documents,
            kept_generation=row.generation,
            kept_schema_version=row.schema_version,
            kept_counter=row.counter,
            shadow_generation=None,
        )
    )
    # What an earlier return to this generation left.
    marked = update(records).where(place.where(), records.c.generation == row.generation, records.c.source == DELETED)
    connection.execute(marked.values(source=0))
    return documents


def go_back(connection: Connection, place: Place, row: Row[Any]) -> int:
    """Let the kept generation be the live one again; how many records it has."""
    documents = rows.count(connection, place, row.kept_generation)
    connection.execute(
        update(collections)
        .where(place.where(collections))
        .values(
            generation=row.kept_generation,
            schema_version=row.kept_schema_version,
            counter=row.counter + 1,
            documents=documents,
            kept_generation=None,
            kept_schema_version=None,
            kept_counter=None,
        )
    )
    return documents


def begin_again(connection: Connection, place: Place, row: Row[Any], schema_version: int) -> int:
    """Let an empty generation be the live one, of another version of the schema; answers 0."""
    connection.execute(
        update(collections)
        .where(place.where(collections))
        .values(
            generation=max(row.generation, row.kept_generation or 0) + 1,
            schema_version=schema_version,
            counter=row.counter + 1,
            documents=0,
            kept_generation=None,
            kept_schema_version=None,
            kept_counter=None,
        )
    )
    return 0


def mark_deleted(connection: Connection, place: Place, row: Row[Any], keys: Sequence[str]) -> None:
    """Take records that are deleted out of the copy that is being written, and mark them in the kept generation."""
    if row.shadow_generation is not None:
        rows.remove(connection, place, row.shadow_generation, keys)
    if row.kept_generation is not None:
        for start in range(0, len(keys), _KEYS):
            kept = update(records).where(place.where(), records.c.generation == row.kept_generation)
            connection.execute(kept.where(records.c.key.in_(keys[start : start + _KEYS])).values(source=DELETED))


def written_since(connection: Connection, place: Place, row: Row[Any], most: int) -> tuple[list[str], list[str], int]:
    """Keys written and deleted since the live generation went live, as many as wanted, and how many there are."""
    mine = place.where()
    written = (mine, records.c.generation == row.generation, records.c.revision > row.kept_counter)
    again = records.alias()
    # One that was written again is told as written.
    there = exists().where(place.where(again), again.c.generation == row.generation, again.c.key == records.c.key)
    deleted = (mine, records.c.generation == row.kept_generation, records.c.source == DELETED, ~there)
    keys = [
        list(connection.execute(select(records.c.key).where(*which).order_by(records.c.key).limit(most)).scalars())
        for which in (written, deleted)
    ]
    number = sum(
        int(connection.execute(select(func.count()).select_from(records).where(*which)).scalar_one())
        for which in (written, deleted)
    )
    return keys[0], keys[1], number


def purge_kept(connection: Connection, place: Place) -> bool:
    """Keep the generation from before no longer; whether there was one."""
    query = update(collections).where(place.where(collections), collections.c.kept_generation.is_not(None))
    return connection.execute(query.values(kept_generation=None, kept_schema_version=None, kept_counter=None)).rowcount > 0


def sweep(database: Database, place: Place) -> int:
    """Delete records of generations that nobody knows any more, in short transactions; how many."""
    gone = 0
    while True:
        with database.transaction() as connection:
            row = rows.find_collection(connection, place, lock=True)
            if row is None:
                return gone
            known = [one for one in (row.generation, row.kept_generation, row.shadow_generation) if one is not None]
            unknown = (place.where(), records.c.generation.not_in(known))
            found = connection.execute(select(records.c.generation, records.c.key).where(*unknown).limit(_AT_ONCE)).all()
            for generation in {one.generation for one in found}:
                gone += rows.remove(connection, place, generation, [one.key for one in found if one.generation == generation])
            if len(found) < _AT_ONCE:
                return gone


def shadows(connection: Connection) -> Iterator[Place]:
    """Collections of which a copy is being written, or was when the server ended."""
    for row in connection.execute(select(collections).where(collections.c.shadow_generation.is_not(None))).all():
        yield place_of(row)

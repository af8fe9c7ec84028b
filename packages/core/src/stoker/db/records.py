# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Rows of plugins' records: read as text, never decoded; fields are compared in the database, with their JSON types."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import (
    Boolean,
    ColumnElement,
    Connection,
    Row,
    Select,
    Text,
    and_,
    bindparam,
    cast,
    delete,
    func,
    literal_column,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from stoker.db.changes import trigger
from stoker.db.tables import plugin_records as records
from stoker.db.tables import record_collections as collections

FIELD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,62}(\.[A-Za-z_][A-Za-z0-9_-]{0,62}){0,7}", re.ASCII)
"""A dotted path that may be compared; nothing in it can end a text of SQL or a path of JSON."""
NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,99}", re.ASCII)
"""Names of plugins and collections; nothing in it can end a text of SQL."""
_AT_ONCE: Final = 500
_OBJECTS: Final = {"node": "nodes", "environment": "environments", "deployment": "deployments"}


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """One collection."""

    plugin: str
    environment_id: str
    """Empty: of the whole server."""
    collection: str

    def where(self, table: Any = records) -> ColumnElement[bool]:  # noqa: ANN401  either table
        """Its rows."""
        return and_(
            table.c.plugin == self.plugin,
            table.c.environment_id == self.environment_id,
            table.c.collection == self.collection,
        )


def watch(connection: Connection) -> None:
    """Let the database take records away with the objects that they are about: made anew at each start."""
    dialect = connection.dialect.name
    for kind, table in _OBJECTS.items():
        also = ""
        if kind == "environment":
            also = (
                "; DELETE FROM plugin_records WHERE environment_id = OLD.id"
                "; DELETE FROM record_collections WHERE environment_id = OLD.id"
            )
        body = f"DELETE FROM plugin_records WHERE key = OLD.id AND key_of = '{kind}'{also}"  # noqa: S608  ours
        for statement in trigger(dialect, f"stoker_records_{table}", table, "DELETE", "", body):
            connection.exec_driver_sql(statement)


def find_collection(connection: Connection, place: Place, *, lock: bool = False) -> Row[Any] | None:
    """What is known of a collection; with ``lock`` nobody else changes it until the transaction ends."""
    query = select(collections).where(place.where(collections))
    return connection.execute(query.with_for_update() if lock else query).first()


def begin_collection(connection: Connection, place: Place, schema_version: int) -> None:
    """Begin an empty collection; nothing happens if there is one."""
    values = {
        "plugin": place.plugin,
        "environment_id": place.environment_id,
        "collection": place.collection,
        "generation": 1,
        "schema_version": schema_version,
        "counter": 0,
        "documents": 0,
    }
    make = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    connection.execute(make(collections).values(**values).on_conflict_do_nothing())


def keep_counters(connection: Connection, place: Place, *, counter: int, documents: int) -> None:
    """Store what revisions and documents there are."""
    connection.execute(update(collections).where(place.where(collections)).values(counter=counter, documents=documents))


def read(connection: Connection, place: Place, generation: int, keys: Sequence[str]) -> Iterator[Row[Any]]:
    """Records by key: ``key``, ``value`` (JSON text), ``revision``."""
    for start in range(0, len(keys), _AT_ONCE):
        some = records.c.key.in_(keys[start : start + _AT_ONCE])
        yield from connection.execute(_shown().where(place.where(), records.c.generation == generation, some))


def _shown() -> Any:  # noqa: ANN401  a select
    return select(records.c.key, cast(records.c.value, Text).label("value"), records.c.revision)


def find(
    connection: Connection, place: Place, generation: int, where: Mapping[str, object], after: str, limit: int
) -> list[Row[Any]]:
    """Records by key, of those whose fields are equal to what is given."""
    return list(connection.execute(found(connection, place, generation, where, after, limit)))


def found(
    connection: Connection, place: Place, generation: int, where: Mapping[str, object], after: str, limit: int
) -> Select[Any]:
    """The query for them."""
    conditions = _conditions(connection, place, where)
    query = _shown().where(place.where(), records.c.generation == generation, records.c.key > after, *conditions)
    return query.order_by(records.c.key).limit(limit)  # type: ignore[no-any-return]


def count(connection: Connection, place: Place, generation: int, where: Mapping[str, object] | None = None) -> int:
    """How many records there are."""
    conditions = _conditions(connection, place, where or {})
    query = select(func.count()).select_from(records).where(place.where(), records.c.generation == generation, *conditions)
    return int(connection.execute(query).scalar_one())


def _conditions(connection: Connection, place: Place, where: Mapping[str, object]) -> list[ColumnElement[bool]]:
    found = [equal(connection, path, value) for path, value in where.items()]
    said = of_collection(place.plugin, place.collection) if found else ""
    return [literal_column(f"({said})", Boolean()), *found] if said else found


def of_collection(plugin: str, collection: str) -> str:
    """The condition under which an index may be used: said word by word, as no database trusts a parameter there."""
    if not NAME.fullmatch(plugin) or not NAME.fullmatch(collection):
        return ""
    return f"plugin = '{plugin}' AND collection = '{collection}'"


def equal(connection: Connection, path: str, value: object) -> ColumnElement[bool]:
    """Whether a field has a value, of the same type of JSON; ``path`` fits ``FIELD``."""
    assert FIELD.fullmatch(path)
    if connection.dialect.name == "postgresql":
        # As text, so that an index over the field can be used; texts of JSONB are the same for equal values of one type.
        found = literal_column(field_sql("postgresql", path), type_=postgresql.JSONB())
        return found == cast(bindparam(None, msgspec.json.encode(value).decode(), type_=Text()), postgresql.JSONB())
    found = literal_column(field_sql("sqlite", path))
    kind: ColumnElement[Any] = func.json_type(literal_column("plugin_records.value"), literal_column(_sqlite_path(path)))
    if value is None:
        return kind == "null"
    if isinstance(value, bool):
        return kind == ("true" if value else "false")
    if isinstance(value, str):
        return and_(found == value, kind == "text")
    return and_(found == value, kind.in_(["integer", "real"]))


def field_sql(dialect: str, path: str) -> str:
    """The SQL of a field, for conditions and indexes alike."""
    assert FIELD.fullmatch(path)
    if dialect == "postgresql":
        return f"(plugin_records.value #> '{{{','.join(path.split('.'))}}}')"
    return f"json_extract(plugin_records.value, {_sqlite_path(path)})"


def _sqlite_path(path: str) -> str:
    return "'$" + "".join(f'."{part}"' for part in path.split(".")) + "'"


def write(
    connection: Connection, place: Place, generation: int, rows: Sequence[tuple[str, str, int]], *, key_of: str, source: int = 0
) -> None:
    """Write records, each as key, JSON text and revision, whether or not they are there."""
    if not rows:
        return
    at = time.time()
    on_postgresql = connection.dialect.name == "postgresql"
    make = postgresql.insert if on_postgresql else sqlite.insert
    statement = make(records).values(
        plugin=place.plugin,
        environment_id=place.environment_id,
        collection=place.collection,
        generation=generation,
        key=bindparam("k"),
        key_of=key_of,
        value=cast(bindparam("v", type_=Text()), postgresql.JSONB()) if on_postgresql else bindparam("v"),
        revision=bindparam("r"),
        source=source,
        changed_at=at,
    )
    statement = statement.on_conflict_do_update(
        index_elements=[records.c.plugin, records.c.environment_id, records.c.collection, records.c.generation, records.c.key],
        set_={
            "value": statement.excluded.value,
            "revision": statement.excluded.revision,
            "source": statement.excluded.source,
            "changed_at": statement.excluded.changed_at,
        },
    )
    connection.execute(statement, [{"k": key, "v": value, "r": revision} for key, value, revision in rows])


def remove(connection: Connection, place: Place, generation: int, keys: Sequence[str]) -> int:
    """Delete records; the number of those that were there."""
    gone = 0
    for start in range(0, len(keys), _AT_ONCE):
        some = records.c.key.in_(keys[start : start + _AT_ONCE])
        gone += connection.execute(delete(records).where(place.where(), records.c.generation == generation, some)).rowcount
    return gone


def remove_plugin(connection: Connection, plugin: str) -> None:
    """Delete everything of a plugin."""
    for table in (records, collections):
        connection.execute(delete(table).where(table.c.plugin == plugin))

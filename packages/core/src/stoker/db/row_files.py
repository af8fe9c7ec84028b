# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Rows of tables as lines of JSON, the same for SQLite and PostgreSQL: a first line with the columns, then a line a row."""

from __future__ import annotations

import base64
import itertools
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import msgspec
from sqlalchemy import (
    BindParameter,
    Column,
    ColumnElement,
    Connection,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    bindparam,
    cast,
    delete,
    func,
    insert,
    select,
    text,
    type_coerce,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import NoSuchTableError

from stoker.db import tables

OF_THE_MOMENT: Final = frozenset({"sessions", "login_links", "failed_sign_ins"})
"""Tables of what is over when a backup is used."""
AUDIT: Final = "audit_log"
_VERSIONS: Final = "alembic_version"
_AT_ONCE: Final = 100
_encode = msgspec.json.Encoder().encode


def kept_tables() -> list[str]:
    """The names of all tables that belong into a backup; a table comes after those that it refers to."""
    return [str(table.name) for table in tables.metadata.sorted_tables if table.name not in OF_THE_MOMENT]


def lines_of(connection: Connection, name: str) -> Iterator[bytes]:
    """The lines of a table, read as they are needed."""
    table = tables.metadata.tables[name]
    yield _encode([str(column.name) for column in table.columns]) + b"\n"
    shown = [cast(column, Text).label(column.name) if _is_json(connection, column) else column for column in table.columns]
    query = select(*shown).order_by(*table.primary_key.columns)
    with connection.execution_options(yield_per=_AT_ONCE).execute(query) as rows:
        for row in rows:
            yield _encode(list(row)) + b"\n"


def is_empty(connection: Connection) -> bool:
    """Whether a database has no table of ours."""
    found = MetaData()
    with _without_indexes_of_fields():
        found.reflect(connection)
    return not ({*tables.metadata.tables, _VERSIONS} & set(found.tables))


def drop_all(connection: Connection) -> None:
    """Delete every table of ours; in the connection's transaction."""
    found = MetaData()
    with _without_indexes_of_fields():
        found.reflect(connection, only=lambda name, _: name in tables.metadata.tables or name == _VERSIONS)
    found.drop_all(connection)
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("DROP FUNCTION IF EXISTS audit_log_refuse() CASCADE")


def insert_lines(connection: Connection, name: str, lines: Iterable[bytes]) -> int:
    """Add a table's rows, into the table as this database has it now, whatever version that is; answers how many.

    Raises:
        ValueError: the lines are none of ``lines_of``, or there is no such table.
    """
    try:
        with _without_indexes_of_fields():
            table = Table(name, MetaData(), autoload_with=connection, resolve_fks=False)
    except NoSuchTableError as error:
        raise ValueError(f"there is no table {name}") from error
    for known in table.columns:
        if isinstance(known.type, JSONB):
            known.type = _JsonText()
    given = iter(lines)
    columns = msgspec.json.decode(next(given), type=list[str])
    blobs = [isinstance(table.c[column].type, LargeBinary) for column in columns]
    itself = _refers_to_itself(table)
    if name != AUDIT:  # which nobody empties, and no migration fills
        connection.execute(delete(table))
    count = 0
    later: list[dict[str, object]] = []
    while some := list(itertools.islice(given, _AT_ONCE)):
        rows = [_row(columns, blobs, line) for line in some]
        for column in itself:
            later += [{"b_key": row["id"], "b_value": row[column]} for row in rows if row[column] is not None]
            rows = [{**row, column: None} for row in rows]
        connection.execute(insert(table), rows)
        count += len(rows)
    for column in itself[: bool(later)]:
        connection.execute(update(table).where(table.c.id == bindparam("b_key")).values({column: bindparam("b_value")}), later)
    _count_on(connection, table)
    return count


class _JsonText(TypeDecorator[str]):
    """JSON that is given as text, as every line has it."""

    impl = Text
    cache_ok = True

    def bind_expression(self, bindparam: BindParameter[str]) -> ColumnElement[str]:
        """Let the database read it."""
        return cast(type_coerce(bindparam, Text), JSONB)


def _is_json(connection: Connection, column: Column[Any]) -> bool:
    return isinstance(column.type.dialect_impl(connection.dialect), JSONB)


@contextmanager
def _without_indexes_of_fields() -> Iterator[None]:
    """SQLAlchemy looks at tables without the indexes over fields of records, and says so; they are made anew by the server."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Skipped unsupported reflection of expression-based index")
        yield


def _row(columns: Sequence[str], blobs: Sequence[bool], line: bytes) -> dict[str, object]:
    values = msgspec.json.decode(line, type=list[object])
    return {
        column: base64.b64decode(value) if blob and isinstance(value, str) else value
        for column, blob, value in zip(columns, blobs, values, strict=True)
    }


def _refers_to_itself(table: Table) -> list[str]:
    """The column that names another row of the same table, which may not be there yet."""
    found = [key.parent.name for key in table.foreign_keys if key.target_fullname.partition(".")[0] == table.name]
    if len(found) > 1:
        raise ValueError(f"the table {table.name} refers to itself more than once")
    return found


def _count_on(connection: Connection, table: Table) -> None:
    """PostgreSQL does not look at rows when it numbers the next one."""
    (key, *more) = table.primary_key.columns
    if connection.dialect.name != "postgresql" or more or key.name != "id":
        return
    sequence = connection.execute(text("SELECT pg_get_serial_sequence(:table, 'id')"), {"table": table.name}).scalar()
    if sequence and (highest := connection.execute(select(func.max(key))).scalar()):
        connection.execute(text("SELECT setval(:sequence, :highest)"), {"sequence": sequence, "highest": highest})

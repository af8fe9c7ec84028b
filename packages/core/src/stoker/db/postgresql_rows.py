# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Many rows in one statement: PostgreSQL takes them as one JSON document, which costs one round trip and little of our time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Final

import msgspec
from sqlalchemy import Boolean, Connection, Float, Integer, Table, TextClause, text

Rows = Sequence[Mapping[str, object]]

_TYPES: Final = ((Boolean, "boolean"), (Integer, "bigint"), (Float, "double precision"))
_encode = msgspec.json.Encoder().encode


def insert_rows(connection: Connection, table: Table, rows: Rows) -> None:
    """Add rows, all with the same columns, in their order."""
    connection.execute(_insert(table, tuple(rows[0])), {"rows": _encode(rows).decode()})


def upsert_rows(connection: Connection, table: Table, rows: Rows) -> None:
    """Add rows or change those with the same primary key."""
    connection.execute(_upsert(table, tuple(rows[0])), {"rows": _encode(rows).decode()})


def delete_rows(connection: Connection, table: Table, rows: Rows) -> None:
    """Delete the rows with these primary keys."""
    connection.execute(_delete(table, tuple(rows[0])), {"rows": _encode(rows).decode()})


def _given(table: Table, columns: tuple[str, ...]) -> str:
    """The rows as something to select from, numbered by ``number``."""
    types = [next((name for kind, name in _TYPES if isinstance(table.c[column].type, kind)), "text") for column in columns]
    wanted = ", ".join(f'"{column}" {kind}' for column, kind in zip(columns, types, strict=True))
    names = ", ".join(f'"{column}"' for column in columns)
    return f"ROWS FROM (json_to_recordset(CAST(:rows AS json)) AS ({wanted})) WITH ORDINALITY AS given ({names}, number)"


@cache
def _insert(table: Table, columns: tuple[str, ...]) -> TextClause:
    names = ", ".join(f'"{column}"' for column in columns)
    # names of our own tables and columns alone
    return text(f"INSERT INTO {table.name} ({names}) SELECT {names} FROM {_given(table, columns)} ORDER BY number")  # noqa: S608


@cache
def _upsert(table: Table, columns: tuple[str, ...]) -> TextClause:
    keys = [column.name for column in table.primary_key]
    changes = ", ".join(f'"{column}" = excluded."{column}"' for column in columns if column not in keys)
    return text(f"{_insert(table, columns).text} ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {changes}")


@cache
def _delete(table: Table, columns: tuple[str, ...]) -> TextClause:
    same = " AND ".join(f'{table.name}."{column}" = given."{column}"' for column in columns)
    return text(f"DELETE FROM {table.name} USING {_given(table, columns)} WHERE {same}")  # noqa: S608

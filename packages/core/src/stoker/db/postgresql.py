# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL: a database that outlives the machine of the server; it behaves to us as SQLite does."""

from __future__ import annotations

import itertools
from typing import Any, Final

from psycopg.types.string import StrDumperUnknown
from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError

from stoker.db.turns import writes
from stoker.errors import ConfigurationError

SCHEMES: Final = ("postgresql", "postgres")
READING: Final = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
"""Execution options of connections that see one state, and write nothing."""
_WRITERS: Final = 0x53746F6B6572  # "Stoker": the advisory lock of who writes
_CONNECT_SECONDS: Final = 5
_WAIT_SECONDS: Final = 15
_UNSORTED: Final = """
    SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod)
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_collation l ON l.oid = a.attcollation
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r'
      AND a.attnum > 0 AND NOT a.attisdropped AND l.collname <> 'C'
    ORDER BY c.relname, a.attnum
"""


def make_engine(url: str, password: str, connections: int) -> Engine:
    """An engine whose commits are on disk, and that notices a connection that was lost meanwhile.

    Raises:
        ConfigurationError: this is no URL.
    """
    try:
        parsed = make_url(url).set(drivername="postgresql+psycopg")
    except (ArgumentError, ValueError):
        raise ConfigurationError(
            "the database's URL cannot be read.",
            remedy="Write postgresql://USER@HOST:PORT/NAME; quote special characters as %XX.",
        ) from None  # its text would have the password
    if password and not parsed.password:
        parsed = parsed.set(password=password)
    engine = create_engine(
        _with_defaults(parsed),
        isolation_level="READ COMMITTED",
        pool_size=min(20, connections),
        max_overflow=max(0, connections - 20),
        pool_pre_ping=True,
        hide_parameters=True,
    )
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return engine


def _with_defaults(url: URL) -> URL:
    given = {"connect_timeout": str(_CONNECT_SECONDS), "application_name": "stoker", **dict(url.query)}
    return url.set(query=given)


def _begin(connection: Connection) -> None:
    """Who writes waits for its turn: a use case looks first and writes then, and nobody may come between."""
    if writes(connection):
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITERS})")


def sort_by_bytes(connection: Connection) -> None:
    """Give every text column the order that SQLite has: the order of names must not depend on a locale."""
    quote = connection.dialect.identifier_preparer.quote
    found = connection.exec_driver_sql(_UNSORTED).all()
    for table, columns in itertools.groupby(found, key=lambda row: row[0]):
        changes = ", ".join(f'ALTER COLUMN {quote(column)} TYPE {kind} COLLATE "C"' for _, column, kind in columns)
        connection.exec_driver_sql(f"ALTER TABLE {quote(table)} {changes}")


class _TextDumper(StrDumperUnknown):
    """PostgreSQL has no null character in texts: a name with one is the name of nothing."""

    def dump(self, obj: str) -> Any:  # noqa: ANN401  bytes or a buffer, as the driver likes it
        return super().dump(obj.replace("\0", "\N{REPLACEMENT CHARACTER}") if "\0" in obj else obj)


def _prepare(connection: Any, _record: object) -> None:  # noqa: ANN401  the driver's own connection
    connection.adapters.register_dumper(str, _TextDumper)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT set_config('synchronous_commit', 'on', false), set_config('lock_timeout', '{_WAIT_SECONDS}s', false), "
            "set_config('timezone', 'UTC', false)"
        )
    connection.commit()

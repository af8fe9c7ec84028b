# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The database: one engine, transactions that write, and reads that see one state."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event

from stoker.db import migrations

_WRITE = "stoker_write"


class Database:
    """Gives connections; writers of one process wait for each other here, not in the database."""

    def __init__(self, url: str) -> None:
        """Open the database; ``migrate`` brings its tables up to date."""
        self.url = url
        self.engine: Engine = create_engine(url, pool_size=20, max_overflow=40)
        self._writers = threading.RLock()
        if self.engine.dialect.name == "sqlite":
            event.listen(self.engine, "connect", _prepare_sqlite)
            event.listen(self.engine, "begin", _begin_sqlite)

    def migrate(self) -> None:
        """Bring the tables up to this version's state."""
        with self.transaction() as connection:
            migrations.upgrade(connection)

    @contextmanager
    def transaction(self, connection: Connection | None = None) -> Iterator[Connection]:
        """A transaction that may write: committed at the end, rolled back on an error.

        Args:
            connection: one of ``writer``; without it, one is taken for this transaction alone.
        """
        with self._writers:
            if connection is not None:
                with connection.begin():
                    yield connection
            else:
                with self.writer() as own, own.begin():
                    yield own

    @contextmanager
    def writer(self) -> Iterator[Connection]:
        """A connection for who writes often: to take one each time costs as much as to write a few rows."""
        with self.engine.connect().execution_options(**{_WRITE: True}) as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection that sees one state of the database and writes nothing."""
        with self.engine.connect() as connection:
            yield connection

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def _prepare_sqlite(connection: Any, _record: object) -> None:  # noqa: ANN401  the driver's own connection
    connection.isolation_level = None  # we say BEGIN ourselves; the driver would only at the first write
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=15000", "mmap_size=268435456"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get(_WRITE) else "BEGIN")

# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The database: one engine, transactions that write, and reads that see one state; SQLite and PostgreSQL alike."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy import Connection, Delete, Engine, Insert, Update, event

from stoker.db import changes, event_triggers, migrations, postgresql, records, refresh_queue, sqlite
from stoker.db.turns import WRITE
from stoker.errors import ConfigurationError
from stoker.telemetry.metrics import METRICS

CONNECTIONS: Final = 60
"""How many connections one process holds at most, unless it is told otherwise."""

_TOUCHED: Final = "stoker.touched"


class Database:
    """Gives connections. Writers take turns: those of one process here, those of several in the database."""

    def __init__(self, url: str, *, password: str = "", connections: int = CONNECTIONS) -> None:
        """Open the database; ``migrate`` brings its tables up to date.

        Args:
            url: ``sqlite:///PATH`` or ``postgresql://...``.
            password: for PostgreSQL, where the URL has none.
            connections: how many to hold at most.

        Raises:
            ConfigurationError: the URL is neither.
        """
        self.url = url
        kind = url.partition(":")[0].partition("+")[0]
        if kind == "sqlite":
            self.engine: Engine = sqlite.make_engine(url, connections)
            self._reading = self.engine
        elif kind in postgresql.SCHEMES:
            self.engine = postgresql.make_engine(url, password, connections)
            self._reading = self.engine.execution_options(**postgresql.READING)
        else:
            raise ConfigurationError(
                f"the database cannot be a {kind[:20]!r}.", remedy="Give a URL that begins with postgresql:// or sqlite:///."
            )
        self._writers = threading.RLock()
        self._followers: list[tuple[frozenset[str], Callable[[], None]]] = []
        event.listen(self.engine, "checkout", _taken)
        event.listen(self.engine, "checkin", _given_back)

    def migrate(self) -> None:
        """Bring the tables up to this version's state; of several processes that try, the others wait."""
        with self.transaction() as connection:
            migrations.upgrade(connection)
            if connection.dialect.name == "postgresql":
                postgresql.sort_by_bytes(connection)
            changes.watch(connection)
            records.watch(connection)
            refresh_queue.watch(connection)
            event_triggers.watch(connection)

    def after_changes(self, tables: Collection[str], follower: Callable[[], None]) -> None:
        """Call something after each transaction of this process that wrote to one of these tables, before the next one begins."""
        if not self._followers:
            event.listen(self.engine, "before_execute", _note_table)
        self._followers.append((frozenset(tables), follower))

    @contextmanager
    def transaction(self, connection: Connection | None = None) -> Iterator[Connection]:
        """A transaction that may write: committed at the end, rolled back on an error.

        Args:
            connection: one of ``writer``; without it, one is taken for this transaction alone.
        """
        with self._writers:
            if connection is not None:
                with self._followed(connection), connection.begin():
                    yield connection
            else:
                with self.writer() as own, self._followed(own), own.begin():
                    yield own

    @contextmanager
    def _followed(self, connection: Connection) -> Iterator[None]:
        """Tell those who follow tables that were written to, if the block ends well: it begins and ends the transaction."""
        if not self._followers:
            yield
            return
        touched: set[str] = set()
        connection.info[_TOUCHED] = touched
        try:
            yield
        finally:
            connection.info.pop(_TOUCHED, None)
        for tables, follower in self._followers:
            if not tables.isdisjoint(touched):
                follower()

    @contextmanager
    def writer(self) -> Iterator[Connection]:
        """A connection for who writes often: to take one each time costs as much as to write a few rows."""
        with self.engine.connect().execution_options(**{WRITE: True}) as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection that sees one state of the database and writes nothing."""
        with self._reading.connect() as connection:
            yield connection

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def _note_table(connection: Connection, clause: object, *_: object) -> None:
    if isinstance(clause, Insert | Update | Delete) and (touched := connection.info.get(_TOUCHED)) is not None:
        touched.add(str(clause.table))


def _taken(*_: object) -> None:
    METRICS.database_connections.inc()


def _given_back(*_: object) -> None:
    METRICS.database_connections.dec()

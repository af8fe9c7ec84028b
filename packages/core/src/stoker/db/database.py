# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The database: one engine, transactions that write, and reads that see one state; SQLite and PostgreSQL alike."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy import Connection, Engine, event

from stoker.db import changes, event_triggers, migrations, postgresql, refresh_queue, sqlite
from stoker.db.turns import WRITE
from stoker.errors import ConfigurationError
from stoker.telemetry.metrics import METRICS

CONNECTIONS: Final = 60
"""How many connections one process holds at most, unless it is told otherwise."""


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
        event.listen(self.engine, "checkout", _taken)
        event.listen(self.engine, "checkin", _given_back)

    def migrate(self) -> None:
        """Bring the tables up to this version's state; of several processes that try, the others wait."""
        with self.transaction() as connection:
            migrations.upgrade(connection)
            if connection.dialect.name == "postgresql":
                postgresql.sort_by_bytes(connection)
            changes.watch(connection)
            refresh_queue.watch(connection)
            event_triggers.watch(connection)

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


def _taken(*_: object) -> None:
    METRICS.database_connections.inc()


def _given_back(*_: object) -> None:
    METRICS.database_connections.dec()

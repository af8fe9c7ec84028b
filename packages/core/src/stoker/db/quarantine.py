# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Rows of hooks in quarantine."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, insert, select

from stoker.db.tables import environments
from stoker.db.tables import hook_quarantine as table


def read_quarantined(connection: Connection, *, plugin: str = "", environment_id: str | None = None) -> list[Row[Any]]:
    """Hooks in quarantine with the names of their environments, ordered by plugin, version, hook and environment.

    Args:
        connection: to the database.
        plugin: of this one alone.
        environment_id: of this environment alone; empty for those that belong to none.
    """
    query = select(table, environments.c.name.label("environment")).join(
        environments, environments.c.id == table.c.environment_id, isouter=True
    )
    if plugin:
        query = query.where(table.c.plugin == plugin)
    if environment_id is not None:
        query = query.where(table.c.environment_id == environment_id)
    order = (table.c.plugin, table.c.version, table.c.point, table.c.hook, table.c.environment_id)
    return list(connection.execute(query.order_by(*order)))


def write_quarantined(connection: Connection, row: dict[str, object]) -> None:
    """Keep a hook's state, whether one was kept or not."""
    drop_quarantined(connection, row)
    connection.execute(insert(table).values(row))


def drop_quarantined(connection: Connection, columns: dict[str, object]) -> int:
    """Keep nothing any more of the hooks with these values in the columns of the key; how many there were."""
    key: list[ColumnElement[bool]] = [
        column == columns[column.name] for column in table.primary_key.columns if column.name in columns
    ]
    return connection.execute(delete(table).where(*key)).rowcount

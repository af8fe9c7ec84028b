# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Rows of denied plugin versions, with those that came with Stoker."""

from __future__ import annotations

from sqlalchemy import Connection, delete, insert, select

from stoker.db.tables import plugin_denials as table
from stoker.domain.plugin_denial import BUILT_IN, Denial


def read_denials(connection: Connection) -> list[Denial]:
    """All denials, those of Stoker first, the others by name and versions."""
    rows = connection.execute(select(table).order_by(table.c.name, table.c.versions))
    own = [Denial(name=row.name, versions=row.versions, reason=row.reason, by=row.actor, at=row.at) for row in rows]
    return [*BUILT_IN, *own]


def write_denial(connection: Connection, denial: Denial) -> None:
    """Add a denial, or replace the one of the same versions."""
    drop_denial(connection, denial.name, denial.versions)
    connection.execute(
        insert(table).values(name=denial.name, versions=denial.versions, reason=denial.reason, actor=denial.by, at=denial.at)
    )


def drop_denial(connection: Connection, name: str, versions: str) -> None:
    """Forget a denial."""
    connection.execute(delete(table).where(table.c.name == name, table.c.versions == versions))

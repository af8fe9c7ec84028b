# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Rows of what environments had of a plugin before it got another version."""

from __future__ import annotations

import time

from sqlalchemy import ColumnElement, Connection, Row, delete, insert, select

from stoker.db.tables import plugin_versions_before as table

KEPT = 20
"""How many versions back an environment remembers of one plugin."""


def remember(
    connection: Connection, environment_id: str, plugin: str, version: str, settings: str, *, replaced_by: str, who: str
) -> None:
    """Remember a version and its settings (JSON text), as another version comes."""
    connection.execute(
        insert(table).values(
            environment_id=environment_id,
            plugin=plugin,
            version=version,
            settings=settings,
            replaced_by=replaced_by,
            actor=who,
            at=time.time(),
        )
    )
    old = select(table.c.id).where(*_of(environment_id, plugin)).order_by(table.c.id.desc()).offset(KEPT)
    for identity in connection.execute(old).scalars().all():
        connection.execute(delete(table).where(table.c.id == identity))


def version_before(connection: Connection, environment_id: str, plugin: str) -> Row[tuple[object, ...]] | None:
    """What it had last; none if it never got another version."""
    return connection.execute(select(table).where(*_of(environment_id, plugin)).order_by(table.c.id.desc()).limit(1)).first()


def forget_since(connection: Connection, environment_id: str, plugin: str, identity: int) -> None:
    """Forget a version and all that came after it: it is the present one again."""
    connection.execute(delete(table).where(*_of(environment_id, plugin), table.c.id >= identity))


def forget_history(connection: Connection, environment_id: str, plugin: str) -> None:
    """Forget all of a plugin in an environment."""
    connection.execute(delete(table).where(*_of(environment_id, plugin)))


def _of(environment_id: str, plugin: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return table.c.environment_id == environment_id, table.c.plugin == plugin

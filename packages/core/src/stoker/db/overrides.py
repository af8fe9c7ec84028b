# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Rows of the operator's overrides."""

from __future__ import annotations

import time

import msgspec
from sqlalchemy import Connection, delete, insert, select

from stoker.db.tables import environment_overrides as table
from stoker.domain.snapshot import OverrideInput


class StoredOverride(msgspec.Struct, frozen=True, kw_only=True):
    """An override, and when it was given."""

    override: OverrideInput
    at: float


def read_overrides(connection: Connection, environment_id: str) -> list[StoredOverride]:
    """An environment's overrides, ordered by place."""
    rows = connection.execute(select(table).where(table.c.environment_id == environment_id))
    found = [
        StoredOverride(
            override=OverrideInput(
                path=row.path,
                section=row.section,
                key=row.key,
                value=msgspec.json.decode(row.value),
                roles=row.roles.split(","),
                by=row.actor,
            ),
            at=row.at,
        )
        for row in rows
    ]
    # Not by the database: its collation may differ from one to the next.
    return sorted(found, key=lambda item: _place(item.override))


def write_override(connection: Connection, environment_id: str, override: OverrideInput) -> None:
    """Add an override, or change the one of the same place and roles."""
    drop_override(connection, environment_id, override)
    connection.execute(
        insert(table).values(
            environment_id=environment_id,
            path=override.path,
            section=override.section,
            key=override.key,
            roles=",".join(override.roles),
            value=msgspec.json.encode(override.value).decode(),
            actor=override.by,
            at=time.time(),
        )
    )


def drop_override(connection: Connection, environment_id: str, override: OverrideInput) -> bool:
    """Take the override of a place and its roles back; whether there was one."""
    place = (
        table.c.path == override.path,
        table.c.section == override.section,
        table.c.key == override.key,
        table.c.roles == ",".join(override.roles),
    )
    return connection.execute(delete(table).where(table.c.environment_id == environment_id, *place)).rowcount > 0


def _place(override: OverrideInput) -> tuple[str, str, str, list[str]]:
    return override.path, override.section, override.key, override.roles

# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Permissions that installed plugins bring, and whether the caller has them."""

from __future__ import annotations

import msgspec
from sqlalchemy import select

from stoker.db import tables
from stoker.domain import actor, permission
from stoker.domain.access import AccessLevel
from stoker.services.context import ServerContext


class PermissionView(msgspec.Struct, frozen=True, kw_only=True):
    """A permission of one plugin version."""

    name: str
    """``PLUGIN.NAME``."""
    plugin: str
    version: str
    title: str
    """What it allows."""
    access: AccessLevel
    """The lowest access level that has it."""
    granted: bool
    """Whether the caller has it."""
    environments: list[str] | None
    """The environments in which the caller has it; null for all."""


def list_all(context: ServerContext, plugin: str = "") -> list[PermissionView]:
    """The permissions of all installed versions of all plugins, or of one plugin, by name and version."""
    who, table = actor.current(), tables.plugins
    query = select(table.c.name, table.c.version, table.c.manifest).order_by(table.c.name, table.c.version)
    if plugin:
        query = query.where(table.c.name == plugin)
    with context.database.read() as connection:
        rows = connection.execute(query).all()
    found: list[PermissionView] = []
    for row in rows:
        for item in permission.declared(row.manifest):
            limits = None if who.environments is None or item.access is AccessLevel.VIEWER else sorted(who.environments)
            found.append(
                PermissionView(
                    name=f"{row.name}.{item.name}",
                    plugin=row.name,
                    version=row.version,
                    title=item.title,
                    access=item.access,
                    granted=who.access.covers(item.access),
                    environments=limits,
                )
            )
    return found

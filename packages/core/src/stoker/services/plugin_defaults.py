# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The server's default version of each plugin: the newest one, until an admin chooses another."""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection, delete, insert

from stoker.db import tables
from stoker.db.plugin_denials import read_denials
from stoker.db.plugins import default_version, default_versions, find_plugin, pinned_version
from stoker.domain.plugin_denial import refuse_denied
from stoker.errors import NotFoundError
from stoker.services import audit
from stoker.services.context import ServerContext


class DefaultView(msgspec.Struct, frozen=True, kw_only=True):
    """The server's default version of a plugin."""

    name: str
    version: str
    """What answers at ``/api/plugins/NAME/``, and what is enabled where no version is named."""
    chosen: bool
    """Whether an admin chose it; otherwise a newer version takes its place when it is installed."""


def list_all(context: ServerContext) -> list[DefaultView]:
    """The default version of every installed plugin, by name."""
    with context.database.read() as connection:
        return [_view(connection, name) for name in sorted(default_versions(connection))]


def choose(context: ServerContext, name: str, version: str) -> DefaultView:
    """Choose the default version; it stays until it is chosen otherwise or uninstalled.

    Raises:
        NotFoundError: it is not installed.
        ConflictError: it is denied.
    """
    with context.database.transaction() as connection:
        find_plugin(connection, name, version)
        refuse_denied(read_denials(connection), name, version)
        before = _view(connection, name)
        _forget_choice(connection, name)
        connection.execute(insert(tables.plugin_defaults).values(plugin=name, version=version))
        return _told(connection, before)


def follow_newest(context: ServerContext, name: str) -> DefaultView:
    """Take the choice back: the newest version is the default again. Raises NotFoundError."""
    with context.database.transaction() as connection:
        if default_version(connection, name) is None:
            raise NotFoundError(f"plugin {name} is not installed.", remedy="'stoker plugins list' shows what is.")
        before = _view(connection, name)
        _forget_choice(connection, name)
        return _told(connection, before)


def _forget_choice(connection: Connection, name: str) -> None:
    table = tables.plugin_defaults
    connection.execute(delete(table).where(table.c.plugin == name))


def _told(connection: Connection, before: DefaultView) -> DefaultView:
    after = _view(connection, before.name)
    audit.record(connection, "plugin.set-default", before.name, before.name, before=before, after=after)
    return after


def _view(connection: Connection, name: str) -> DefaultView:
    version = default_version(connection, name) or ""
    return DefaultView(name=name, version=version, chosen=pinned_version(connection, name) == version)

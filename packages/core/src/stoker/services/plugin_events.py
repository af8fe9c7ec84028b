# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Events for plugins as use cases see them: who hears of what, the last word before a plugin goes, what is still to be told."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import msgspec
from sqlalchemy import Connection, Row
from sqlalchemy.exc import SQLAlchemyError
from stoker_sdk.extension_points.events import EventHandler

from stoker.db import plugin_events as rows
from stoker.db.environments import find_environment
from stoker.db.plugins import default_version, plugin_versions
from stoker.db.tables import plugin_events as table
from stoker.errors import StokerError
from stoker.services import audit, plugin_settings
from stoker.services.context import ServerContext
from stoker.services.declared_hooks import declared
from stoker.services.event_delivery import FAREWELL_SECONDS, Target
from stoker.services.windows import Part, Window, cut, look

_LOG = logging.getLogger(__name__)


class PluginEventView(msgspec.Struct, frozen=True, kw_only=True):
    """An event that a plugin is still to be told."""

    id: int
    event: str
    at: float
    plugin: str
    environment: str
    """The environment's name; empty where the plugin is told for the whole server."""
    object_id: str
    object: str
    attempts: int
    """How often it was tried in vain."""
    next_try: float
    """When it is tried again; 0: at once. Later events of the same object wait for it."""
    reason: str
    """Why it was in vain the last time."""


def note_interests(connection: Connection, plugin: str, version: str, manifest: str) -> None:
    """Note, in the transaction of an installation, what the plugin's handlers hear of."""
    rows.add_interests(connection, plugin, version, [name for item in declared(manifest, EventHandler) for name in item.events])


def farewell(context: ServerContext, event: str, plugin: str, version: str, home: Row[Any] | None = None) -> None:
    """Tell a plugin that it goes, after all that it is still to be told; before anything is changed, and outside of any
    transaction. It never raises, and ends within ``FAREWELL_SECONDS``: nothing keeps a plugin from going.

    Args:
        context: the server.
        event: ``plugin.disabled`` or ``plugin.uninstalled``.
        plugin: which one.
        version: which goes.
        home: the environment that it goes from; ``None`` for the whole server.
    """
    if context.events is None:
        return
    environment = None if home is None else (str(home.id), str(home.name))
    try:
        with context.database.read() as connection:
            heard = rows.is_interested(connection, plugin, version, event)
            waits = rows.waiting(connection, plugin, environment[0] if environment else None)
        if heard or waits:
            context.wait(asyncio.wait_for(context.events.say_farewell(event, plugin, version, environment), FAREWELL_SECONDS))
    except (StokerError, SQLAlchemyError, TimeoutError) as error:
        _LOG.warning("plugin %s %s was not told %s: %s", plugin, version, event, error, extra={"plugin": plugin})


def drop(connection: Connection, plugin: str, *, version: str = "", home: Row[Any] | None = None) -> None:
    """Let go of what a plugin that goes was not told, in the transaction that takes it away; the audit says what it was."""
    identity = None if home is None else str(home.id)
    if found := rows.drop_undelivered(connection, plugin, version=version, environment_id=identity):
        where = "" if home is None else str(home.name)
        audit.record(connection, "event.drop", plugin, plugin, environment=where, before={"undelivered": found})


def target_of(connection: Connection, row: Row[Any]) -> Target:
    """Who is told an event: the version that it is for, else the one that the environment uses now, else the server's default."""
    version, settings = str(row.version), {}
    used = plugin_settings.used(connection, row.environment_id, row.plugin) if row.environment_id else None
    if used is not None:
        version, settings = version or used.version, used.settings
    version = version or default_version(connection, row.plugin) or ""
    manifest = next((str(item.manifest) for item in plugin_versions(connection, row.plugin) if item.version == version), "")
    handlers = tuple(item for item in declared(manifest, EventHandler) if row.event in item.events) if manifest else ()
    return Target(version, handlers, settings)


def list_undelivered(context: ServerContext, window: Window, plugin: str = "", environment: str = "") -> Part[PluginEventView]:
    """What plugins are still to be told, the oldest first. Raises NotFoundError: there is no such environment."""
    with context.database.read() as connection:
        identity = str(find_environment(connection, environment).id) if environment else None
        found = connection.execute(look(rows.undelivered(connection, plugin, identity), window, table.c.id)).all()
    shown, last = cut(found, window, lambda row: (int(row.id),))
    return Part([_view(row) for row in shown], last)


def _view(row: Row[Any]) -> PluginEventView:
    return PluginEventView(
        id=row.id,
        event=row.event,
        at=row.at,
        plugin=row.plugin,
        environment=row.environment,
        object_id=row.object_id,
        object=row.object,
        attempts=row.attempts,
        next_try=0.0 if row.next_try >= rows.HELD else row.next_try,
        reason=row.reason,
    )

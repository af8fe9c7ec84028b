# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Rows of events that plugins are still to be told."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, delete, exists, func, insert, select, true, update

from stoker.db.tables import plugin_event_interests as interests
from stoker.db.tables import plugin_events as table

HELD: Final = 1e12
"""A ``next_try`` that never comes: whoever wrote the event tells it themselves."""
MOST_KEPT: Final = 10_000
"""So many events of one plugin are kept; the oldest beyond that are dropped."""
KEPT_SECONDS: Final = 7 * 86400.0
"""So long an event is kept."""


def add_interests(connection: Connection, plugin: str, version: str, events: Iterable[str]) -> None:
    """Note what the handlers of a plugin that is being installed hear of; it goes with the plugin's row."""
    rows = [{"event": event, "plugin": plugin, "version": version} for event in sorted(set(events))]
    if rows:
        connection.execute(insert(interests), rows)


def is_interested(connection: Connection, plugin: str, version: str, event: str) -> bool:
    """Whether a plugin version has a handler for an event."""
    mine = (interests.c.plugin == plugin, interests.c.version == version, interests.c.event == event)
    return bool(connection.execute(select(exists().where(*mine))).scalar())


def anybody_interested(connection: Connection) -> bool:
    """Whether there is anything to look for."""
    return bool(connection.execute(select(exists().where(interests.c.plugin != ""))).scalar())


def heads(connection: Connection, now: float, without: Collection[str], limit: int = 200) -> list[Row[Any]]:
    """The first event of each queue (plugin, environment and object) whose time has come, the oldest first.

    Args:
        connection: to the database.
        now: the time.
        without: plugins that are told enough at present.
        limit: how many at most.
    """
    first = select(func.min(table.c.id)).group_by(table.c.plugin, table.c.environment_id, table.c.object_id)
    if without:
        first = first.where(table.c.plugin.not_in(list(without)))
    query = select(table).where(table.c.id.in_(first), table.c.next_try <= now).order_by(table.c.id).limit(limit)
    return list(connection.execute(query))


def add_held(
    connection: Connection, event: str, plugin: str, version: str, environment_id: str, environment: str, data: dict[str, object]
) -> Row[Any]:
    """An event of a plugin that is told by who writes it, and by nobody else."""
    result = connection.execute(
        insert(table)
        .values(
            at=time.time(),
            event=event,
            plugin=plugin,
            version=version,
            environment_id=environment_id,
            environment=environment,
            object_id=plugin,
            object=plugin,
            data=msgspec.json.encode(data).decode(),
            told="[]",
            attempts=0,
            next_try=HELD,
            reason="",
        )
        .returning(*table.columns)
    )
    return result.one()


def drop_told(connection: Connection, identities: Collection[int]) -> None:
    """Events that all handlers have heard."""
    connection.execute(delete(table).where(table.c.id.in_(list(identities))))


def postpone(connection: Connection, identity: int, *, told: list[str], attempts: int, next_try: float, reason: str) -> None:
    """An event that could not be told to all handlers."""
    connection.execute(
        update(table)
        .where(table.c.id == identity)
        .values(told=msgspec.json.encode(told).decode(), attempts=attempts, next_try=next_try, reason=reason)
    )


def hurry(connection: Connection, plugin: str, environment_id: str | None) -> int:
    """Let what waits for a plugin be tried at once; how many there are."""
    mine = (*_of(plugin, environment_id), table.c.next_try < HELD)
    return connection.execute(update(table).where(*mine).values(next_try=0.0)).rowcount


def waiting(connection: Connection, plugin: str, environment_id: str | None, *, untried: bool = False) -> int:
    """How many events wait for a plugin, beside those that are held; with ``untried`` those alone that can be tried at once."""
    mine = (*_of(plugin, environment_id), table.c.next_try <= 0 if untried else table.c.next_try < HELD)
    return int(connection.execute(select(func.count()).select_from(table).where(*mine)).scalar_one())


def drop_undelivered(
    connection: Connection, plugin: str, *, version: str = "", environment_id: str | None = None
) -> dict[str, int]:
    """Let go of what a plugin was not told: how many by event.

    Args:
        connection: to the database.
        plugin: whose.
        version: of those that are for this version alone; of all if empty.
        environment_id: of this environment alone; of all, and of none, if ``None``.
    """
    mine = [*_of(plugin, environment_id), table.c.version == version if version else true()]
    counts = select(table.c.event, func.count().label("number")).where(*mine).group_by(table.c.event).order_by(table.c.event)
    found = {str(row.event): int(row.number) for row in connection.execute(counts)}
    if found:
        connection.execute(delete(table).where(*mine))
    return found


def drop_old(connection: Connection, now: float) -> dict[str, int]:
    """Let go of what has waited too long, or is beyond what is kept of one plugin: how many by plugin."""
    dropped: dict[str, int] = {}
    for plugin in list(connection.execute(select(table.c.plugin).distinct()).scalars()):
        newest = select(table.c.id).where(table.c.plugin == plugin).order_by(table.c.id.desc()).offset(MOST_KEPT).limit(1)
        last = connection.execute(newest).scalar() or 0
        old = (table.c.plugin == plugin, (table.c.id <= last) | (table.c.at < now - KEPT_SECONDS))
        if number := connection.execute(delete(table).where(*old)).rowcount:
            dropped[str(plugin)] = number
    return dropped


def undelivered(connection: Connection, plugin: str = "", environment_id: str | None = None) -> Any:  # noqa: ANN401  a query
    """The query for what is still to be told, of one plugin or environment if named."""
    return select(table).where(table.c.plugin == plugin if plugin else true(), *_in(environment_id))


def _of(plugin: str, environment_id: str | None) -> list[ColumnElement[bool]]:
    return [table.c.plugin == plugin, *_in(environment_id)]


def _in(environment_id: str | None) -> list[ColumnElement[bool]]:
    return [] if environment_id is None else [table.c.environment_id == environment_id]

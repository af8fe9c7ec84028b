# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The triggers that write events for plugins in the transaction of a change, only where a plugin wants to hear of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec
from sqlalchemy import Connection

from stoker.db.sql_texts import NOW, OBJECT, aspects, differ


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """One event, and the change of a table's row that it tells of."""

    event: str
    table: str
    on: str
    """INSERT, UPDATE or DELETE."""
    identity: str
    """The object's id; an SQL expression over OLD or NEW, as are the next ones."""
    name: str
    environment: str = "''"
    """The id of the environment that it belongs to."""
    told: str = ""
    """Who is told, as the ``FROM`` and ``WHERE`` of interests ``i`` and environments ``e``."""
    version: str = "''"
    data: str = "'v', 1"
    """Names and values of a JSON object."""
    when: str = ""
    """A condition; always if empty."""


def _here(environment: str) -> str:
    """Plugins that are enabled in an environment."""
    return (
        "CROSS JOIN environment_plugins u CROSS JOIN environments e WHERE i.event = '{event}' "
        f"AND u.environment_id = {environment} AND u.plugin = i.plugin AND u.version = i.version AND u.state = 'enabled' "
        "AND e.id = u.environment_id"
    )


_ITSELF: Final = (
    "CROSS JOIN environments e WHERE i.event = '{event}' AND i.plugin = NEW.plugin AND i.version = NEW.version "
    "AND e.id = NEW.environment_id"
)
_EVERYBODY: Final = "CROSS JOIN environments e WHERE i.event = '{event}' AND e.id = NEW.id"
_MOVED: Final = differ("environment_id")
_NODE: Final = {
    "name": ("name",),
    "status": ("status", "status_reason"),
    "facts": ("facts",),
    "address": ("address", "port"),
    "transport": ("transport",),
    "removing": ("removing",),
}
_ROLES: Final = (
    "CROSS JOIN nodes n CROSS JOIN environment_plugins u CROSS JOIN environments e WHERE i.event = '{event}' "
    "AND n.id = NODE AND u.environment_id = n.environment_id AND u.plugin = i.plugin AND u.version = i.version "
    "AND u.state = 'enabled' AND e.id = u.environment_id"
)
_OWN: Final = {"table": "environment_plugins", "identity": "NEW.plugin", "name": "NEW.plugin", "told": _ITSELF}
_OWN_ENVIRONMENT: Final = {"environment": "NEW.environment_id", "version": "NEW.version"}

SOURCES: Final = (
    Source(
        event="node.created",
        table="nodes",
        on="INSERT",
        identity="NEW.id",
        name="NEW.name",
        environment="NEW.environment_id",
        told=_here("NEW.environment_id"),
        data="'status', NEW.status",
        when="NEW.environment_id IS NOT NULL",
    ),
    Source(
        event="node.created",
        table="nodes",
        on="UPDATE",
        identity="NEW.id",
        name="NEW.name",
        environment="NEW.environment_id",
        told=_here("NEW.environment_id"),
        data="'status', NEW.status",
        when=f"{_MOVED} AND NEW.environment_id IS NOT NULL",
    ),
    Source(
        event="node.removed",
        table="nodes",
        on="UPDATE",
        identity="OLD.id",
        name="OLD.name",
        environment="OLD.environment_id",
        told=_here("OLD.environment_id"),
        when=f"{_MOVED} AND OLD.environment_id IS NOT NULL",
    ),
    Source(
        event="node.removed",
        table="nodes",
        on="DELETE",
        identity="OLD.id",
        name="OLD.name",
        environment="OLD.environment_id",
        told=_here("OLD.environment_id"),
        when="OLD.environment_id IS NOT NULL",
    ),
    Source(
        event="node.changed",
        table="nodes",
        on="UPDATE",
        identity="NEW.id",
        name="NEW.name",
        environment="NEW.environment_id",
        told=_here("NEW.environment_id"),
        data=f"'changed', {aspects(**_NODE)}, 'status', NEW.status",
        when=f"NOT {_MOVED} AND {differ(*(column for group in _NODE.values() for column in group))}",
    ),
    Source(
        event="node.changed",
        table="node_roles",
        on="INSERT",
        identity="n.id",
        name="n.name",
        environment="n.environment_id",
        told=_ROLES.replace("NODE", "NEW.node_id"),
        data="'changed', 'roles', 'gets', NEW.role",
    ),
    Source(
        event="node.changed",
        table="node_roles",
        on="DELETE",
        identity="n.id",
        name="n.name",
        environment="n.environment_id",
        told=_ROLES.replace("NODE", "OLD.node_id"),
        data="'changed', 'roles', 'loses', OLD.role",
    ),
    Source(
        event="environment.created",
        table="environments",
        on="INSERT",
        identity="NEW.id",
        name="NEW.name",
        environment="NEW.id",
        told=_EVERYBODY,
    ),
    Source(
        event="environment.changed",
        table="environments",
        on="UPDATE",
        identity="NEW.id",
        name="NEW.name",
        environment="NEW.id",
        told=_here("NEW.id"),
        data=f"'changed', {aspects(name=('name',), revision=('revision',))}, 'revision', NEW.revision",
        when=differ("name", "revision"),
    ),
    Source(
        event="environment.removed",
        table="environments",
        on="DELETE",
        identity="OLD.id",
        name="OLD.name",
        environment="OLD.id",
        version="u.version",
        told=_here("OLD.id"),
    ),
    Source(
        event="deployment.finished",
        table="deployments",
        on="UPDATE",
        identity="NEW.id",
        name="NEW.id",
        environment="NEW.environment_id",
        told=_here("NEW.environment_id"),
        data="'state', NEW.state, 'reason', NEW.reason, 'plan', NEW.plan_id",
        when="OLD.finished_at IS NULL AND NEW.finished_at IS NOT NULL",
    ),
    Source(
        event="plugin.installed",
        table="plugin_event_interests",
        on="INSERT",
        identity="NEW.plugin",
        name="NEW.plugin",
        version="NEW.version",
        told="WHERE i.event = '{event}' AND i.plugin = NEW.plugin AND i.version = NEW.version",
        data="'version', NEW.version",
        when="NEW.event = 'plugin.installed'",
    ),
    Source(
        event="plugin.enabled",
        on="INSERT",
        data="'version', NEW.version",
        when="NEW.state = 'enabled'",
        **_OWN,
        **_OWN_ENVIRONMENT,
    ),
    Source(
        event="plugin.enabled",
        on="UPDATE",
        data="'version', NEW.version",
        when="OLD.state = 'removing' AND NEW.state = 'enabled'",
        **_OWN,
        **_OWN_ENVIRONMENT,
    ),
    Source(
        event="plugin.upgraded",
        on="UPDATE",
        data="'version', NEW.version, 'from', OLD.version",
        when="OLD.version <> NEW.version AND NEW.state = 'enabled'",
        **_OWN,
        **_OWN_ENVIRONMENT,
    ),
)
"""All but ``plugin.disabled`` and ``plugin.uninstalled``, which are told before anything is changed."""


def watch(connection: Connection) -> None:
    """Let the database write events: made anew at each start, so that they are those of this version."""
    dialect = connection.dialect.name
    named = {f"stoker_event_{source.event.replace('.', '_')}_{source.table}_{source.on.lower()}": source for source in SOURCES}
    for name in sorted(_present(connection, dialect) - named.keys()):
        connection.exec_driver_sql(f"DROP TRIGGER {name}" if dialect == "sqlite" else f"DROP FUNCTION {name}() CASCADE")
    for name, source in named.items():
        for statement in _trigger(dialect, name, source):
            connection.exec_driver_sql(statement.replace("%", "%%") if dialect == "postgresql" else statement)


def _present(connection: Connection, dialect: str) -> set[str]:
    """The names of the triggers that are there, also those of another version."""
    query = (
        "SELECT name FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'stoker_event_%'"
        if dialect == "sqlite"
        else "SELECT proname FROM pg_proc WHERE proname LIKE 'stoker_event_%%'"
    )
    return {str(name) for name in connection.exec_driver_sql(query).scalars()}


def _trigger(dialect: str, name: str, source: Source) -> Iterator[str]:
    # What is deleted takes the rows below it along: who is told is looked up before.
    time = "BEFORE" if source.on == "DELETE" else "AFTER"
    body = _written(dialect, source)
    if dialect == "sqlite":
        yield f"DROP TRIGGER IF EXISTS {name}"
        when = f"WHEN {source.when} " if source.when else ""
        yield f"CREATE TRIGGER {name} {time} {source.on} ON {source.table} {when}BEGIN {body}; END"
        return
    row = "OLD" if source.on == "DELETE" else "NEW"
    yield (
        f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ "
        f"BEGIN IF {source.when or 'TRUE'} THEN {body}; END IF; RETURN {row}; END $$"
    )
    yield f"CREATE OR REPLACE TRIGGER {name} {time} {source.on} ON {source.table} FOR EACH ROW EXECUTE FUNCTION {name}()"


def _written(dialect: str, source: Source) -> str:
    values = {
        "at": NOW[dialect],
        "event": f"'{source.event}'",
        "plugin": "i.plugin",
        "version": source.version,
        "environment_id": source.environment,
        "environment": "e.name" if " e " in source.told else "''",
        "object_id": source.identity,
        "object": source.name,
        "data": OBJECT[dialect].format(source.data),
        "told": "'[]'",
        "attempts": "0",
        "next_try": "0",
        "reason": "''",
    }
    told = source.told.replace("{event}", source.event)
    return (
        f"INSERT INTO plugin_events ({', '.join(values)}) SELECT {', '.join(values.values())} "  # noqa: S608  our own texts
        f"FROM plugin_event_interests i {told} ORDER BY i.plugin"
    )

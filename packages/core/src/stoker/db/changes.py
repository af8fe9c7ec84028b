# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The log of changes: what has become different, written by the database itself in the transaction of the change; bounded."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Row, func, insert, select

from stoker.db.sql_texts import NOW, OBJECT, aspects, differ
from stoker.db.tables import changes

KEPT: Final = 100_000
"""So many of the newest changes are kept."""
_PRUNED_EACH: Final = 1000


class Watched(msgspec.Struct, frozen=True, kw_only=True):
    """What is written when rows of a table change."""

    table: str
    on: str
    """INSERT, UPDATE or DELETE."""
    kind: str
    action: str
    identity: str
    """An SQL expression over OLD or NEW, as are the next three."""
    name: str
    environment: str = "NULL"
    """The environment's id."""
    data: str = "'v', 1"
    """Names and values of a JSON object."""
    when: str = ""
    """A condition; always if empty."""
    source: str = ""
    """``FROM ... WHERE ...``, if it is written only where something else is there."""


_NODE: Final = {
    "status": ("status", "status_reason"),
    "facts": ("facts",),
    "environment": ("environment_id", "removing"),
    "way": ("address", "port", '"user"', "sudo", "credential_id", "jump_node_id", "host_key"),
}
_ROLE_OF: Final = "FROM nodes WHERE id = "
WATCHED: Final = (
    Watched(
        table="nodes",
        on="INSERT",
        kind="node",
        action="added",
        identity="NEW.id",
        name="NEW.name",
        environment="NEW.environment_id",
        data="'status', NEW.status",
    ),
    Watched(
        table="nodes",
        on="UPDATE",
        kind="node",
        action="changed",
        identity="NEW.id",
        name="NEW.name",
        environment="coalesce(NEW.environment_id, OLD.environment_id)",
        data=f"'what', {aspects(**_NODE)}, 'status', NEW.status",
        when=differ(*(column for group in _NODE.values() for column in group)),
    ),
    Watched(
        table="nodes",
        on="DELETE",
        kind="node",
        action="removed",
        identity="OLD.id",
        name="OLD.name",
        environment="OLD.environment_id",
    ),
    Watched(
        table="node_roles",
        on="INSERT",
        kind="node",
        action="changed",
        identity="id",
        name="name",
        environment="environment_id",
        data="'what', 'roles', 'gets', NEW.role",
        source=f"{_ROLE_OF}NEW.node_id",
    ),
    Watched(
        table="node_roles",
        on="DELETE",
        kind="node",
        action="changed",
        identity="id",
        name="name",
        environment="environment_id",
        data="'what', 'roles', 'loses', OLD.role",
        source=f"{_ROLE_OF}OLD.node_id",
    ),
    Watched(
        table="environments",
        on="INSERT",
        kind="environment",
        action="added",
        identity="NEW.id",
        name="NEW.name",
        environment="NEW.id",
    ),
    Watched(
        table="environments",
        on="UPDATE",
        kind="environment",
        action="changed",
        identity="NEW.id",
        name="NEW.name",
        environment="NEW.id",
        data="'revision', NEW.revision",
        when=differ("revision", "name"),
    ),
    Watched(
        table="environments",
        on="DELETE",
        kind="environment",
        action="removed",
        identity="OLD.id",
        name="OLD.name",
        environment="OLD.id",
    ),
    Watched(
        table="plugins",
        on="INSERT",
        kind="plugin",
        action="added",
        identity="NEW.name || '/' || NEW.version",
        name="NEW.name",
        data="'version', NEW.version",
    ),
    Watched(
        table="plugins",
        on="DELETE",
        kind="plugin",
        action="removed",
        identity="OLD.name || '/' || OLD.version",
        name="OLD.name",
        data="'version', OLD.version",
    ),
    Watched(
        table="plans",
        on="INSERT",
        kind="plan",
        action="added",
        identity="NEW.id",
        name="NEW.id",
        environment="NEW.environment_id",
        data="'digest', NEW.digest, 'revision', NEW.revision",
    ),
    Watched(
        table="deployments",
        on="INSERT",
        kind="deployment",
        action="added",
        identity="NEW.id",
        name="NEW.id",
        environment="NEW.environment_id",
        data="'state', NEW.state, 'plan', NEW.plan_id",
    ),
    Watched(
        table="deployments",
        on="UPDATE",
        kind="deployment",
        action="changed",
        identity="NEW.id",
        name="NEW.id",
        environment="NEW.environment_id",
        data="'state', NEW.state, 'plan', NEW.plan_id",
        when=differ("state"),
    ),
    Watched(
        table="jobs",
        on="INSERT",
        kind="job",
        action="added",
        identity="NEW.id",
        name="NEW.plugin || '.' || NEW.action",
        environment="NEW.environment_id",
        data="'state', NEW.state, 'on', NEW.object",
    ),
    Watched(
        table="jobs",
        on="UPDATE",
        kind="job",
        action="changed",
        identity="NEW.id",
        name="NEW.plugin || '.' || NEW.action",
        environment="NEW.environment_id",
        data="'state', NEW.state, 'on', NEW.object, 'progress', NEW.progress, 'message', NEW.message",
        when=differ("state", "progress", "message", "cancelled"),
    ),
)
KINDS: Final = tuple(dict.fromkeys(item.kind for item in WATCHED))


def watch(connection: Connection) -> None:
    """Let the database write the log: made anew at each start, so that they are those of this version."""
    dialect = connection.dialect.name
    for statement in _statements(dialect):
        connection.exec_driver_sql(statement.replace("%", "%%") if dialect == "postgresql" else statement)


def _statements(dialect: str) -> Iterator[str]:
    for item in WATCHED:
        name = f"stoker_{item.table}_{item.on.lower()}"
        yield from trigger(dialect, name, item.table, item.on, item.when, _written(dialect, item))
    prune = f"DELETE FROM changes WHERE id <= NEW.id - {KEPT}"  # noqa: S608  our own number
    yield from trigger(dialect, "stoker_changes_prune", "changes", "INSERT", f"NEW.id % {_PRUNED_EACH} = 0", prune)


def trigger(dialect: str, name: str, table: str, on: str, when: str, body: str) -> Iterator[str]:
    """The statements that make a trigger for each row of a table.

    Args:
        dialect: of the database.
        name: the trigger's.
        table: whose rows.
        on: INSERT, UPDATE or DELETE.
        when: a condition over OLD and NEW; always if empty.
        body: statements, with a semicolon between them.
    """
    if dialect == "sqlite":
        yield f"DROP TRIGGER IF EXISTS {name}"
        yield f"CREATE TRIGGER {name} AFTER {on} ON {table} {f'WHEN {when} ' if when else ''}BEGIN {body}; END"
        return
    # The condition stands in the function: a column that a trigger itself names could not get another type.
    yield (
        f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ "
        f"BEGIN IF {when or 'TRUE'} THEN {body}; END IF; RETURN NULL; END $$"
    )
    yield f"CREATE OR REPLACE TRIGGER {name} AFTER {on} ON {table} FOR EACH ROW EXECUTE FUNCTION {name}()"


def _written(dialect: str, item: Watched) -> str:
    values = ", ".join(
        (
            NOW[dialect],
            f"'{item.kind}'",
            f"'{item.action}'",
            item.identity,
            item.name,
            f"coalesce({item.environment}, '')",
            OBJECT[dialect].format(item.data),
        )
    )
    columns = "at, kind, action, object_id, object, environment_id, data"
    return f"INSERT INTO changes ({columns}) SELECT {values} {item.source}".rstrip()


def add_change(
    connection: Connection, kind: str, action: str, *, identity: str, name: str, environment_id: str, data: dict[str, object]
) -> None:
    """Write what no table's row tells, e.g. how far the making of a plan is."""
    connection.execute(
        insert(changes).values(
            at=time.time(),
            kind=kind,
            action=action,
            object_id=identity,
            object=name,
            environment_id=environment_id,
            data=msgspec.json.encode(data).decode(),
        )
    )


def newest(connection: Connection) -> int:
    """The id of the newest change; 0 if there is none."""
    return int(connection.execute(select(func.max(changes.c.id))).scalar() or 0)


def oldest(connection: Connection) -> int:
    """The id of the oldest change that is kept; 0 if there is none."""
    return int(connection.execute(select(func.min(changes.c.id))).scalar() or 0)


def changes_after(
    connection: Connection, last: int, *, kinds: Sequence[str] = (), environment_id: str = "", limit: int = 1000
) -> list[Row[Any]]:
    """Changes after one, the oldest first."""
    query = select(changes).where(changes.c.id > last)
    if kinds:
        query = query.where(changes.c.kind.in_(kinds))
    if environment_id:
        query = query.where(changes.c.environment_id == environment_id)
    return list(connection.execute(query.order_by(changes.c.id).limit(limit)))


def state_of(connection: Connection, kinds: Sequence[str]) -> str:
    """A name for the present state of all things of these kinds: another one after each change."""
    query = select(changes.c.id, changes.c.at).where(changes.c.kind.in_(kinds)).order_by(changes.c.id.desc()).limit(1)
    row = connection.execute(query).first()
    return "0" if row is None else f"{row.id}-{row.at!r}"

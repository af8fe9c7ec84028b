# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The queue of what serializer hooks must make anew: written by the database itself, in the transaction of the change.

An object is queued only if a hook that is in use depends on what has changed of it: without hooks a write costs a look into
an empty table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row, and_, delete, insert, literal, or_, select

from stoker.db import changes, tables
from stoker.db.sql_texts import NOW, OBJECT
from stoker.db.tables import refresh_queue as queue
from stoker.domain.serializer_hook import INPUTS, NEW

_PLAN: Final = {"plan": "plan_id"}
_READ: Final = "h.records <> '' AND replace(h.records, ',' || {side}.collection || ',', '') <> h.records"
"""A condition: a hook reads the collection."""
_INSERT: Final = "INSERT INTO refresh_queue (environment_id, kind, object_id, inputs, plugin, name)"


def _changed(kind: str, *names: str) -> str:
    """An expression: the bits of the columns in which OLD and NEW differ."""
    parts = []
    for name in names:
        column = _PLAN.get(name, name)
        parts.append(f"(CASE WHEN OLD.{column} IS DISTINCT FROM NEW.{column} THEN {INPUTS[kind][name]} ELSE 0 END)")
    return f"({' + '.join(parts)})"


def _wanted(kind: str, environment: str, bits: str) -> str:
    """A condition: a hook of the environment depends on one of the bits."""
    return (
        f"{bits} <> 0 AND EXISTS (SELECT 1 FROM serializer_hooks h WHERE h.environment_id = {environment}"  # noqa: S608  ours
        f" AND h.target = '{kind}' AND (h.inputs & {bits}) <> 0)"
    )


def _queued(kind: str, environment: str, identity: str, bits: str | int, source: str = "") -> str:
    return (f"{_INSERT} SELECT {environment}, '{kind}', {identity}, {bits}, '', '' {source}").rstrip()


def _rules() -> Iterator[tuple[str, str, str, str]]:
    """Table, event, condition, what is done."""
    columns = _changed("node", "name", "address", "transport", "status", "facts")
    yield (
        "nodes",
        "UPDATE",
        _wanted("node", "NEW.environment_id", columns),
        _queued("node", "NEW.environment_id", "NEW.id", columns),
    )
    moved = "OLD.environment_id IS DISTINCT FROM NEW.environment_id"
    forget = "DELETE FROM object_ext WHERE object_id = OLD.id"
    yield ("nodes", "UPDATE OF environment_id", moved, f"{forget}; {_into('NEW')}")
    yield ("nodes", "INSERT", "NEW.environment_id IS NOT NULL", _into("NEW"))
    for event, side in (("INSERT", "NEW"), ("DELETE", "OLD")):
        bits = str(INPUTS["node"]["roles"])
        of = f"FROM nodes n WHERE n.id = {side}.node_id AND {_wanted('node', 'n.environment_id', bits)}"
        yield ("node_roles", event, "", _queued("node", "n.environment_id", "n.id", bits, of))
    columns = _changed("environment", "name", "revision")
    yield (
        "environments",
        "UPDATE",
        _wanted("environment", "NEW.id", columns),
        _queued("environment", "NEW.id", "NEW.id", columns),
    )
    some = _wanted("deployment", "NEW.environment_id", str(NEW))
    yield ("deployments", "INSERT", some, _queued("deployment", "NEW.environment_id", "NEW.id", NEW))
    columns = _changed("deployment", "state", "reason", "plan", "finished_at")
    yield (
        "deployments",
        "UPDATE",
        _wanted("deployment", "NEW.environment_id", columns),
        _queued("deployment", "NEW.environment_id", "NEW.id", columns),
    )
    for table in ("nodes", "deployments", "environments"):
        yield (table, "DELETE", "", forget)
    for event, side in (("INSERT", "NEW"), ("DELETE", "OLD"), ("UPDATE", "NEW")):
        yield ("environment_plugins", event, "", _plugin(side))


def _into(side: str) -> str:
    source = f"WHERE {_wanted('node', f'{side}.environment_id', str(NEW))}"
    return _queued("node", f"{side}.environment_id", f"{side}.id", NEW, source)


def _plugin(side: str) -> str:
    return f"{_INSERT} SELECT {side}.environment_id, 'plugin', '', 0, {side}.plugin, ''"


def _record(side: str) -> str:
    """A record is of the environment that it names, or of all that use the plugin."""
    return (
        f"{_INSERT} SELECT DISTINCT h.environment_id, 'record', {side}.key, 0, {side}.plugin, {side}.collection "  # noqa: S608  ours
        "FROM serializer_hooks h "
        f"WHERE h.plugin = {side}.plugin AND {side}.environment_id IN ('', h.environment_id) "
        f"AND {_READ.format(side=side)} AND coalesce((SELECT c.generation FROM record_collections c "
        f"WHERE c.plugin = {side}.plugin AND c.environment_id = {side}.environment_id AND c.collection = {side}.collection"
        f"), {side}.generation) = {side}.generation"
    )


def _live() -> str:
    """Another generation of a collection is live: all its records are others."""
    return (
        f"{_INSERT} SELECT h.environment_id, 'hook', '', 0, h.plugin, h.name FROM serializer_hooks h "  # noqa: S608  ours
        f"WHERE h.plugin = NEW.plugin AND NEW.environment_id IN ('', h.environment_id) AND {_READ.format(side='NEW')}"
    )


def _records() -> Iterator[tuple[str, str, str, str]]:
    for event, side in (("INSERT", "NEW"), ("DELETE", "OLD"), ("UPDATE", "NEW")):
        yield ("plugin_records", event, "", _record(side))
    yield ("record_collections", "UPDATE OF generation", "OLD.generation <> NEW.generation", _live())


def _shown() -> Iterator[tuple[str, str, str, str]]:
    """What hooks add is a part of the objects: the log of changes tells of it, as long as the object is there."""
    for event, side in (("INSERT", "NEW"), ("UPDATE", "NEW"), ("DELETE", "OLD")):
        objects = (
            f"SELECT id, name, environment_id AS home FROM nodes WHERE id = {side}.object_id "  # noqa: S608  ours
            f"UNION ALL SELECT id, name, id FROM environments WHERE id = {side}.object_id "
            f"UNION ALL SELECT id, id, environment_id FROM deployments WHERE id = {side}.object_id"
        )
        values = f"{{now}}, {side}.kind, 'changed', o.id, o.name, coalesce(o.home, ''), {{what}} FROM ({objects}) o"
        yield (
            "object_ext",
            event,
            "",
            f"INSERT INTO changes (at, kind, action, object_id, object, environment_id, data) SELECT {values}",
        )


def watch(connection: Connection) -> None:
    """Let the database write the queue: made anew at each start, as with the log of changes."""
    dialect = connection.dialect.name
    rules = [*_rules(), *_records(), *_shown()]
    names: set[str] = set()
    for table, event, when, body in rules:
        name = f"stoker_ext_{table}_{event.lower().replace(' ', '_')}"
        while name in names:
            name += "_too"
        names.add(name)
        filled = body.replace("{now}", NOW[dialect]).replace("{what}", OBJECT[dialect].format("'what', 'ext'"))
        for statement in changes.trigger(dialect, name, table, event, when, filled):
            connection.exec_driver_sql(statement.replace("%", "%%") if dialect == "postgresql" else statement)


def waiting(connection: Connection, limit: int) -> Sequence[Row[Any]]:
    """What waits, in order."""
    return connection.execute(select(queue).order_by(queue.c.id).limit(limit)).all()


def add_hook(connection: Connection, environment_id: str, plugin: str, name: str) -> int:
    """Queue a hook for all objects of an environment; answers the row's id."""
    values = {"environment_id": environment_id, "kind": "hook", "object_id": "", "inputs": 0, "plugin": plugin, "name": name}
    key = connection.execute(insert(queue).values(**values)).inserted_primary_key
    return 0 if key is None else int(key[0])


def done(connection: Connection, last: int, *, keep: Sequence[int] = ()) -> None:
    """Take off the queue what was there at one moment: everything up to a row, but for some."""
    connection.execute(delete(queue).where(queue.c.id <= last, queue.c.id.not_in(keep)))


def hooks_that_wait(connection: Connection, environment_id: str) -> set[tuple[str, str]]:
    """Plugin and name of those of an environment's hooks for which something waits."""
    hooks = tables.serializer_hooks
    either = or_(
        and_(queue.c.kind == "hook", queue.c.plugin == hooks.c.plugin, queue.c.name == hooks.c.name),
        and_(queue.c.kind == "plugin", queue.c.plugin == hooks.c.plugin),
        and_(
            queue.c.kind == "record",
            queue.c.plugin == hooks.c.plugin,
            hooks.c.records.contains(literal(",").concat(queue.c.name).concat(",")),
        ),
        and_(queue.c.kind == hooks.c.target, queue.c.inputs.bitwise_and(hooks.c.inputs) != 0),
    )
    joined = queue.join(hooks, and_(hooks.c.environment_id == queue.c.environment_id, either))
    query = select(hooks.c.plugin, hooks.c.name).select_from(joined).where(queue.c.environment_id == environment_id).distinct()
    return {(row.plugin, row.name) for row in connection.execute(query)}

# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The refresh queue as work: what is taken off it, which hooks are called for which objects, and how their end is noted."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import Connection, and_, bindparam, delete, func, or_, select, update

from stoker.db import refresh_queue, tables
from stoker.db.serializer_hooks import publish, settle
from stoker.services.hook_inputs import objects_of

_TAKEN: Final = 20_000
"""Rows of the queue that are looked at at once, at most."""
_BACKOFF: Final = (5.0, 10.0, 20.0, 40.0, 60.0, 120.0, 300.0)
"""Seconds until a hook that failed is called again."""
_REASON: Final = 2000
_hooks = tables.serializer_hooks
_queue = tables.refresh_queue


class Key(NamedTuple):
    """A hook in an environment."""

    environment_id: str
    plugin: str
    name: str


class Take(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done."""

    last: int
    """The newest row of the queue that this is about."""
    keep: list[int]
    """Rows before it that wait on: their hooks are being called, or failed and are not called yet."""
    wanted: dict[Key, set[str] | None]
    """Hook -> the objects that it makes anew; ``None`` for all."""


class Outcome(msgspec.Struct, kw_only=True):
    """What came of calls of one hook since the last time that results were stored."""

    target: str
    made_of: str
    """What the hook worked with: if that is another by now, what it gave is not stored."""
    fragments: dict[str, msgspec.Raw | None] = {}
    ended: bool = False
    fault: str = ""


def is_waiting(connection: Connection, busy: Collection[Key]) -> bool:
    """Whether anything can be made anew now."""
    now = time.time()
    if connection.execute(_ANY, {"now": now}).scalar():
        return True
    rows = connection.execute(_WAITING_HOOKS)
    return any(Key(*row[:3]) not in busy and (row.not_before or 0.0) <= now for row in rows)


def _any() -> Any:  # noqa: ANN401  a query
    others = select(_queue.c.id).where(_queue.c.kind != "hook").exists()
    due = select(_hooks.c.name).where(_hooks.c.due_at <= bindparam("now")).exists()
    return select(or_(others, due))


_ANY: Final = _any()
_WAITING_HOOKS: Final = (
    select(_queue.c.environment_id, _queue.c.plugin, _queue.c.name, func.max(_hooks.c.not_before).label("not_before"))
    .outerjoin(
        _hooks,
        and_(
            _hooks.c.environment_id == _queue.c.environment_id,
            _hooks.c.plugin == _queue.c.plugin,
            _hooks.c.name == _queue.c.name,
        ),
    )
    .where(_queue.c.kind == "hook")
    .group_by(_queue.c.environment_id, _queue.c.plugin, _queue.c.name)
)


def take(connection: Connection, busy: Collection[Key], own: Collection[int]) -> Take:
    """Look at what waits; in a transaction.

    Args:
        connection: of the transaction.
        busy: hooks that are being called: what waits for them waits on.
        own: rows that stand for calls that are under way: all others came after these began.
    """
    now = time.time()
    for environment_id, plugin in _changed_plugins(connection):
        settle(connection, environment_id, plugin)
    for row in connection.execute(select(_hooks).where(_hooks.c.due_at <= now)).all():
        connection.execute(update(_hooks).where(*_this(Key(row.environment_id, row.plugin, row.name))).values(due_at=None))
        refresh_queue.add_hook(connection, row.environment_id, row.plugin, row.name)
    rows = refresh_queue.waiting(connection, _TAKEN)
    if not rows:
        return Take(last=0, keep=[], wanted={})
    known = _known(connection, {row.environment_id for row in rows})
    wanted, standing = _wanted([row for row in rows if row.id not in own], known)
    hooks = {Key(hook.environment_id, hook.plugin, hook.name): hook for some in known.values() for hook in some}
    keep = [*own]
    for key in list(wanted):
        if key in busy or hooks[key].not_before > now:
            del wanted[key]
            if key in standing:
                keep.append(standing[key])
            else:
                refresh_queue.add_hook(connection, *key)
        elif hooks[key].failures:
            wanted[key] = None  # nobody knows which objects it left as they were
    return Take(last=rows[-1].id, keep=keep, wanted=wanted)


def _wanted(rows: Iterable[Any], known: Mapping[str, Iterable[Any]]) -> tuple[dict[Key, set[str] | None], dict[Key, int]]:
    """Hooks with the objects that they make anew (``None``: all), and the rows of hooks that stand in the queue themselves."""
    wanted: dict[Key, set[str] | None] = {}
    standing: dict[Key, int] = {}
    for row in rows:
        for hook in known.get(row.environment_id, ()):
            if not _concerns(row, hook):
                continue
            key = Key(hook.environment_id, hook.plugin, hook.name)
            if row.kind == "hook":
                wanted[key] = None
                standing.setdefault(key, row.id)
            elif (objects := wanted.setdefault(key, set())) is not None:
                objects.add(row.object_id)
    return wanted, standing


def _changed_plugins(connection: Connection) -> list[tuple[str, str]]:
    query = select(_queue.c.environment_id, _queue.c.plugin).where(_queue.c.kind == "plugin").distinct()
    there = set(connection.execute(select(tables.environments.c.id)).scalars())
    return [(row.environment_id, row.plugin) for row in connection.execute(query).all() if row.environment_id in there]


def _known(connection: Connection, environments: Collection[str]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    query = select(_hooks).order_by(_hooks.c.plugin, _hooks.c.name)
    for hook in connection.execute(query):
        if hook.environment_id in environments:
            found.setdefault(hook.environment_id, []).append(hook)
    return found


def _concerns(row: Any, hook: Any) -> bool:  # noqa: ANN401  rows
    """Whether a hook must be called because of a row of the queue."""
    if row.kind == "hook":
        return bool(row.plugin == hook.plugin and row.name == hook.name)
    if row.kind == "record":
        return row.plugin == hook.plugin and f",{row.name}," in hook.records
    return bool(row.kind == hook.target and row.inputs & hook.inputs)


def _this(key: Key) -> tuple[Any, ...]:
    return (_hooks.c.environment_id == key.environment_id, _hooks.c.plugin == key.plugin, _hooks.c.name == key.name)


def store(connection: Connection, outcomes: Mapping[Key, Outcome]) -> None:
    """Store what hooks gave, and note those that ended; in a transaction."""
    now = time.time()
    together: dict[tuple[str, str], dict[str, dict[tuple[str, str], Any]]] = {}
    present: dict[tuple[str, str], set[str]] = {}
    for key, outcome in outcomes.items():
        row = connection.execute(select(_hooks).where(*_this(key))).first()
        if row is None or row.made_of != outcome.made_of:
            continue  # changed meanwhile: it is queued already
        place = (key.environment_id, outcome.target)
        if outcome.fragments and place not in present:
            present[place] = set(objects_of(connection, outcome.target, key.environment_id))
        for identity, fragment in outcome.fragments.items():
            if identity in present[place]:
                together.setdefault(place, {}).setdefault(identity, {})[key.plugin, key.name] = fragment
        if outcome.ended:
            _note(connection, key, row, outcome.fault, now)
    for (environment_id, target), given in together.items():
        publish(connection, environment_id, target, given)


def _note(connection: Connection, key: Key, row: Any, fault: str, now: float) -> None:  # noqa: ANN401  a row
    """Note how a hook ended; one that failed waits, for all objects."""
    if not fault:
        due = now + row.time_to_live if row.time_to_live else None
        values = {"failures": 0, "reason": "", "not_before": 0.0, "published_at": now, "due_at": due}
    else:
        pause = _BACKOFF[min(row.failures, len(_BACKOFF) - 1)]
        values = {"failures": row.failures + 1, "reason": fault[:_REASON], "not_before": now + pause, "due_at": None}
        refresh_queue.add_hook(connection, *key)
    connection.execute(update(_hooks).where(*_this(key)).values(**values))


def finish(connection: Connection, taken: Take, unfinished: Iterable[Key]) -> dict[Key, int]:
    """Take off the queue what was taken; hooks that are still being called stand there themselves: the ids of their rows."""
    rows = {key: refresh_queue.add_hook(connection, *key) for key in unfinished}
    refresh_queue.done(connection, taken.last, keep=taken.keep)
    return rows


def drop_row(connection: Connection, row: int) -> None:
    """Take a row off the queue."""
    connection.execute(delete(_queue).where(_queue.c.id == row))


def begin(connection: Connection) -> None:
    """Forget pauses: after a restart, hooks that failed are called again."""
    connection.execute(update(_hooks).where(_hooks.c.not_before > 0).values(not_before=0.0))

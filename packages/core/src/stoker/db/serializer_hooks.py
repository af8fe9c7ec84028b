# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Rows of the serializer hooks that are in use, and of what they have added to objects."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, delete, insert, select, update

from stoker.db import refresh_queue, tables
from stoker.domain.ext import Texts, fragments_of, put_together
from stoker.domain.serializer_hook import DeclaredHook, declared_hooks, level_of_hook

_AT_ONCE: Final = 500
hooks = tables.serializer_hooks
ext = tables.object_ext


def settle(connection: Connection, environment_id: str, plugin: str) -> None:
    """See to it that the hooks in use are those of the plugin as the environment has it now.

    What hooks added that are gone is taken away; those that are new, or work with another version or other settings, are queued
    for all objects. Called in the transaction of the change; called again, it does nothing.
    """
    before = {row.name: row for row in hooks_of(connection, environment_id, plugin)}
    wanted = _wanted(connection, environment_id, plugin)
    stay = {name for name, row in before.items() if name in wanted and _same_kind(row, wanted[name])}
    gone = before.keys() - stay
    if gone:
        place = (hooks.c.environment_id == environment_id, hooks.c.plugin == plugin)
        connection.execute(delete(hooks).where(*place, hooks.c.name.in_(gone)))
        _take_away(connection, environment_id, plugin, gone)
    for name, values in wanted.items():
        if name in stay and before[name].made_of == values["made_of"]:
            continue
        if name in stay:
            mine = (hooks.c.environment_id == environment_id, hooks.c.plugin == plugin, hooks.c.name == name)
            connection.execute(update(hooks).where(*mine).values(**values, failures=0, reason="", not_before=0.0))
        else:
            fresh = {"failures": 0, "reason": "", "not_before": 0.0}
            key = {"environment_id": environment_id, "plugin": plugin, "name": name}
            connection.execute(insert(hooks).values(**key, **values, **fresh))
        refresh_queue.add_hook(connection, environment_id, plugin, name)


def _wanted(connection: Connection, environment_id: str, plugin: str) -> dict[str, dict[str, Any]]:
    used, installed = tables.environment_plugins, tables.plugins
    row = connection.execute(
        select(used.c.version, used.c.settings, installed.c.digest, installed.c.manifest)
        .join(installed, (installed.c.name == used.c.plugin) & (installed.c.version == used.c.version))
        .where(used.c.environment_id == environment_id, used.c.plugin == plugin, used.c.state == "enabled")
    ).first()
    if row is None:
        return {}
    return {
        hook.name: {
            "target": hook.target,
            "inputs": hook.inputs,
            "records": hook.collections,
            "level": level_of_hook(row.manifest, hook),
            "time_to_live": hook.time_to_live,
            "made_of": _made_of(row, hook),
        }
        for hook in declared_hooks(row.manifest).values()
    }


def _made_of(row: Any, hook: DeclaredHook) -> str:  # noqa: ANN401  a row
    parts = (row.version, row.digest, row.settings if hook.settings else "")
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()


def _same_kind(row: Row[Any], values: Mapping[str, object]) -> bool:
    """Whether what a hook has added can stay until it is made anew: it is of the same objects, for the same people."""
    return bool(row.target == values["target"] and row.level == values["level"])


def hooks_of(connection: Connection, environment_id: str, plugin: str = "") -> Sequence[Row[Any]]:
    """The hooks that an environment uses, by plugin and name; of one plugin if it is named."""
    query = select(hooks).where(hooks.c.environment_id == environment_id).order_by(hooks.c.plugin, hooks.c.name)
    if plugin:
        query = query.where(hooks.c.plugin == plugin)
    return connection.execute(query).all()


def call_again(connection: Connection, plugin: str) -> None:
    """Let a plugin's hooks be called without waiting for the end of a pause."""
    connection.execute(update(hooks).where(hooks.c.plugin == plugin).values(not_before=0.0))


def _take_away(connection: Connection, environment_id: str, plugin: str, names: Collection[str]) -> None:
    """Take away what hooks have added to the objects of an environment."""
    mine = connection.execute(
        select(ext.c.object_id, ext.c.kind).where(ext.c.environment_id == environment_id).order_by(ext.c.object_id)
    ).all()
    for kind in {row.kind for row in mine}:
        objects = [row.object_id for row in mine if row.kind == kind]
        nothing = {(plugin, name): None for name in names}
        publish(connection, environment_id, kind, dict.fromkeys(objects, nothing))


def publish(connection: Connection, environment_id: str, kind: str, given: Mapping[str, Mapping[tuple[str, str], Any]]) -> int:
    """Store what hooks add to objects of one kind; the number of objects that are different now.

    Args:
        connection: a transaction.
        environment_id: whose objects they are.
        kind: of the objects.
        given: object -> plugin and hook -> what it adds (``msgspec.Raw``), or ``None`` for nothing.
    """
    levels = {(row.plugin, row.name): int(row.level) for row in hooks_of(connection, environment_id) if row.target == kind}
    found = 0
    for some in _in_parts(sorted(given)):
        before = {
            row.object_id: Texts(row.everybody, row.operator, row.admin)
            for row in connection.execute(select(ext).where(ext.c.object_id.in_(some)))
        }
        after: dict[str, Texts] = {}
        for identity in some:
            fragments = fragments_of(before[identity].whole) if identity in before else {}
            for (plugin, name), fragment in given[identity].items():
                if fragment is None:
                    fragments.get(plugin, {}).pop(name, None)
                else:
                    fragments.setdefault(plugin, {})[name] = fragment
            after[identity] = put_together(fragments, lambda plugin, name: levels.get((plugin, name)))
        changed = [identity for identity in some if after[identity] != before.get(identity, Texts())]
        _store(connection, environment_id, kind, {identity: after[identity] for identity in changed}, before)
        found += len(changed)
    return found


def _store(
    connection: Connection, environment_id: str, kind: str, texts: Mapping[str, Texts], before: Mapping[str, Texts]
) -> None:
    rows = {
        identity: {"b_everybody": text.everybody, "b_operator": text.operator, "b_admin": text.admin, "b_id": identity}
        for identity, text in texts.items()
    }
    gone = [{"b_id": identity} for identity, text in texts.items() if not text.whole]
    old = [rows[identity] for identity, text in texts.items() if text.whole and identity in before]
    new = [rows[identity] for identity, text in texts.items() if text.whole and identity not in before]
    key = ext.c.object_id == bindparam("b_id")
    if gone:
        connection.execute(delete(ext).where(key), gone)
    values: dict[str, Any] = {name: bindparam(f"b_{name}") for name in ("everybody", "operator", "admin")}
    if old:
        connection.execute(update(ext).where(key).values(**values), old)
    if new:
        place = {"object_id": bindparam("b_id"), "kind": kind, "environment_id": environment_id}
        connection.execute(insert(ext).values(**place, **values), new)


def _in_parts(identities: Sequence[str]) -> Iterable[Sequence[str]]:
    for start in range(0, len(identities), _AT_ONCE):
        yield identities[start : start + _AT_ONCE]

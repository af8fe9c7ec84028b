# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""What serializer hooks are called with: objects with the columns that a hook reads, and the plugin's settings."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Table, select
from stoker_sdk.context.values import Environment

from stoker.db import tables
from stoker.db.nodes import roles_of_nodes
from stoker.domain.serializer_hook import DeclaredHook, declared_hooks
from stoker.domain.settings import look_through
from stoker.services.plugin_settings import settings_schema

_PLACES = {"plan": "plan_id"}


class HookCallInput(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a hook before it is called."""

    version: str
    manifest: str
    declared: DeclaredHook
    environment: Environment
    settings: dict[str, Any]
    """Effective ones; secrets stand as references."""
    made_of: str
    level: int


def read_hook(connection: Connection, environment_id: str, plugin: str, name: str) -> HookCallInput | None:
    """A hook that an environment uses; ``None`` if it does not use it any more."""
    used, installed, hooks, homes = (
        tables.environment_plugins,
        tables.plugins,
        tables.serializer_hooks,
        tables.environments,
    )
    row = connection.execute(
        select(used.c.version, used.c.settings, installed.c.manifest, hooks.c.made_of, hooks.c.level, homes.c.name)
        .join(installed, (installed.c.name == used.c.plugin) & (installed.c.version == used.c.version))
        .join(hooks, (hooks.c.environment_id == used.c.environment_id) & (hooks.c.plugin == used.c.plugin))
        .join(homes, homes.c.id == used.c.environment_id)
        .where(used.c.environment_id == environment_id, used.c.plugin == plugin, used.c.state == "enabled", hooks.c.name == name)
    ).first()
    declared = None if row is None else declared_hooks(row.manifest).get(name)
    if row is None or declared is None:
        return None
    looked = look_through(plugin, settings_schema(row.manifest), msgspec.json.decode(row.settings))
    return HookCallInput(
        version=row.version,
        manifest=row.manifest,
        declared=declared,
        environment=Environment(id=environment_id, name=row.name),
        settings=dict(looked.complete),
        made_of=row.made_of,
        level=row.level,
    )


def objects_of(connection: Connection, target: str, environment_id: str, only: Collection[str] | None = None) -> list[str]:
    """The ids of an environment's objects of one kind, in order; of those that are given, if any are."""
    table = _table(target)
    home = table.c.id if target == "environment" else table.c.environment_id
    found = connection.execute(select(table.c.id).where(home == environment_id).order_by(table.c.id)).scalars()
    return [identity for identity in found if only is None or identity in only]


def encode_objects(connection: Connection, hook: DeclaredHook, environment: Environment, ids: Sequence[str]) -> bytes:
    """Objects as JSON, as ``stoker_sdk.context.Object``; those that are gone are left out."""
    table = _table(hook.target)
    computed = {"roles", "environment"}
    names = [name for name in hook.reads if name not in computed]
    columns = [table.c[_PLACES.get(name, name)].label(name) for name in names]
    rows = connection.execute(select(table.c.id, *columns).where(table.c.id.in_(ids)).order_by(table.c.id)).all()
    roles = roles_of_nodes(connection, environment.id) if hook.target == "node" and "roles" in hook.reads else {}
    found = []
    for row in rows:
        values: dict[str, object] = dict(zip(names, row[1:], strict=True))
        if "facts" in values:
            values["facts"] = msgspec.Raw(str(values["facts"]))
        if "roles" in hook.reads:
            values["roles"] = roles.get(row.id, [])
        if "environment" in hook.reads:
            values["environment"] = environment.name
        found.append({"id": row.id, "columns": values})
    return msgspec.json.encode(found)


def _table(target: str) -> Table:
    return {"node": tables.nodes, "environment": tables.environments, "deployment": tables.deployments}[target]

# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Rows of environments and of the plugins that they have enabled."""

from __future__ import annotations

import time
import uuid

import msgspec
from sqlalchemy import Connection, Row, delete, exists, insert, or_, select, update

from stoker.db import tables
from stoker.db.plugin_history import forget_history
from stoker.db.plugins import role_names
from stoker.db.quarantine import drop_quarantined
from stoker.db.serializer_hooks import settle
from stoker.errors import ConflictError, NotFoundError


def find_environment(connection: Connection, key: str) -> Row[tuple[object, ...]]:
    """An environment by its id or name.

    Raises:
        NotFoundError: there is none.
    """
    table = tables.environments
    row = connection.execute(select(table).where(or_(table.c.id == key, table.c.name == key))).first()
    if row is None:
        raise NotFoundError(f"environment {key!r} is not there.", remedy="'stoker env list' shows all.")
    return row


def add_environment(connection: Connection, name: str) -> str:
    """Add an environment and give its id; the caller has seen that the name is free."""
    identity = uuid.uuid4().hex
    connection.execute(insert(tables.environments).values(id=identity, name=name, created_at=time.time(), revision=1))
    return identity


def bump_revision(connection: Connection, environment_id: str) -> int:
    """Note that an input of the environment's plans has changed: older plans can no longer be deployed."""
    table = tables.environments
    connection.execute(update(table).where(table.c.id == environment_id).values(revision=table.c.revision + 1))
    return int(connection.execute(select(table.c.revision).where(table.c.id == environment_id)).scalar_one())


def take_revision(connection: Connection, environment_id: str, revision: int) -> bool:
    """Bump the revision if it is still the given one, so that of two who looked at the same only one gets through."""
    table = tables.environments
    mine = (table.c.id == environment_id, table.c.revision == revision)
    return connection.execute(update(table).where(*mine).values(revision=revision + 1)).rowcount == 1


def enabled_plugins(connection: Connection, environment_id: str) -> list[Row[tuple[object, ...]]]:
    """Plugins of an environment, ordered by name; settings and manifest are JSON text."""
    used, installed = tables.environment_plugins, tables.plugins
    return list(
        connection.execute(
            select(
                used.c.plugin,
                used.c.version,
                used.c.settings,
                used.c.state,
                used.c.warnings,
                installed.c.digest,
                installed.c.title,
                installed.c.manifest,
            )
            .join(installed, (installed.c.name == used.c.plugin) & (installed.c.version == used.c.version))
            .where(used.c.environment_id == environment_id)
            .order_by(used.c.plugin)
        )
    )


def drop_plugin(connection: Connection, environment_id: str, plugin: str) -> None:
    """Forget a plugin in an environment: its settings, its secrets, and roles of nodes that nobody else brings."""
    used, secrets, roles, nodes = tables.environment_plugins, tables.secrets, tables.node_roles, tables.nodes
    connection.execute(delete(used).where(used.c.environment_id == environment_id, used.c.plugin == plugin))
    connection.execute(delete(secrets).where(secrets.c.environment_id == environment_id, secrets.c.plugin == plugin))
    drop_quarantined(connection, {"environment_id": environment_id, "plugin": plugin})
    forget_history(connection, environment_id, plugin)
    settle(connection, environment_id, plugin)
    known = {name for row in enabled_plugins(connection, environment_id) for name in role_names(row.manifest)}
    members = select(nodes.c.id).where(nodes.c.environment_id == environment_id)
    connection.execute(delete(roles).where(roles.c.node_id.in_(members), roles.c.role.not_in(known)))
    bump_revision(connection, environment_id)


def deployment_running(connection: Connection, environment_id: str) -> str | None:
    """The id of the environment's unfinished deployment, if there is one."""
    table = tables.environment_locks
    return connection.execute(select(table.c.deployment_id).where(table.c.environment_id == environment_id)).scalar()


def refuse_while_deploying(connection: Connection, environment_id: str, name: str, what: str) -> None:
    """Raise ConflictError if a deployment of the environment runs."""
    if running := deployment_running(connection, environment_id):
        raise ConflictError(
            f"environment {name}: {what} is refused while deployment {running} runs.",
            remedy="Wait for its end, or stop it, and try again.",
        )


def plugin_was_deployed(connection: Connection, environment_id: str, plugin: str) -> bool:
    """Whether anything of a plugin may be on the environment's nodes."""
    nodes, events, deployments = tables.nodes, tables.deployment_events, tables.deployments
    if deployment_running(connection, environment_id):
        return True
    members = select(nodes.c.id).where(nodes.c.environment_id == environment_id)
    tasks = tables.applied_tasks
    ours = select(deployments.c.id).where(deployments.c.environment_id == environment_id)
    checks = (
        exists().where(tasks.c.node_id.in_(members), tasks.c.task.startswith(f"{plugin}.", autoescape=True)),
        exists().where(
            events.c.deployment_id.in_(ours),
            events.c.kind == "dispatched",
            events.c.task.startswith(f"{plugin}.", autoescape=True),
        ),
    )
    if connection.execute(select(or_(*checks))).scalar():
        return True
    for table in (tables.applied_files, tables.applied_packages):
        for data in connection.execute(select(table.c.data).where(table.c.node_id.in_(members))).scalars():
            if plugin in msgspec.json.decode(data, type=_Owners).plugins:
                return True
    return False


class _Owners(msgspec.Struct):
    """The part of an applied row that says whose it is."""

    plugins: list[str] = []

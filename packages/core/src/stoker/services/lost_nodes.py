# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Nodes that are gone for good, and nodes that take another one's place."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Connection, Row, insert, update

from stoker.db import tables
from stoker.db.environments import bump_revision, find_environment, refuse_while_deploying
from stoker.db.nodes import find_node, node_target, node_was_deployed, release_node, roles_of_nodes
from stoker.errors import ConflictError, NodeError, NotFoundError
from stoker.services import audit
from stoker.services.context import ServerContext
from stoker.services.nodes import NodeView, read_view

_SECONDS: Final = 10.0
"""So long a node that is said to be dead may take to prove the contrary."""


def lose(context: ServerContext, environment: str, node: str, *, force: bool = False) -> NodeView:
    """Take a dead node out at once: nothing is run there, and what was applied to it is forgotten; history and audit stay.

    Args:
        context: the server.
        environment: its name or id.
        node: its name or id.
        force: do not ask the node whether it answers; if it does, what was brought to it stays there.

    Raises:
        NotFoundError: there is no such environment, or the node is not in it.
        ConflictError: the node answers, or a deployment runs.
    """
    with context.database.read() as connection:
        home = find_environment(connection, environment)
        _in_environment(connection, home, node)
    if not force:
        _refuse_if_alive(context, node)
    with context.database.transaction() as connection:
        row = _in_environment(connection, home, node)
        refuse_while_deploying(connection, home.id, home.name, f"giving up node {row.name}")
        _forget(connection, home, row)
        bump_revision(connection, home.id)
        return read_view(connection, row.id)


def replace(context: ServerContext, old: str, new: str, *, lost: bool = False, force: bool = False) -> NodeView:
    """Let a free node take the place of another one: its roles, and what it is primary for. The environment's secrets stay.

    Args:
        context: the server.
        old: the node that goes: with the next deployment, or at once if it is lost.
        new: a node that is in no environment.
        lost: whether the old one is dead.
        force: do not ask it whether it answers.

    Raises:
        NotFoundError: one of them is not there, or the old one is in no environment.
        ConflictError: the new one is in an environment, the lost one answers, or a deployment runs.
    """
    if lost and not force:
        _refuse_if_alive(context, old)
    with context.database.transaction() as connection:
        leaving, coming = find_node(connection, old), find_node(connection, new)
        if leaving.environment_id is None:
            raise NotFoundError(
                f"node {leaving.name} is in no environment.", remedy="'stoker env assign' gives the new one roles."
            )
        home = find_environment(connection, str(leaving.environment_id))
        if coming.environment_id is not None:
            raise ConflictError(
                f"node {coming.name} belongs to environment {find_environment(connection, str(coming.environment_id)).name}.",
                remedy="Take a node that is free.",
            )
        refuse_while_deploying(connection, home.id, home.name, f"replacing node {leaving.name}")
        roles = roles_of_nodes(connection, home.id).get(leaving.id, [])
        connection.execute(update(tables.nodes).where(tables.nodes.c.id == coming.id).values(environment_id=home.id))
        if roles:
            connection.execute(insert(tables.node_roles), [{"node_id": coming.id, "role": role} for role in roles])
        primaries = tables.environment_primaries
        connection.execute(
            update(primaries)
            .where(primaries.c.environment_id == home.id, primaries.c.node_id == leaving.id)
            .values(node_id=coming.id)
        )
        told = {"replaces": leaving.name, "roles": roles}
        audit.record(connection, "node.replace", coming.id, coming.name, environment=home.name, after=told)
        if lost or not node_was_deployed(connection, leaving.id, leaving.name, home.id):
            _forget(connection, home, leaving)
        else:
            connection.execute(update(tables.nodes).where(tables.nodes.c.id == leaving.id).values(removing=True))
            audit.record(
                connection,
                "node.unassign",
                leaving.id,
                leaving.name,
                environment=home.name,
                before={"roles": roles},
                after={"roles": roles, "removing": True},
            )
        bump_revision(connection, home.id)
        return read_view(connection, coming.id)


def _in_environment(connection: Connection, home: Row[Any], node: str) -> Row[Any]:
    row = find_node(connection, node)
    if row.environment_id != home.id:
        raise NotFoundError(
            f"node {row.name} is not in environment {home.name}.", remedy="'stoker nodes list' shows where it is."
        )
    return row


def _forget(connection: Connection, home: Row[Any], node: Row[Any]) -> None:
    before = {"roles": roles_of_nodes(connection, home.id).get(node.id, [])}
    audit.record(connection, "node.lose", node.id, node.name, environment=home.name, before=before)
    release_node(connection, node.id)


def _refuse_if_alive(context: ServerContext, node: str) -> None:
    with context.database.read() as connection:
        target = node_target(connection, context.vault, find_node(connection, node).id)
    try:
        context.wait(_connect(context, target))
    except NodeError:
        return
    raise ConflictError(
        f"node {target.name} answers: it is not lost.",
        remedy="Take it out without --lost, so that nothing stays on it; or add --force, and what was brought to it stays.",
    )


async def _connect(context: ServerContext, target: Any) -> None:  # noqa: ANN401
    link = await context.transports[target.transport].connect(target, _SECONDS)
    await link.close()

# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Rows of nodes, and what a transport needs to reach one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, bindparam, delete, exists, or_, select, update

from stoker.db import tables
from stoker.db.environments import deployment_running
from stoker.db.vault import Vault
from stoker.domain.node import NodeTarget
from stoker.errors import ConflictError, NotFoundError

MAX_JUMPS = 4
_AT_ONCE = 1000
"""So many values of a condition go into one statement."""


def find_node(connection: Connection, key: str) -> Row[tuple[object, ...]]:
    """A node by its id or name.

    Raises:
        NotFoundError: there is none.
    """
    table = tables.nodes
    row = connection.execute(select(table).where(or_(table.c.id == key, table.c.name == key))).first()
    if row is None:
        raise NotFoundError(f"node {key!r} is not there.", remedy="'stoker nodes list' shows all.")
    return row


def find_nodes(connection: Connection, keys: Sequence[str]) -> dict[str, Row[Any]]:
    """Nodes by their ids or names; those that are not there are left out."""
    table = tables.nodes
    found: dict[str, Row[Any]] = {}
    query: Select[Any] = select(table.c.id, table.c.name, table.c.environment_id, table.c.removing)
    wanted = list(dict.fromkeys(keys))
    for start in range(0, len(wanted), _AT_ONCE):
        some = wanted[start : start + _AT_ONCE]
        for row in connection.execute(query.where(or_(table.c.id.in_(some), table.c.name.in_(some)))):
            found[row.name] = found[row.id] = row
    return found


def node_target(connection: Connection, vault: Vault, node_id: str, *, jumps: int = 0) -> NodeTarget:
    """Everything that a transport needs to reach a node, its private key in the clear.

    Raises:
        NotFoundError: there is no such node.
        ConflictError: its jump hosts go in a circle, or are too many.
    """
    row = find_node(connection, node_id)
    if jumps > MAX_JUMPS:
        raise ConflictError(
            f"node {row.name}: more than {MAX_JUMPS} jump hosts.",
            remedy="Look for a circle, and mend it with 'stoker nodes set'.",
        )
    key, credential = "", ""
    if row.credential_id is not None:
        table = tables.credentials
        stored = connection.execute(select(table.c.private_key, table.c.name).where(table.c.id == row.credential_id)).one()
        key, credential = vault.decrypt(stored.private_key).decode(), stored.name
    return NodeTarget(
        id=row.id,
        name=row.name,
        transport=row.transport,
        address=row.address,
        port=row.port,
        user=row.user,
        credential=credential,
        private_key=key,
        sudo=bool(row.sudo),
        jump=None if row.jump_node_id is None else node_target(connection, vault, row.jump_node_id, jumps=jumps + 1),
        host_key=row.host_key,
    )


def keep_host_key(connection: Connection, node_id: str, key: str) -> str:
    """Keep the first host key that a node shows; answers the one that is kept, empty if the node was removed meanwhile."""
    table = tables.nodes
    connection.execute(update(table).where(table.c.id == node_id, table.c.host_key == "").values(host_key=key))
    return str(connection.execute(select(table.c.host_key).where(table.c.id == node_id)).scalar() or "")


def roles_of_nodes(connection: Connection, environment_id: str | None = None) -> dict[str, list[str]]:
    """Node id -> its roles in order."""
    roles, nodes = tables.node_roles, tables.nodes
    query = select(roles.c.node_id, roles.c.role).order_by(roles.c.role)
    if environment_id is not None:
        query = query.join(nodes, nodes.c.id == roles.c.node_id).where(nodes.c.environment_id == environment_id)
    found: dict[str, list[str]] = {}
    for node_id, role in connection.execute(query):
        found.setdefault(node_id, []).append(role)
    return found


def roles_between(connection: Connection, first: str, last: str) -> dict[str, list[str]]:
    """Node id -> its roles in order, of the nodes whose names are from one to another."""
    roles, nodes = tables.node_roles, tables.nodes
    query = select(roles.c.node_id, roles.c.role).join(nodes, nodes.c.id == roles.c.node_id).order_by(roles.c.role)
    found: dict[str, list[str]] = {}
    for node_id, role in connection.execute(query.where(nodes.c.name.between(first, last))):
        found.setdefault(node_id, []).append(role)
    return found


def node_was_deployed(connection: Connection, node_id: str, name: str, environment_id: str) -> bool:
    """Whether anything of ours may be on the node."""
    events, deployments = tables.deployment_events, tables.deployments
    if deployment_running(connection, environment_id):
        return True
    ours = select(deployments.c.id).where(deployments.c.environment_id == environment_id)
    checks = [
        exists().where(table.c.node_id == node_id)
        for table in (tables.applied_files, tables.applied_packages, tables.applied_tasks)
    ]
    checks.append(
        exists().where(events.c.deployment_id.in_(ours), events.c.kind == "dispatched", events.c.node.in_((node_id, name)))
    )
    return bool(connection.execute(select(or_(*checks))).scalar())


def deployed_nodes(connection: Connection, environment_id: str, nodes: Sequence[Row[Any]]) -> set[str]:
    """Ids of those of an environment's nodes on which something of ours may be; no deployment of it runs."""
    events, deployments, members = tables.deployment_events, tables.deployments, tables.nodes
    ours = select(members.c.id).where(members.c.environment_id == environment_id)
    found: set[str] = set()
    for table in (tables.applied_files, tables.applied_packages, tables.applied_tasks):
        found.update(connection.execute(select(table.c.node_id).where(table.c.node_id.in_(ours)).distinct()).scalars())
    past = select(deployments.c.id).where(deployments.c.environment_id == environment_id)
    dispatched = select(events.c.node).where(events.c.deployment_id.in_(past), events.c.kind == "dispatched").distinct()
    touched = set(connection.execute(dispatched).scalars())
    return {row.id for row in nodes if row.id in found or row.id in touched or row.name in touched}


def release_node(connection: Connection, node_id: str) -> None:
    """Take a node out of its environment, now that nothing of ours is on it; the caller bumps the revision."""
    release_nodes(connection, [node_id])


def release_nodes(connection: Connection, node_ids: Sequence[str]) -> None:
    """The same for many."""
    if not node_ids:
        return
    these = [{"b_id": identity} for identity in node_ids]
    for table in (tables.node_roles, tables.applied_files, tables.applied_packages, tables.applied_tasks):
        connection.execute(delete(table).where(table.c.node_id == bindparam("b_id")), these)
    free = update(tables.nodes).where(tables.nodes.c.id == bindparam("b_id")).values(environment_id=None, removing=False)
    connection.execute(free, these)

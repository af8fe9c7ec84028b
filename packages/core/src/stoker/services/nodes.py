# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Nodes: added by address, looked at over their transport, removed."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from sqlalchemy import Connection, Select, delete, insert, select, update

from stoker.db import tables
from stoker.db.environments import bump_revision, find_environment
from stoker.db.nodes import find_node, node_target, roles_of_nodes
from stoker.domain.node import Facts, NodeTarget
from stoker.errors import ConflictError, InvalidInputError, NodeError, NotFoundError
from stoker.services.context import ServerContext
from stoker.services.credentials import DEFAULT
from stoker.services.environments import check_name

CONNECT_SECONDS = 20.0


class NewNode(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A node to add."""

    name: str
    address: str
    """Host name or address; of a simulated node, its name in the fleet."""
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 22
    user: str = "root"
    sudo: bool = False
    """Whether commands go through ``sudo -n``; needed for other users than root."""
    credential: str | None = None
    """A credential's name; the default one if none is given."""
    jump: str | None = None
    """A node through which this one is reached."""
    transport: Literal["ssh", "simulated"] = "ssh"


class NodeView(msgspec.Struct, frozen=True, kw_only=True, gc=False):  # it holds no cycle, and lists hold thousands
    """One node."""

    id: str
    name: str
    transport: str
    address: str
    port: int
    user: str
    sudo: bool
    credential: str
    """The credential's name; empty if there is none."""
    jump: str
    """The jump node's name; empty if there is none."""
    environment: str
    """The environment's name; empty if the node is free."""
    roles: list[str]
    status: str
    """``new``, ``online``, ``unreachable`` or ``error``."""
    status_reason: str
    host_key: str
    facts: msgspec.Raw
    """What the node told about itself; spliced in as it is stored."""
    facts_at: float | None
    removing: bool


def _query() -> Select[tuple[object, ...]]:
    node, environment, credential = tables.nodes, tables.environments, tables.credentials
    jump = tables.nodes.alias("jump")
    return (
        select(
            node.c.id,
            node.c.name,
            node.c.transport,
            node.c.address,
            node.c.port,
            node.c.user,
            node.c.sudo,
            credential.c.name.label("credential"),
            jump.c.name.label("jump"),
            environment.c.name.label("environment"),
            node.c.status,
            node.c.status_reason,
            node.c.host_key,
            node.c.facts,
            node.c.facts_at,
            node.c.removing,
        )
        .select_from(
            node.outerjoin(credential, credential.c.id == node.c.credential_id)
            .outerjoin(jump, jump.c.id == node.c.jump_node_id)
            .outerjoin(environment, environment.c.id == node.c.environment_id)
        )
        .order_by(node.c.name)
    )


_ALL = _query()


def _view(row: Sequence[Any], roles: dict[str, list[str]]) -> NodeView:
    (
        identity,
        name,
        transport,
        address,
        port,
        user,
        sudo,
        credential,
        jump,
        environment,
        status,
        reason,
        key,
        facts,
        at,
        removing,
    ) = row
    return NodeView(
        id=identity,
        name=name,
        transport=transport,
        address=address,
        port=port,
        user=user,
        sudo=sudo,
        credential=credential or "",
        jump=jump or "",
        environment=environment or "",
        roles=roles.get(identity, []),
        status=status,
        status_reason=reason,
        host_key=key,
        facts=msgspec.Raw(facts),
        facts_at=at,
        removing=removing,
    )


def list_all(context: ServerContext) -> list[NodeView]:
    """All nodes, by name."""
    with context.database.read() as connection:
        roles = roles_of_nodes(connection)
        return [_view(row, roles) for row in connection.execute(_ALL)]


def list_of_environment(context: ServerContext, key: str) -> list[NodeView]:
    """An environment's nodes, by name. Raises NotFoundError."""
    with context.database.read() as connection:
        environment = find_environment(connection, key)
        roles = roles_of_nodes(connection, environment.id)
        rows = connection.execute(_ALL.where(tables.nodes.c.environment_id == environment.id))
        return [_view(row, roles) for row in rows]


def show(context: ServerContext, key: str) -> NodeView:
    """One node by id or name. Raises NotFoundError."""
    with context.database.read() as connection:
        return read_view(connection, find_node(connection, key).id)


def read_view(connection: Connection, node_id: str) -> NodeView:
    """One node by id, in the caller's transaction."""
    row = connection.execute(_ALL.where(tables.nodes.c.id == node_id)).one()
    return _view(row, roles_of_nodes(connection))


def add(context: ServerContext, new: NewNode) -> NodeView:
    """Add a node; nothing is connected yet.

    Raises:
        InvalidInputError: a field does not fit.
        NotFoundError: there is no such credential or jump node.
        ConflictError: the name is taken.
    """
    check_name("node", new.name)
    if not new.address.strip() or any(character.isspace() for character in new.address):
        raise InvalidInputError(
            f"node {new.name}: {new.address!r} is not an address.", remedy="Give a host name or an IP address."
        )
    if new.transport not in context.transports:
        raise InvalidInputError(f"node {new.name}: this server has no transport {new.transport!r}.", remedy="Use 'ssh'.")
    identity = uuid.uuid4().hex
    with context.database.transaction() as connection:
        if connection.execute(select(tables.nodes.c.id).where(tables.nodes.c.name == new.name)).first():
            raise ConflictError(f"node {new.name!r} is there already.", remedy="Choose another name.")
        connection.execute(
            insert(tables.nodes).values(
                id=identity,
                name=new.name,
                transport=new.transport,
                address=new.address,
                port=new.port,
                user=new.user,
                sudo=new.sudo,
                credential_id=_credential(connection, new),
                jump_node_id=find_node(connection, new.jump).id if new.jump else None,
                facts="{}",
                created_at=time.time(),
            )
        )
        return read_view(connection, identity)


def _credential(connection: Connection, new: NewNode) -> str | None:
    table = tables.credentials
    name = new.credential or DEFAULT
    found: str | None = connection.execute(select(table.c.id).where(table.c.name == name)).scalar()
    if found is None and new.transport == "ssh":
        raise NotFoundError(f"credential {name!r} is not there.", remedy="'stoker credentials add NAME' makes one.")
    return found if new.transport == "ssh" else None


def remove(context: ServerContext, key: str) -> None:
    """Forget a node.

    Raises:
        NotFoundError: there is none.
        ConflictError: it belongs to an environment, or other nodes are reached through it.
    """
    nodes = tables.nodes
    with context.database.transaction() as connection:
        row = find_node(connection, key)
        if row.environment_id is not None:
            environment = find_environment(connection, row.environment_id)
            raise ConflictError(
                f"node {row.name} belongs to environment {environment.name}.",
                remedy=f"Take it out with 'stoker env unassign {environment.name} {row.name}', and deploy if it was deployed.",
            )
        behind = (
            connection.execute(select(nodes.c.name).where(nodes.c.jump_node_id == row.id).order_by(nodes.c.name)).scalars().all()
        )
        if behind:
            raise ConflictError(f"node {row.name} is the jump host of: {', '.join(behind[:10])}.", remedy="Remove these first.")
        connection.execute(delete(nodes).where(nodes.c.id == row.id))


def refresh(context: ServerContext, key: str) -> NodeView:
    """Connect to a node, read its facts, and trust its host key if it is the first.

    Raises:
        NotFoundError: there is no such node.
        NodeError: it cannot be reached or refuses; the reason is kept with the node.
    """
    with context.database.read() as connection:
        target = node_target(connection, context.vault, find_node(connection, key).id)
    try:
        facts, host_key = context.wait(_look(context, target))
    except NodeError as error:
        status = "unreachable" if isinstance(error, ConnectionError) else "error"
        with context.database.transaction() as connection:
            connection.execute(
                update(tables.nodes).where(tables.nodes.c.id == target.id).values(status=status, status_reason=error.detail)
            )
        raise
    with context.database.transaction() as connection:
        keep_facts(connection, target.id, facts, host_key)
        return read_view(connection, target.id)


def keep_facts(connection: Connection, node_id: str, facts: Facts, host_key: str) -> None:
    """Keep what a node told, and the host key if it is the first; other facts are another input of plans."""
    row = find_node(connection, node_id)
    text = msgspec.json.encode(facts).decode()
    connection.execute(
        update(tables.nodes)
        .where(tables.nodes.c.id == node_id)
        .values(status="online", status_reason="", facts=text, facts_at=time.time(), host_key=row.host_key or host_key)
    )
    if row.environment_id is not None and row.facts != text:
        bump_revision(connection, row.environment_id)


async def _look(context: ServerContext, target: NodeTarget) -> tuple[Facts, str]:
    link = await context.transports[target.transport].connect(target, CONNECT_SECONDS)
    try:
        return await link.facts(), link.identity.host_key
    finally:
        await link.close()


def forget_host_key(context: ServerContext, key: str) -> NodeView:
    """Forget a node's host key: the next connection trusts the one that it shows."""
    with context.database.transaction() as connection:
        row = find_node(connection, key)
        connection.execute(
            update(tables.nodes)
            .where(tables.nodes.c.id == row.id)
            .values(host_key="", status="new", status_reason="host key forgotten")
        )
        return read_view(connection, row.id)

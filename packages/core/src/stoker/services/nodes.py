# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Nodes: added by address, changed, looked at over their transport, removed."""

from __future__ import annotations

import ipaddress
import re
import time
import uuid
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

import msgspec
from sqlalchemy import Connection, Row, Select, delete, insert, select, update

from stoker.db import tables
from stoker.db.environments import bump_revision, find_environment, refuse_while_deploying
from stoker.db.nodes import MAX_JUMPS, find_node, node_target, roles_of_nodes
from stoker.domain.ext import LEVELS
from stoker.domain.node import Facts, NodeTarget
from stoker.errors import ConflictError, InvalidInputError, NodeError, NotFoundError
from stoker.services import audit, ext
from stoker.services.context import ServerContext
from stoker.services.credentials import DEFAULT
from stoker.services.environments import check_name
from stoker.services.tags import refuse_outdated, tag

CONNECT_SECONDS = 20.0
_ADDRESS = re.compile(r"[^\s/@\\]{1,253}")
_USER = re.compile(r"[^\s:/@\\]{1,64}")


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
    refresh: bool = False
    """Whether to connect to it at once; a node that cannot be reached is added all the same, and ``warning`` says why."""


class NodeChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to change of how a node is reached; what is not given stays as it is."""

    address: str | msgspec.UnsetType = msgspec.UNSET
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] | msgspec.UnsetType = msgspec.UNSET
    user: str | msgspec.UnsetType = msgspec.UNSET
    sudo: bool | msgspec.UnsetType = msgspec.UNSET
    credential: str | msgspec.UnsetType = msgspec.UNSET
    jump: str | msgspec.UnsetType | None = msgspec.UNSET
    """A node through which this one is reached; null for none."""


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
    ext: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    """What plugins add: plugin -> hook -> data; only where it is read, and if there is something."""
    ext_state: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    """``PLUGIN.HOOK`` -> ``pending`` (not there yet) or ``stale`` (being made anew); only if something is not fresh."""


class NodeWarning(msgspec.Struct, frozen=True, kw_only=True):
    """Why a node that was added could not be reached."""

    detail: str
    remedy: str


class AddedNode(NodeView, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """A node that was added, and what came of the first look at it."""

    warning: NodeWarning | None = None
    """Only if it was to be reached and could not be."""


def _query(level: int | None = None, *, limited: bool = False) -> Select[tuple[object, ...]]:
    node, environment, credential = tables.nodes, tables.environments, tables.credentials
    jump = tables.nodes.alias("jump")
    joined = (
        node.outerjoin(credential, credential.c.id == node.c.credential_id)
        .outerjoin(jump, jump.c.id == node.c.jump_node_id)
        .outerjoin(environment, environment.c.id == node.c.environment_id)
    )
    query = select(
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
    return query.select_from(joined) if level is None else ext.with_ext(query, joined, node.c.id, level, limited=limited)


ALL_NODES = _query()
"""What a view needs of every node, in no order; made once, for that costs as much as to run it."""
WITH_EXT: Final = {(level, limited): _query(level, limited=limited) for level in LEVELS for limited in (False, True)}
"""The same with what plugins add, for each level of people, and for those who have it in some environments alone."""


def view_of(row: Sequence[Any], roles: dict[str, list[str]], shown: ext.Shown | None = None) -> NodeView:
    """A row of ``ALL_NODES`` or ``WITH_EXT`` as the API shows it."""
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
        *texts,
    ) = row
    added: ext.Part = msgspec.UNSET
    state: ext.Part = msgspec.UNSET
    if shown is not None and not shown.plain:
        added = shown.text_of(environment or "", *texts) if texts else msgspec.UNSET
        state = shown.state_of(identity, environment or "")
    elif texts and texts[0]:
        added = msgspec.Raw(texts[0])
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
        ext=added,
        ext_state=state,
    )


def show(context: ServerContext, key: str, wanted: ext.Wanted | None = None) -> NodeView:
    """One node by id or name, with what plugins add if that is wanted. Raises NotFoundError."""
    with context.database.read() as connection:
        view = read_view(connection, find_node(connection, key).id)
        if wanted is None:
            return view
        added, state = ext.parts(connection, "node", wanted, [(view.id, view.environment)])[view.id]
        return msgspec.structs.replace(view, ext=added, ext_state=state)


def read_view(connection: Connection, node_id: str) -> NodeView:
    """One node by id, in the caller's transaction."""
    row = connection.execute(ALL_NODES.where(tables.nodes.c.id == node_id)).one()
    return view_of(row, roles_of_nodes(connection))


def add(context: ServerContext, new: NewNode) -> AddedNode:
    """Add a node, and connect to it if that is wanted: it stays also if it cannot be reached.

    Raises:
        InvalidInputError: a field does not fit.
        NotFoundError: there is no such credential or jump node.
        ConflictError: the name is taken.
    """
    check_name("node", new.name)
    check_way(new.name, new.address, new.user)
    if new.transport not in context.transports:
        raise InvalidInputError(f"node {new.name}: this server has no transport {new.transport!r}.", remedy="Use 'ssh'.")
    identity = uuid.uuid4().hex
    with context.database.transaction() as connection:
        if connection.execute(select(tables.nodes.c.id).where(tables.nodes.c.name == new.name)).first():
            raise ConflictError(
                f"node {new.name!r} is there already.",
                remedy=f"Choose another name, or change it with 'stoker nodes set {new.name}'.",
            )
        connection.execute(
            insert(tables.nodes).values(
                id=identity,
                name=new.name,
                transport=new.transport,
                address=new.address,
                port=new.port,
                user=new.user,
                sudo=new.sudo,
                credential_id=find_credential(connection, new.credential or DEFAULT) if new.transport == "ssh" else None,
                jump_node_id=_jump(connection, identity, new.name, new.jump),
                facts="{}",
                created_at=time.time(),
            )
        )
        audit.record(connection, "node.add", identity, new.name, after=way_of(new))
    warning = None
    if new.refresh:
        try:
            refresh(context, identity)
        except NodeError as error:
            warning = NodeWarning(detail=error.detail, remedy=error.remedy)
    view = show(context, identity)
    return AddedNode(**{name: getattr(view, name) for name in NodeView.__struct_fields__}, warning=warning)


BY_ITSELF = frozenset({"status", "status_reason", "facts", "facts_at", "host_key"}) | ext.BY_ITSELF
"""What of a node changes without anybody's edit."""


def tag_of(view: NodeView) -> str:
    """The tag of a node's state."""
    return tag(view, BY_ITSELF)


def refuse_outdated_node(connection: Connection, if_match: str, row: Row[Any]) -> None:
    """Refuse an edit of a node that was made for another state of it. Raises OutdatedEditError."""
    if if_match:
        present = tag_of(read_view(connection, row.id))
        refuse_outdated(connection, if_match, present, f"node {row.name}", kind="node", identity=row.id)


def change(context: ServerContext, key: str, wanted: NodeChange, *, if_match: str = "") -> NodeView:
    """Change how a node is reached; its host key stays, so another machine under the new address is refused.

    Raises:
        InvalidInputError: a field does not fit.
        NotFoundError: there is no such node, credential or jump node.
        ConflictError: a deployment of its environment runs.
        OutdatedEditError: it is in another state than ``if_match`` names.
    """
    with context.database.transaction() as connection:
        refuse_outdated_node(connection, if_match, find_node(connection, key))
        return change_in(connection, key, wanted)


def change_in(connection: Connection, key: str, wanted: NodeChange) -> NodeView:
    """The same inside of a larger change."""
    row = find_node(connection, key)
    values: dict[str, object] = {
        name: value
        for name in ("address", "port", "user", "sudo")
        if (value := getattr(wanted, name)) is not msgspec.UNSET and value != getattr(row, name)
    }
    check_way(row.name, str(values.get("address", row.address)), str(values.get("user", row.user)))
    if wanted.credential is not msgspec.UNSET:
        if row.transport != "ssh":
            raise InvalidInputError(f"node {row.name} is simulated and has no credential.", remedy="Leave it out.")
        values["credential_id"] = find_credential(connection, wanted.credential)
    if wanted.jump is not msgspec.UNSET:
        values["jump_node_id"] = _jump(connection, row.id, row.name, wanted.jump)
    if values:
        if row.environment_id is not None:
            home = find_environment(connection, row.environment_id)
            refuse_while_deploying(connection, home.id, home.name, f"changing node {row.name}")
            bump_revision(connection, home.id)
        before = read_view(connection, row.id)
        changed = update(tables.nodes).where(tables.nodes.c.id == row.id)
        connection.execute(changed.values(status="new", status_reason="changed, not reached since", **values))
        after = read_view(connection, row.id)
        _record(connection, "node.change", after, before=way_of(before), after=way_of(after))
    return read_view(connection, row.id)


def way_of(view: NodeView | NewNode) -> dict[str, object]:
    """How a node is reached: what the audit tells of it."""
    return {name: getattr(view, name) for name in ("transport", "address", "port", "user", "sudo", "credential", "jump")}


def _record(connection: Connection, action: str, view: NodeView, *, before: object = None, after: object = None) -> None:
    audit.record(connection, action, view.id, view.name, environment=view.environment, before=before, after=after)


def check_way(name: str, address: str, user: str) -> None:
    """Refuse what no machine or user is called, so that it is told here and not by what would break on it."""
    if not _ADDRESS.fullmatch(address) or not address.isprintable():
        raise InvalidInputError(f"node {name}: {address[:100]!r} is not an address.", remedy="Give a host name or an IP address.")
    if ":" in address and not _is_ipv6(address):
        raise InvalidInputError(f"node {name}: {address!r} has a port in it.", remedy="Give the port on its own, with --port.")
    if not _USER.fullmatch(user) or not user.isprintable():
        raise InvalidInputError(
            f"node {name}: {user[:100]!r} is not a user's name.", remedy="Give the name with which to sign in, e.g. root."
        )


def _is_ipv6(address: str) -> bool:
    try:
        return ipaddress.ip_address(address.strip("[]").split("%", 1)[0]).version == 6
    except ValueError:
        return False


def find_credential(connection: Connection, name: str) -> str:
    """A credential's id. Raises NotFoundError."""
    table = tables.credentials
    found: str | None = connection.execute(select(table.c.id).where(table.c.name == name)).scalar()
    if found is None:
        raise NotFoundError(f"credential {name!r} is not there.", remedy=f"'stoker credentials add {name}' makes it.")
    return found


def _jump(connection: Connection, node_id: str, name: str, jump: str | None) -> str | None:
    """The id of a jump node, whose own jump nodes neither lead back nor are too many."""
    if not jump:
        return None
    found = str(find_node(connection, jump).id)
    way: list[str] = []
    following: str | None = found
    while following is not None:
        row = find_node(connection, following)
        way.append(str(row.name))
        if row.id == node_id:
            raise InvalidInputError(
                f"node {name}: its jump hosts lead back to itself ({' -> '.join(way)}).", remedy="Choose another jump node."
            )
        if len(way) > MAX_JUMPS:
            raise InvalidInputError(f"node {name}: more than {MAX_JUMPS} jump hosts.", remedy="Choose a nearer jump node.")
        following = None if row.jump_node_id is None else str(row.jump_node_id)
    return found


def remove(context: ServerContext, key: str, *, if_match: str = "") -> None:
    """Forget a node.

    Raises:
        NotFoundError: there is none.
        ConflictError: it belongs to an environment, or other nodes are reached through it.
        OutdatedEditError: it is in another state than ``if_match`` names.
    """
    nodes = tables.nodes
    with context.database.transaction() as connection:
        row = find_node(connection, key)
        refuse_outdated_node(connection, if_match, row)
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
        _record(connection, "node.remove", view := read_view(connection, row.id), before=way_of(view))
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
            _record(connection, "node.refresh", read_view(connection, target.id), after={"status": status})
        raise
    with context.database.transaction() as connection:
        keep_facts(connection, target.id, facts, host_key)
        view = read_view(connection, target.id)
        _record(connection, "node.refresh", view, after={"status": view.status, "host_key": view.host_key})
        return view


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
        view = read_view(connection, row.id)
        _record(connection, "node.forget-host-key", view, before={"host_key": row.host_key}, after={"host_key": ""})
        return view

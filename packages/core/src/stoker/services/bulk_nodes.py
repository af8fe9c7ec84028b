# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Many nodes added or removed in one call: all or none, every fault told at once."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from typing import Annotated

import msgspec
from sqlalchemy import Connection, bindparam, delete, insert, select, update
from stoker_sdk.model.finding import Finding

from stoker.db import tables
from stoker.db.nodes import MAX_JUMPS, find_nodes
from stoker.errors import InvalidInputError
from stoker.services import audit
from stoker.services.bulk_roles import MOST
from stoker.services.context import ServerContext
from stoker.services.credentials import DEFAULT
from stoker.services.environments import check_name
from stoker.services.nodes import NewNode, check_way, way_of

_SHOWN = 5


class NewNodes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Nodes to add."""

    nodes: Annotated[list[NewNode], msgspec.Meta(min_length=1, max_length=MOST)]
    """A jump node stands before those that are reached through it. None is connected to: ``refresh`` must be false."""


class NodeNames(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Nodes to remove."""

    nodes: Annotated[list[str], msgspec.Meta(min_length=1, max_length=MOST)]


class NodesResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of many nodes."""

    nodes: list[str]
    """Their names."""


class _Known(msgspec.Struct):
    """What is there already."""

    names: set[str]
    credentials: dict[str, str]
    jumps: dict[str, str]
    """Name of a node -> id."""
    depths: dict[str, int]
    """Name of a node -> through how many others it is reached."""


def add(context: ServerContext, wanted: NewNodes) -> NodesResult:
    """Add nodes.

    Raises:
        InvalidInputError: a node does not fit, or is there already; each fault is a finding.
    """
    with context.database.transaction() as connection:
        return add_in(context, connection, wanted)


def add_in(context: ServerContext, connection: Connection, wanted: NewNodes) -> NodesResult:
    """The same inside of a larger change, which is undone as a whole if this is refused."""
    known = _known(connection)
    rows: list[dict[str, object]] = []
    faults: list[Finding] = []
    for number, new in enumerate(wanted.nodes):
        field = f"nodes[{number}]"
        found = [*_faults_alone(context, new, field), *_faults_among(known, new, field)]
        faults += found
        known.names.add(new.name)
        if not found:
            rows.append(_row(known, new))
    _refuse("adding", faults, len(wanted.nodes))
    connection.execute(insert(tables.nodes), rows)
    entries = [
        audit.Entry(identity=str(row["id"]), name=new.name, after=way_of(new))
        for row, new in zip(rows, wanted.nodes, strict=True)
    ]
    audit.record_all(connection, "node.add", entries)
    return NodesResult(nodes=[new.name for new in wanted.nodes])


def _known(connection: Connection) -> _Known:
    nodes, credentials = tables.nodes.c, tables.credentials.c
    rows = connection.execute(select(nodes.id, nodes.name, nodes.jump_node_id)).all()
    jumps = {row.id: row.jump_node_id for row in rows}
    depths = {}
    for row in rows:
        depth, following = 0, row.jump_node_id
        while following is not None and depth <= MAX_JUMPS:
            depth, following = depth + 1, jumps.get(following)
        depths[str(row.name)] = depth
    found = connection.execute(select(credentials.name, credentials.id))
    return _Known(
        names={row.name for row in rows},
        credentials={row.name: row.id for row in found},
        jumps={row.name: row.id for row in rows},
        depths=depths,
    )


def _row(known: _Known, new: NewNode) -> dict[str, object]:
    identity = uuid.uuid4().hex
    known.jumps[new.name] = identity
    known.depths[new.name] = known.depths[new.jump] + 1 if new.jump else 0
    return {
        "id": identity,
        "name": new.name,
        "transport": new.transport,
        "address": new.address,
        "port": new.port,
        "user": new.user,
        "sudo": new.sudo,
        "credential_id": known.credentials[new.credential or DEFAULT] if new.transport == "ssh" else None,
        "jump_node_id": known.jumps[new.jump] if new.jump else None,
        "facts": "{}",
        "created_at": time.time(),
    }


def _faults_alone(context: ServerContext, new: NewNode, field: str) -> list[Finding]:
    """What does not fit whatever else there is."""
    found = []
    try:
        check_name("node", new.name)
        check_way(new.name, new.address, new.user)
    except InvalidInputError as error:
        found.append(Finding(rule="W010", message=f"this is no node: {error.detail}", remedy=error.remedy, field=field))
    if new.transport not in context.transports:
        message = f"node {new.name}: this server has no transport {new.transport!r}."
        found.append(Finding(rule="W011", message=message, remedy="Use 'ssh'.", field=field))
    if new.refresh:
        message = f"node {new.name}: of many nodes that are added none is connected to."
        remedy = "Leave 'refresh' out; 'stoker nodes refresh' looks at them, and so does the next plan."
        found.append(Finding(rule="W012", message=message, remedy=remedy, field=field))
    return found


def _faults_among(known: _Known, new: NewNode, field: str) -> list[Finding]:
    """What does not fit to what is there, or stands before it in the list."""
    found = []
    if new.name in known.names:
        message = f"node {new.name[:100]!r} is there already, or is named twice."
        found.append(Finding(rule="W013", message=message, remedy="Choose another name, or leave it out.", field=field))
    if new.transport == "ssh" and (name := new.credential or DEFAULT) not in known.credentials:
        message = f"node {new.name}: credential {name[:100]!r} is not there."
        found.append(Finding(rule="W014", message=message, remedy="'stoker credentials add' makes one.", field=field))
    if new.jump and new.jump not in known.jumps:
        message = f"node {new.name}: its jump node {new.jump[:100]!r} is neither there nor before it in the list."
        found.append(Finding(rule="W015", message=message, remedy="Put the jump node first.", field=field))
    elif new.jump and known.depths[new.jump] >= MAX_JUMPS:
        message = f"node {new.name}: more than {MAX_JUMPS} jump hosts."
        found.append(Finding(rule="W016", message=message, remedy="Choose a nearer jump node.", field=field))
    return found


def remove(context: ServerContext, wanted: NodeNames) -> NodesResult:
    """Forget nodes that belong to no environment.

    Raises:
        InvalidInputError: a node is not there, belongs to an environment, or is a jump host of another that stays; each fault is
            a finding.
    """
    nodes = tables.nodes
    with context.database.transaction() as connection:
        rows = find_nodes(connection, wanted.nodes)
        leaving = {row.id: row for row in rows.values()}
        behind: dict[str, list[str]] = {}
        for row in connection.execute(
            select(nodes.c.id, nodes.c.name, nodes.c.jump_node_id).where(nodes.c.jump_node_id.is_not(None))
        ):
            if row.id not in leaving:
                behind.setdefault(row.jump_node_id, []).append(row.name)
        faults: list[Finding] = []
        for number, key in enumerate(wanted.nodes):
            field = f"nodes[{number}]"
            if key not in rows:
                message = f"there is no node {key[:100]!r}."
                faults.append(Finding(rule="W001", message=message, remedy="'stoker nodes list' shows all.", field=field))
                continue
            node = rows[key]
            if node.environment_id is not None:
                message = f"node {node.name} belongs to an environment."
                remedy = "Take it out with 'stoker env unassign', and deploy if it was deployed."
                faults.append(Finding(rule="W017", message=message, remedy=remedy, field=field))
            if node.id in behind:
                message = f"node {node.name} is the jump host of: {', '.join(sorted(behind[node.id])[:_SHOWN])}."
                faults.append(Finding(rule="W018", message=message, remedy="Remove these too.", field=field))
        _refuse("removing", faults, len(wanted.nodes))
        entries = [audit.Entry(identity=row.id, name=row.name, before={"name": row.name}) for row in leaving.values()]
        audit.record_all(connection, "node.remove", entries)
        _delete(connection, list(leaving))
    return NodesResult(nodes=sorted(row.name for row in leaving.values()))


def _delete(connection: Connection, ids: Sequence[str]) -> None:
    """Those that are reached through others first: each row is deleted by itself."""
    nodes = tables.nodes
    these = [{"b_id": identity} for identity in ids]
    behind = (nodes.c.id == bindparam("b_id"), nodes.c.jump_node_id.is_not(None))
    connection.execute(update(nodes).where(*behind).values(jump_node_id=None), these)
    connection.execute(delete(nodes).where(nodes.c.id == bindparam("b_id")), these)


def _refuse(what: str, faults: Sequence[Finding], count: int) -> None:
    if faults:
        shown = " ".join(fault.message for fault in faults[:_SHOWN]) + (" ..." if len(faults) > _SHOWN else "")
        raise InvalidInputError(
            f"{what} {count} nodes is refused, there are {len(faults)} faults: {shown}",
            remedy="Nothing was changed. Mend what the findings name.",
            findings=list(faults),
        )

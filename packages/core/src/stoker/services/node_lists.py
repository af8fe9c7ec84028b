# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Lists of nodes: all of a large fleet in parts, and those that fit filters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal, TypeAlias

import msgspec
from sqlalchemy import ColumnElement, Connection, exists

from stoker.db import tables
from stoker.db.environments import find_environment
from stoker.db.facts import fact
from stoker.db.nodes import roles_between, roles_of_nodes
from stoker.services.context import ServerContext
from stoker.services.ext import NOTHING, Shown, Wanted
from stoker.services.nodes import ALL_NODES, WITH_EXT, NodeView, view_of
from stoker.services.windows import Part, Window, cut, look

Status: TypeAlias = Literal["new", "online", "unreachable", "error"]
TransportName: TypeAlias = Literal["ssh", "simulated"]


class NodeFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which nodes are wanted: those that fit everything that is given."""

    environment: str = ""
    """An environment's name or id."""
    free: bool | None = None
    """Those of no environment, or those of any."""
    role: str = ""
    status: Status | None = None
    transport: TransportName | None = None
    q: str = ""
    """A part of the name or the address, in any case."""
    os: str = ""
    """The system's id, e.g. ``debian``."""
    os_family: str = ""
    os_version: str = ""
    architecture: str = ""


ANY = NodeFilter()
SHOWN: Final = ("node", "environment")
"""Kinds of things of which a list of nodes tells something."""
_AT_ONCE = 500


def list_nodes(context: ServerContext, window: Window, wanted: NodeFilter = ANY, added: Wanted = NOTHING) -> Part[NodeView]:
    """Nodes by name, with what those plugins add of which it is wanted.

    Raises:
        NotFoundError: there is no such environment.
    """
    name = tables.nodes.c.name
    with context.database.read() as connection:
        environment = find_environment(connection, wanted.environment).id if wanted.environment else None
        shown = Shown(connection, "node", added)
        query = WITH_EXT[shown.columns] if shown.there else ALL_NODES
        query = look(query.where(*_conditions(wanted, environment)), window, name)
        rows, last = cut(connection.execute(query).all(), window, _key)
        if not rows:
            return Part([])
        roles = roles_between(connection, rows[0].name, rows[-1].name)
        return Part([view_of(row, roles, shown) for row in rows], last)


def views_of_environment(connection: Connection, environment_id: str) -> list[NodeView]:
    """All nodes of an environment by name, in the caller's transaction."""
    table = tables.nodes
    roles = roles_of_nodes(connection, environment_id)
    rows = connection.execute(ALL_NODES.where(table.c.environment_id == environment_id))
    return sorted((view_of(row, roles) for row in rows), key=lambda view: view.name)


def views_of_names(connection: Connection, names: Sequence[str]) -> dict[str, NodeView]:
    """Nodes by their names, without their roles, in the caller's transaction; those that are not there are left out."""
    found: dict[str, NodeView] = {}
    for start in range(0, len(names), _AT_ONCE):
        rows = connection.execute(ALL_NODES.where(tables.nodes.c.name.in_(names[start : start + _AT_ONCE])))
        found.update((row.name, view_of(row, {})) for row in rows)
    return found


def _key(row: Any) -> tuple[str]:  # noqa: ANN401  a row
    return (str(row.name),)


def _conditions(wanted: NodeFilter, environment_id: str | None) -> list[ColumnElement[bool]]:
    nodes, roles = tables.nodes.c, tables.node_roles.c
    found: list[ColumnElement[bool]] = []
    if environment_id is not None:
        found.append(nodes.environment_id == environment_id)
    if wanted.free is not None:
        found.append(nodes.environment_id.is_(None) if wanted.free else nodes.environment_id.is_not(None))
    if wanted.role:
        found.append(exists().where(roles.node_id == nodes.id, roles.role == wanted.role))
    if wanted.status is not None:
        found.append(nodes.status == wanted.status)
    if wanted.transport is not None:
        found.append(nodes.transport == wanted.transport)
    if wanted.q:
        found.append(nodes.name.icontains(wanted.q, autoescape=True) | nodes.address.icontains(wanted.q, autoescape=True))
    facts = {
        "os_id": wanted.os,
        "os_family": wanted.os_family,
        "os_version": wanted.os_version,
        "architecture": wanted.architecture,
    }
    return found + [fact(nodes.facts, name) == value for name, value in facts.items() if value]

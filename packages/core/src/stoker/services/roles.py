# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Roles: which there are in an environment, and which nodes have them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
from sqlalchemy import Connection, Row, delete, insert, select, update
from stoker_sdk.extension_points.roles import Role
from stoker_sdk.manifest import read_contribution

from stoker.db import tables
from stoker.db.environments import bump_revision, enabled_plugins, find_environment, refuse_while_deploying
from stoker.db.nodes import find_node, node_was_deployed, release_node, roles_of_nodes
from stoker.errors import ConflictError, InvalidInputError, NotFoundError
from stoker.services import audit
from stoker.services.context import ServerContext
from stoker.services.nodes import NodeView, read_view, refuse_outdated_node


class RoleView(msgspec.Struct, frozen=True, kw_only=True):
    """A role of an environment."""

    name: str
    title: str
    description: str
    plugin: str
    """The plugin that brings it."""
    min: int
    max: int | None
    recommended: int | None
    conflicts: list[str]
    tolerance: int | str
    nodes: list[str]
    """Names of the nodes that have it."""


class _Manifest(msgspec.Struct):
    contributions: list[dict[str, object]] = []


def roles_of_manifests(manifests: Iterable[str]) -> set[str]:
    """The names of the roles that plugins bring."""
    documents = (item for manifest in manifests for item in msgspec.json.decode(manifest, type=_Manifest).contributions)
    return {str(document["name"]) for document in documents if document.get("point") == "roles"}


def known_roles(connection: Connection, environment_id: str) -> dict[str, tuple[Role, str]]:
    """The roles that an environment's plugins bring: name -> role and plugin."""
    found: dict[str, tuple[Role, str]] = {}
    for row in enabled_plugins(connection, environment_id):
        for document in msgspec.json.decode(row.manifest, type=_Manifest).contributions:
            if document.get("point") == "roles" and isinstance(role := read_contribution(document), Role):
                found[role.name] = (role, row.plugin)
    return found


def list_all(context: ServerContext, environment: str) -> list[RoleView]:
    """An environment's roles, by name. Raises NotFoundError."""
    with context.database.read() as connection:
        row = find_environment(connection, environment)
        members = role_members(connection, row.id)
        return [
            RoleView(
                name=name,
                title=role.title or name,
                description=role.description,
                plugin=plugin,
                min=role.min,
                max=role.max,
                recommended=role.recommended,
                conflicts=list(role.conflicts),
                tolerance=role.tolerance,
                nodes=sorted(members.get(name, {}).values()),
            )
            for name, (role, plugin) in sorted(known_roles(connection, row.id).items())
        ]


def assign(context: ServerContext, environment: str, node: str, roles: Sequence[str], *, if_match: str = "") -> NodeView:
    """Put a node into an environment with exactly these roles.

    Raises:
        NotFoundError: there is no such environment or node.
        InvalidInputError: a role is not known there, or two of them exclude each other.
        ConflictError: the node is in another environment, a role has all the nodes that it may have, or a running deployment
            takes the node or the role away.
        OutdatedEditError: the node is in another state than ``if_match`` names.
    """
    wanted = sorted(set(roles))
    with context.database.transaction() as connection:
        home, row = find_environment(connection, environment), find_node(connection, node)
        refuse_outdated_node(connection, if_match, row)
        if row.environment_id not in (None, home.id):
            other = find_environment(connection, row.environment_id)
            raise ConflictError(f"node {row.name} belongs to environment {other.name}.", remedy="Take it out there first.")
        _check(connection, home.id, home.name, row.id, row.name, wanted)
        old = roles_of_nodes(connection).get(row.id, [])
        if row.environment_id == home.id and old == wanted and not row.removing:
            return read_view(connection, row.id)
        _refuse_what_would_be_lost(connection, home, row, wanted)
        connection.execute(update(tables.nodes).where(tables.nodes.c.id == row.id).values(environment_id=home.id, removing=False))
        connection.execute(delete(tables.node_roles).where(tables.node_roles.c.node_id == row.id))
        if wanted:
            connection.execute(insert(tables.node_roles), [{"node_id": row.id, "role": role} for role in wanted])
        bump_revision(connection, home.id)
        before = {"roles": old, "removing": row.removing} if row.environment_id else None
        audit.record(connection, "node.assign", row.id, row.name, environment=home.name, before=before, after={"roles": wanted})
        return read_view(connection, row.id)


def _refuse_what_would_be_lost(
    connection: Connection, home: Row[tuple[object, ...]], node: Row[tuple[object, ...]], wanted: list[str]
) -> None:
    """Other roles concern the next plan only; a deployment's end lets go of nodes taken out and of removed plugins' roles."""
    if node.removing:
        refuse_while_deploying(connection, home.id, home.name, f"assigning node {node.name}, which is being taken out,")
    leaving = {row.plugin for row in enabled_plugins(connection, home.id) if row.state == "removing"}
    known = known_roles(connection, home.id) if leaving else {}
    for role in wanted:
        if role in known and known[role][1] in leaving:
            what = f"giving node {node.name} the role {role} of plugin {known[role][1]}, which is being removed,"
            refuse_while_deploying(connection, home.id, home.name, what)


def _check(connection: Connection, environment_id: str, environment: str, node_id: str, node: str, wanted: list[str]) -> None:
    known = known_roles(connection, environment_id)
    unknown = [role for role in wanted if role not in known]
    if unknown:
        raise InvalidInputError(
            f"environment {environment} has no role {', '.join(unknown)}.",
            remedy=f"Use one of: {', '.join(sorted(known)) or 'none; enable a plugin that brings roles'}.",
        )
    members = role_members(connection, environment_id)
    for name in wanted:
        role, plugin = known[name]
        for other in wanted:
            if other in role.conflicts:
                raise InvalidInputError(
                    f"node {node}: roles {name} (plugin {plugin}) and {other} exclude each other.",
                    remedy="Give the node one of the two.",
                )
        others = {identity for identity in members.get(name, {}) if identity != node_id}
        if role.max is not None and len(others) + 1 > role.max:
            present = ", ".join(sorted(members[name].values()))
            raise ConflictError(
                f"role {name} (plugin {plugin}) may have {role.max} nodes at most, and has: {present}.",
                remedy="Take it from another node first.",
            )


def unassign(context: ServerContext, environment: str, node: str, *, if_match: str = "") -> NodeView:
    """Take a node out of an environment: at once if nothing was deployed to it, else with the next deployment.

    Raises:
        NotFoundError: there is no such environment, or the node is not in it.
        ConflictError: a deployment runs.
        OutdatedEditError: the node is in another state than ``if_match`` names.
    """
    with context.database.transaction() as connection:
        home, row = find_environment(connection, environment), find_node(connection, node)
        refuse_outdated_node(connection, if_match, row)
        if row.environment_id != home.id:
            raise NotFoundError(
                f"node {row.name} is not in environment {home.name}.", remedy="'stoker nodes list' shows where it is."
            )
        refuse_while_deploying(connection, home.id, home.name, f"taking out node {row.name}")
        before = {"roles": roles_of_nodes(connection).get(row.id, [])}
        stays = node_was_deployed(connection, row.id, row.name, home.id)
        after = {**before, "removing": True} if stays else None
        audit.record(connection, "node.unassign", row.id, row.name, environment=home.name, before=before, after=after)
        if stays:
            connection.execute(update(tables.nodes).where(tables.nodes.c.id == row.id).values(removing=True))
        else:
            release_node(connection, row.id)
        bump_revision(connection, home.id)
        return read_view(connection, row.id)


def role_members(connection: Connection, environment_id: str) -> dict[str, dict[str, str]]:
    """Role -> id and name of its nodes; nodes that are being taken out do not count."""
    roles, nodes = tables.node_roles, tables.nodes
    rows = connection.execute(
        select(roles.c.role, nodes.c.id, nodes.c.name)
        .join(nodes, nodes.c.id == roles.c.node_id)
        .where(nodes.c.environment_id == environment_id, nodes.c.removing.is_(False))
    )
    found: dict[str, dict[str, str]] = {}
    for role, identity, name in rows:
        found.setdefault(role, {})[identity] = name
    return found

# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Roles of many nodes in one call: everything is looked at first, every fault is told, and nothing is half done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

import msgspec
from sqlalchemy import Connection, Row, bindparam, delete, insert, update
from stoker_sdk.extension_points.roles import Role
from stoker_sdk.model.finding import Finding

from stoker.db import tables
from stoker.db.environments import bump_revision, deployment_running, enabled_plugins, find_environment, refuse_while_deploying
from stoker.db.nodes import deployed_nodes, find_nodes, release_nodes, roles_of_nodes
from stoker.errors import InvalidInputError
from stoker.services import audit
from stoker.services.context import ServerContext
from stoker.services.roles import known_roles, role_members

MOST = 5000
"""The most nodes of one call."""
_SHOWN = 5


class Assignment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A node and roles."""

    node: str
    """Its name or id."""
    roles: Annotated[list[str], msgspec.Meta(max_length=100)]


class BulkAssignment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Roles for many nodes."""

    assignments: Annotated[list[Assignment], msgspec.Meta(min_length=1, max_length=MOST)]
    mode: Literal["set", "add", "remove"] = "set"
    """``set``: exactly these roles; ``add``: these too; ``remove``: no longer these, which takes no node out."""


class BulkUnassignment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Nodes to take out of their environment."""

    nodes: Annotated[list[str], msgspec.Meta(min_length=1, max_length=MOST)]


class BulkResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of many nodes."""

    environment: str
    revision: int
    """The environment's, after this."""
    changed: list[str]
    """Names of the nodes that have changed."""
    unchanged: list[str]
    """Names of those that were so already."""
    removing: list[str] = []
    """Of the changed ones those that leave with the next deployment."""


class _Change(msgspec.Struct, frozen=True):
    """One node's roles before and after."""

    row: Row[Any]
    field: str
    before: list[str]
    after: list[str]


def assign(context: ServerContext, environment: str, wanted: BulkAssignment) -> BulkResult:
    """Give many nodes roles, and put those into the environment that are free; all or none.

    Raises:
        NotFoundError: there is no such environment.
        InvalidInputError: nodes or roles do not fit; each fault is a finding.
        ConflictError: a running deployment takes a node or a role away.
    """
    with context.database.transaction() as connection:
        return assign_in(connection, find_environment(connection, environment), wanted)


def assign_in(connection: Connection, home: Row[Any], wanted: BulkAssignment) -> BulkResult:
    """The same inside of a larger change, which is undone as a whole if this is refused."""
    rows = find_nodes(connection, [item.node for item in wanted.assignments])
    roles_before = roles_of_nodes(connection, str(home.id))
    known = known_roles(connection, str(home.id))
    changes: list[_Change] = []
    faults = list(_unknown_roles(home.name, wanted.assignments, known)) if wanted.mode != "remove" else []
    seen: set[str] = set()
    for number, item in enumerate(wanted.assignments):
        field, row = f"assignments[{number}]", rows.get(item.node)
        fault = _unfit(home, item.node, row, seen, field)
        if fault is not None or row is None:
            faults += [fault] if fault is not None else []
            continue
        if wanted.mode == "remove" and row.environment_id is None:
            faults.append(_elsewhere(home, row, field))
            continue
        seen.add(row.id)
        before = roles_before.get(row.id, [])
        changes.append(_Change(row, field, before, _after(wanted.mode, before, item.roles)))
    for change in changes:
        faults += _excluding(change, known)
    if wanted.mode != "remove":
        faults += _too_many(connection, home, changes, known)
    _refuse(home.name, faults, len(wanted.assignments))
    made = [item for item in changes if (item.before != item.after if wanted.mode == "remove" else _is_new(item, home.id))]
    _refuse_what_would_be_lost(connection, home, made, known)
    _write(connection, home, made, moving=wanted.mode != "remove")
    revision = bump_revision(connection, home.id) if made else int(home.revision)
    names = {item.row.name for item in made}
    return BulkResult(
        environment=home.name,
        revision=revision,
        changed=sorted(names),
        unchanged=sorted(item.row.name for item in changes if item.row.name not in names),
    )


def _is_new(change: _Change, environment_id: str) -> bool:
    return change.before != change.after or change.row.environment_id != environment_id or bool(change.row.removing)


def _after(mode: str, before: Sequence[str], roles: Sequence[str]) -> list[str]:
    if mode == "add":
        return sorted({*before, *roles})
    return sorted(set(before) - set(roles)) if mode == "remove" else sorted(set(roles))


def _unfit(home: Row[Any], node: str, row: Row[Any] | None, seen: set[str], field: str) -> Finding | None:
    if row is None:
        return Finding(
            rule="W001",
            message=f"node {node[:100]!r} is not there.",
            remedy="'stoker nodes list' shows all.",
            field=f"{field}.node",
        )
    if row.id in seen:
        return Finding(rule="W002", message=f"node {row.name} is named twice.", remedy="Name it once.", field=f"{field}.node")
    if row.environment_id not in (None, home.id):
        return Finding(
            rule="W003",
            message=f"node {row.name} belongs to another environment than {home.name}.",
            remedy="Take it out there first.",
            field=f"{field}.node",
        )
    return None


def _elsewhere(home: Row[Any], row: Row[Any], field: str) -> Finding:
    message, remedy = f"node {row.name} is not in environment {home.name}.", "'stoker nodes list' shows where it is."
    return Finding(rule="W007", message=message, remedy=remedy, field=field)


def _unknown_roles(environment: str, assignments: Sequence[Assignment], known: dict[str, tuple[Role, str]]) -> Iterator[Finding]:
    users: dict[str, list[str]] = {}
    for item in assignments:
        for role in item.roles:
            if role not in known:
                users.setdefault(role, []).append(item.node)
    names = ", ".join(sorted(known)) or "none; enable a plugin that brings roles"
    for role, nodes in sorted(users.items()):
        yield Finding(
            rule="W004",
            message=f"environment {environment} has no role {role[:100]!r}; it is given to {_listed(nodes)}.",
            remedy=f"Use one of: {names}.",
            field="assignments",
        )


def _excluding(change: _Change, known: dict[str, tuple[Role, str]]) -> Iterator[Finding]:
    for name in change.after:
        role, plugin = known.get(name, (None, ""))
        for other in role.conflicts if role is not None else ():
            if other in change.after and (name < other or name not in _conflicts(known, other)):
                yield Finding(
                    rule="W005",
                    message=f"node {change.row.name}: roles {name} (plugin {plugin}) and {other} exclude each other.",
                    remedy="Give the node one of the two.",
                    plugin=plugin,
                    field=f"{change.field}.roles",
                )


def _conflicts(known: dict[str, tuple[Role, str]], name: str) -> Sequence[str]:
    return known[name][0].conflicts if name in known else ()


def _too_many(
    connection: Connection, home: Row[Any], changes: Sequence[_Change], known: dict[str, tuple[Role, str]]
) -> Iterator[Finding]:
    present = role_members(connection, str(home.id))
    ours = {change.row.id for change in changes}
    for name, (role, plugin) in sorted(known.items()):
        given = [change.row.name for change in changes if name in change.after]
        # A node that is being taken out counts no more for its roles: where it comes back, they are new to it.
        if role.max is None or not any(
            name in change.after and (name not in change.before or change.row.removing) for change in changes
        ):
            continue
        names = sorted([*given, *(node for identity, node in present.get(name, {}).items() if identity not in ours)])
        if len(names) > role.max:
            yield Finding(
                rule="W006",
                message=f"role {name} (plugin {plugin}) may have {role.max} nodes at most, not {len(names)}: {_listed(names)}.",
                remedy="Give it to fewer nodes, or take it from some.",
                plugin=plugin,
                field="assignments",
            )


def _refuse(environment: str, faults: Sequence[Finding], count: int) -> None:
    if faults:
        shown = " ".join(fault.message for fault in faults[:_SHOWN]) + (" ..." if len(faults) > _SHOWN else "")
        raise InvalidInputError(
            f"environment {environment}: the call for {count} nodes has {len(faults)} faults: {shown}",
            remedy="Nothing was changed. Mend what the findings name.",
            findings=list(faults),
        )


def _refuse_what_would_be_lost(
    connection: Connection, home: Row[Any], changes: Sequence[_Change], known: dict[str, tuple[Role, str]]
) -> None:
    """As for one node: a running deployment lets go of nodes that are being taken out, and of the roles of removed plugins."""
    if deployment_running(connection, home.id) is None:
        return
    leaving = [change.row.name for change in changes if change.row.removing]
    if leaving:
        refuse_while_deploying(connection, home.id, home.name, f"assigning nodes that are being taken out ({_listed(leaving)})")
    removed = {row.plugin for row in enabled_plugins(connection, home.id) if row.state == "removing"}
    for role in sorted({role for change in changes for role in change.after if role not in change.before}):
        if role in known and known[role][1] in removed:
            what = f"giving nodes the role {role} of plugin {known[role][1]}, which is being removed,"
            refuse_while_deploying(connection, home.id, home.name, what)


def _write(connection: Connection, home: Row[Any], changes: Sequence[_Change], *, moving: bool) -> None:
    nodes, roles = tables.nodes, tables.node_roles
    moved = [{"b_id": item.row.id} for item in changes if moving and (item.row.environment_id != home.id or item.row.removing)]
    gone = [{"b_id": item.row.id, "b_role": role} for item in changes for role in item.before if role not in item.after]
    new = [{"node_id": item.row.id, "role": role} for item in changes for role in item.after if role not in item.before]
    if moved:
        move = update(nodes).where(nodes.c.id == bindparam("b_id")).values(environment_id=home.id, removing=False)
        connection.execute(move, moved)
    if gone:
        connection.execute(delete(roles).where(roles.c.node_id == bindparam("b_id"), roles.c.role == bindparam("b_role")), gone)
    if new:
        connection.execute(insert(roles), new)
    entries = [
        audit.Entry(
            identity=item.row.id,
            name=item.row.name,
            before={"roles": item.before, "removing": bool(item.row.removing)} if item.row.environment_id else None,
            after={"roles": item.after},
        )
        for item in changes
    ]
    audit.record_all(connection, "node.assign", entries, environment=home.name)


def unassign(context: ServerContext, environment: str, wanted: BulkUnassignment) -> BulkResult:
    """Take many nodes out: at once those to which nothing was deployed, the others with the next deployment; all or none.

    Raises:
        NotFoundError: there is no such environment.
        InvalidInputError: a node is not there, or not in the environment; each fault is a finding.
        ConflictError: a deployment runs.
    """
    with context.database.transaction() as connection:
        return unassign_in(connection, find_environment(connection, environment), wanted)


def unassign_in(connection: Connection, home: Row[Any], wanted: BulkUnassignment) -> BulkResult:
    """The same inside of a larger change, which is undone as a whole if this is refused."""
    rows = find_nodes(connection, wanted.nodes)
    faults: list[Finding] = []
    leaving: dict[str, Row[Any]] = {}
    for number, node in enumerate(wanted.nodes):
        row, field = rows.get(node), f"nodes[{number}]"
        fault = _unfit(home, node, row, set(leaving), field)
        if row is None or fault is not None:
            faults += [fault] if fault is not None else []
        elif row.environment_id is None:
            faults.append(_elsewhere(home, row, field))
        else:
            leaving[row.id] = row
    _refuse(home.name, faults, len(wanted.nodes))
    refuse_while_deploying(connection, home.id, home.name, f"taking out {_listed([row.name for row in leaving.values()])}")
    present = [row for row in leaving.values() if not row.removing]
    stays = deployed_nodes(connection, str(home.id), present)
    before = roles_of_nodes(connection, str(home.id))
    entries = []
    for row in present:
        roles = {"roles": before.get(row.id, [])}
        after = {**roles, "removing": True} if row.id in stays else None
        entries.append(audit.Entry(identity=row.id, name=row.name, before=roles, after=after))
    audit.record_all(connection, "node.unassign", entries, environment=home.name)
    release_nodes(connection, [row.id for row in present if row.id not in stays])
    table = tables.nodes
    if stays:
        mark = update(table).where(table.c.id == bindparam("b_id")).values(removing=True)
        connection.execute(mark, [{"b_id": identity} for identity in sorted(stays)])
    revision = bump_revision(connection, home.id) if present else int(home.revision)
    names = {row.id: row.name for row in leaving.values()}
    changed = {row.id for row in present}
    return BulkResult(
        environment=home.name,
        revision=revision,
        changed=sorted(names[identity] for identity in changed),
        unchanged=sorted(name for identity, name in names.items() if identity not in changed),
        removing=sorted(names[identity] for identity in stays),
    )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(name[:100] for name in names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"

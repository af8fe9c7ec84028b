# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The journal's rows: events of deployments and what is applied on nodes, written in one transaction under the owner's epoch."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import Any, Literal, TypeAlias

import msgspec
from sqlalchemy import Connection, Delete, Insert, Table, and_, bindparam, delete, insert, select, update
from sqlalchemy.dialects import sqlite

from stoker.db import postgresql_rows
from stoker.db.tables import applied_files, applied_packages, applied_tasks, deployment_events, deployments

AppliedKind: TypeAlias = Literal["file", "package", "task"]


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One row of a deployment's history, which is one live event too."""

    kind: str
    """state, node, dispatched, finished, skipped, unknown, answer or note."""
    node: str = ""
    """The node's name."""
    task: str = ""
    attempt: int = 0
    data: Mapping[str, object] = {}
    """Further fields, as the API shows them."""


class AppliedChange(msgspec.Struct, frozen=True):
    """One change of what is applied on a node."""

    kind: AppliedKind
    node_id: str
    key: str
    """Path, package or task."""
    value: str | None
    """JSON of AppliedFile or AppliedPackage, or the hash of a task's inputs; ``None`` deletes the row."""


class JournalEntry(msgspec.Struct, frozen=True, kw_only=True):
    """What is written together or not at all."""

    deployment_id: str
    epoch: int
    events: Sequence[Event] = ()
    applied: Sequence[AppliedChange] = ()
    state: str = ""
    """The deployment's new state, if it changes."""


_TABLES: dict[AppliedKind, tuple[Table, str, str]] = {
    "file": (applied_files, "path", "data"),
    "package": (applied_packages, "package", "data"),
    "task": (applied_tasks, "task", "inputs"),
}

_encode = msgspec.json.Encoder().encode

# Statements are made once: to make one costs more than to run it.
_ADD_EVENT = insert(deployment_events)
_MINE = and_(deployments.c.id == bindparam("b_id"), deployments.c.epoch == bindparam("b_epoch"))
_RENEW = update(deployments).where(_MINE).values(lease_until=bindparam("b_until"))


def write_batch(connection: Connection, entries: Sequence[JournalEntry], lease_until: float) -> set[str]:
    """Write entries of deployments that are still ours, and renew their leases.

    Args:
        connection: inside a transaction.
        entries: in the order in which they happened.
        lease_until: until when their deployments are ours.

    Returns:
        The deployments that are no longer ours: nothing was written for them.
    """
    lost: set[str] = set()
    for deployment_id, epoch in {(entry.deployment_id, entry.epoch): None for entry in entries}:
        mine = {"b_id": deployment_id, "b_epoch": epoch, "b_until": lease_until}
        if connection.execute(_RENEW, mine).rowcount != 1:
            lost.add(deployment_id)
    kept = [entry for entry in entries if entry.deployment_id not in lost]
    now = time.time()
    rows = [_event_row(entry.deployment_id, event, now) for entry in kept for event in entry.events]
    if rows:
        _add_events(connection, rows)
    write_applied(connection, [change for entry in kept for change in entry.applied])
    for entry in kept:
        if entry.state:
            connection.execute(
                update(deployments)
                .where(deployments.c.id == entry.deployment_id, deployments.c.epoch == entry.epoch)
                .values(state=entry.state)
            )
    return lost


def was_written(connection: Connection, entries: Sequence[JournalEntry], tried: Collection[float]) -> set[str] | None:
    """Whether an earlier try at a batch was committed after all: the connection may be lost between a commit and its answer.

    Args:
        connection: inside a transaction.
        entries: the batch.
        tried: the ``lease_until`` of earlier tries; no other batch has them.

    Returns:
        ``None`` if nothing of it is there; otherwise the deployments that are no longer ours.
    """
    ids = {entry.deployment_id for entry in entries}
    columns = (deployments.c.id, deployments.c.epoch, deployments.c.lease_until)
    rows = {row.id: row for row in connection.execute(select(*columns).where(deployments.c.id.in_(ids)))}
    mine = {(entry.deployment_id, entry.epoch) for entry in entries}
    ours = {name for name, epoch in mine if name in rows and rows[name].epoch == epoch}
    return ids - ours if any(rows[name].lease_until in tried for name in ours) else None


def add_event(connection: Connection, deployment_id: str, event: Event) -> None:
    """Write one event outside of a run, e.g. a person's answer."""
    connection.execute(_ADD_EVENT, [_event_row(deployment_id, event, time.time())])


def write_applied(connection: Connection, changes: Sequence[AppliedChange]) -> None:
    """Bring the rows of what is applied up to date; of several changes to one thing the last one counts."""
    last = {(change.kind, change.node_id, change.key): change.value for change in changes}
    for kind in _TABLES:
        kept = [(node, key, value) for (what, node, key), value in last.items() if what == kind and value is not None]
        gone = [(node, key) for (what, node, key), value in last.items() if what == kind and value is None]
        if kept:
            _put(connection, kind, kept)
        if gone:
            _drop(connection, kind, gone)


def _add_events(connection: Connection, rows: list[dict[str, object]]) -> None:
    if connection.dialect.name == "postgresql":
        postgresql_rows.insert_rows(connection, deployment_events, rows)
    else:
        connection.execute(_ADD_EVENT, rows)


def _put(connection: Connection, kind: AppliedKind, rows: list[tuple[str, str, str]]) -> None:
    table, key, column = _TABLES[kind]
    if connection.dialect.name == "postgresql":
        named = [{"node_id": node, key: name, column: value} for node, name, value in rows]
        postgresql_rows.upsert_rows(connection, table, named)
    else:
        connection.execute(_upsert(kind), [{"b_node": node, "b_key": name, "b_value": value} for node, name, value in rows])


def _drop(connection: Connection, kind: AppliedKind, rows: list[tuple[str, str]]) -> None:
    table, key, _ = _TABLES[kind]
    if connection.dialect.name == "postgresql":
        postgresql_rows.delete_rows(connection, table, [{"node_id": node, key: name} for node, name in rows])
    else:
        connection.execute(_delete(kind), [{"b_node": node, "b_key": name} for node, name in rows])


@cache
def _upsert(kind: AppliedKind) -> Insert:
    table, key, column = _TABLES[kind]
    values: dict[str, Any] = {"node_id": bindparam("b_node"), key: bindparam("b_key"), column: bindparam("b_value")}
    lite = sqlite.insert(table).values(values)
    return lite.on_conflict_do_update(index_elements=["node_id", key], set_={column: lite.excluded[column]})


@cache
def _delete(kind: AppliedKind) -> Delete:
    table, key, _ = _TABLES[kind]
    return delete(table).where(and_(table.c.node_id == bindparam("b_node"), table.c[key] == bindparam("b_key")))


def _event_row(deployment_id: str, event: Event, now: float) -> dict[str, object]:
    return {
        "deployment_id": deployment_id,
        "kind": event.kind,
        "node": event.node,
        "task": event.task,
        "attempt": event.attempt,
        "data": _encode(event.data).decode() if event.data else "{}",
        "at": now,
    }

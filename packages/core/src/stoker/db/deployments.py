# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Rows of deployments: making one, owning it for a time, ending it, and reading its history back."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from stoker.db import tables
from stoker.db.environments import bump_revision, deployment_running, drop_plugin
from stoker.db.nodes import release_node
from stoker.domain.snapshot import Applied, AppliedFile, AppliedPackage
from stoker.errors import ConflictError, NotFoundError

UNFINISHED = ("pending", "running", "stopping")
"""States of a deployment that somebody carries out."""


class OpenAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt that was dispatched and whose end nobody wrote down."""

    number: int
    deployment: str
    """The deployment that dispatched it."""
    at: float
    data: dict[str, object]

    @property
    def id(self) -> str:
        """Under which it is in the node's spool, whichever deployment looks for it; empty in rows of early versions."""
        return str(self.data.get("id", ""))


class InstanceHistory(msgspec.Struct, kw_only=True):
    """What the events say of one task on one node."""

    done: bool = False
    open: OpenAttempt | None = None
    unknown: int = 0
    """The attempt of which nobody knows whether it ran, and which a person must judge; 0 if none."""
    attempts: int = 0
    """The number of the last attempt in this deployment."""
    failures: int = 0
    """Failed attempts in this deployment."""
    finished: list[str] = []
    """Ids in the spool of attempts that ended in this deployment: they can go."""


def open_attempts(history: Mapping[tuple[str, str], InstanceHistory]) -> list[str]:
    """The attempts that may still be under way, in words: ``TASK on NODE``."""
    return [f"{task} on {node}" for (node, task), item in sorted(history.items()) if item.open is not None]


def add_deployment(connection: Connection, environment_id: str, name: str, plan_id: str, retry_of: str | None = None) -> str:
    """Make a deployment that holds its environment; answers its id.

    Raises:
        ConflictError: another one holds it; both are named.
    """
    identity = uuid.uuid4().hex[:16]
    connection.execute(
        insert(tables.deployments).values(
            id=identity,
            environment_id=environment_id,
            plan_id=plan_id,
            state="pending",
            reason="",
            created_at=time.time(),
            retry_of=retry_of,
            epoch=0,
            owner="",
            lease_until=0.0,
            stop_requested=False,
            revision=_revision(connection, environment_id),
        )
    )
    other = deployment_running(connection, environment_id)
    if other is None:
        try:
            connection.execute(insert(tables.environment_locks).values(environment_id=environment_id, deployment_id=identity))
        except IntegrityError as error:
            raise _held(name, identity, "another deployment") from error
    else:
        raise _held(name, identity, f"deployment {other}")
    return identity


def _revision(connection: Connection, environment_id: str) -> int:
    table = tables.environments
    return int(connection.execute(select(table.c.revision).where(table.c.id == environment_id)).scalar() or 0)


def _held(name: str, new: str, other: str) -> ConflictError:
    return ConflictError(
        f"environment {name}: the new deployment {new} is refused, {other} is running.",
        remedy="Wait for its end, or stop it ('stoker deployments stop').",
    )


def find_deployment(connection: Connection, deployment_id: str) -> Row[tuple[object, ...]]:
    """A deployment's row.

    Raises:
        NotFoundError: there is none.
    """
    table = tables.deployments
    row = connection.execute(select(table).where(table.c.id == deployment_id)).first()
    if row is None:
        raise NotFoundError(
            f"deployment {deployment_id!r} is not there.", remedy="'stoker deployments list ENVIRONMENT' shows all."
        )
    return row


def list_deployments(connection: Connection, environment_id: str) -> list[Row[tuple[object, ...]]]:
    """An environment's deployments, newest first."""
    table = tables.deployments
    return list(
        connection.execute(select(table).where(table.c.environment_id == environment_id).order_by(table.c.created_at.desc()))
    )


def unfinished_deployments(connection: Connection) -> list[Row[tuple[object, ...]]]:
    """Deployments that somebody carries out, or should."""
    table = tables.deployments
    return list(connection.execute(select(table).where(table.c.state.in_(UNFINISHED)).order_by(table.c.created_at)))


def take_lease(connection: Connection, row: Row[tuple[object, ...]], owner: str, until: float) -> int | None:
    """Make a deployment ours; answers the new epoch, or ``None`` if somebody else was faster."""
    table = tables.deployments
    taken = connection.execute(
        update(table)
        .where(table.c.id == row.id, table.c.epoch == row.epoch, table.c.state.in_(UNFINISHED))
        .values(epoch=row.epoch + 1, owner=owner, lease_until=until)
    )
    return row.epoch + 1 if taken.rowcount == 1 else None


def request_stop(connection: Connection, deployment_id: str) -> None:
    """Note that a deployment shall end; its owner sees it."""
    table = tables.deployments
    connection.execute(update(table).where(table.c.id == deployment_id).values(stop_requested=True))
    connection.execute(
        update(table).where(table.c.id == deployment_id, table.c.state.in_(("pending", "running"))).values(state="stopping")
    )


def end_deployment(
    connection: Connection,
    deployment_id: str,
    epoch: int,
    *,
    state: str,
    reason: str,
    freed_nodes: Sequence[str] = (),
    removed_plugins: Sequence[str] = (),
) -> bool:
    """End a deployment and let its environment go; ``False`` if it is no longer ours, or has ended.

    Args:
        connection: inside a transaction.
        deployment_id: which one.
        epoch: ours.
        state: ready, degraded, failed or stopped.
        reason: one sentence for people.
        freed_nodes: ids of nodes that are clean now and leave the environment.
        removed_plugins: plugins of which nothing is left on any node.
    """
    table = tables.deployments
    mine = (table.c.id == deployment_id, table.c.epoch == epoch, table.c.state.in_(UNFINISHED))
    row = connection.execute(select(table.c.environment_id, table.c.revision).where(*mine)).first()
    if row is None:
        return False
    untouched = row.revision == _revision(connection, row.environment_id)
    connection.execute(
        update(table)
        .where(table.c.id == deployment_id)
        .values(state=state, reason=reason, finished_at=time.time(), lease_until=0.0)
    )
    connection.execute(delete(tables.environment_locks).where(tables.environment_locks.c.deployment_id == deployment_id))
    for plugin in removed_plugins:
        _forget_plugin(connection, row.environment_id, plugin)
    nodes = tables.nodes
    leaving = select(nodes.c.id).where(
        nodes.c.id.in_(freed_nodes), nodes.c.environment_id == row.environment_id, nodes.c.removing.is_(True)
    )
    for node_id in connection.execute(leaving).scalars().all():
        release_node(connection, node_id)
    if freed_nodes:
        bump_revision(connection, row.environment_id)
    if untouched:  # what its own end changes is nothing that would be pending
        settled = _revision(connection, row.environment_id)
        connection.execute(update(table).where(table.c.id == deployment_id).values(revision=settled))
    return True


def _forget_plugin(connection: Connection, environment_id: str, plugin: str) -> None:
    """A plugin is gone from all nodes: its rows go too, unless somebody wants it again."""
    nodes, tasks, used = tables.nodes, tables.applied_tasks, tables.environment_plugins
    state = select(used.c.state).where(used.c.environment_id == environment_id, used.c.plugin == plugin)
    if connection.execute(state).scalar() != "removing":
        return
    members = select(nodes.c.id).where(nodes.c.environment_id == environment_id)
    connection.execute(delete(tasks).where(tasks.c.node_id.in_(members), tasks.c.task.startswith(f"{plugin}.", autoescape=True)))
    drop_plugin(connection, environment_id, plugin)


def ancestry(connection: Connection, deployment_id: str) -> list[str]:
    """A deployment and those that it goes on from, the first one first."""
    table, chain = tables.deployments, [deployment_id]
    while earlier := connection.execute(select(table.c.retry_of).where(table.c.id == chain[-1])).scalar():
        chain.append(earlier)
    return chain[::-1]


def read_history(connection: Connection, deployment_id: str) -> dict[tuple[str, str], InstanceHistory]:
    """What happened so far to each (node, task), in a deployment and in those that it goes on from."""
    table = tables.deployment_events
    found: dict[tuple[str, str], InstanceHistory] = {}
    for member in ancestry(connection, deployment_id):
        rows = connection.execute(
            select(table.c.kind, table.c.node, table.c.task, table.c.attempt, table.c.data, table.c.at)
            .where(table.c.deployment_id == member, table.c.kind.in_(("dispatched", "finished", "unknown", "answer")))
            .order_by(table.c.id)
        )
        for row in rows:
            item = found.setdefault((row.node, row.task), InstanceHistory())
            _replay(item, row, member, own=member == deployment_id)
    return found


class _EventData(msgspec.Struct):
    """The fields of an event's data that count for going on."""

    exit_status: int = 0
    ask: bool = False
    answer: str = ""


def _replay(item: InstanceHistory, row: Any, deployment: str, *, own: bool) -> None:  # noqa: ANN401  a row of six columns
    data = msgspec.json.decode(row.data, type=_EventData)
    if own:
        item.attempts = max(item.attempts, row.attempt)
    if row.kind == "dispatched":
        item.unknown = 0
        item.open = OpenAttempt(
            number=row.attempt, deployment=deployment, at=row.at, data=msgspec.json.decode(row.data, type=dict[str, object])
        )
        return
    ended, item.open = item.open, None
    if row.kind == "finished":
        item.done = data.exit_status == 0
        if own:
            item.failures += not item.done
            if ended is not None and ended.id:
                item.finished = [*item.finished, ended.id]
    elif row.kind == "unknown":
        item.unknown = row.attempt if data.ask else 0
    else:
        item.unknown = 0
        item.done = data.answer == "done"


def events_after(
    connection: Connection, deployment_id: str, last: int, *, kinds: Sequence[str] = (), limit: int = 1000
) -> list[Row[tuple[object, ...]]]:
    """Rows of a deployment's history after the event ``last``."""
    table = tables.deployment_events
    query = select(table).where(table.c.deployment_id == deployment_id, table.c.id > last)
    if kinds:
        query = query.where(table.c.kind.in_(kinds))
    return list(connection.execute(query.order_by(table.c.id).limit(limit)))


def read_applied(connection: Connection, node_ids: Iterable[str]) -> dict[str, Applied]:
    """What deployments did on nodes up to now."""
    wanted = set(node_ids)
    files: dict[str, dict[str, AppliedFile]] = {}
    packages: dict[str, dict[str, AppliedPackage]] = {}
    tasks: dict[str, dict[str, str]] = {}
    for row in connection.execute(select(tables.applied_files)):
        if row.node_id in wanted:
            files.setdefault(row.node_id, {})[row.path] = msgspec.json.decode(row.data, type=AppliedFile)
    for row in connection.execute(select(tables.applied_packages)):
        if row.node_id in wanted:
            packages.setdefault(row.node_id, {})[row.package] = msgspec.json.decode(row.data, type=AppliedPackage)
    for row in connection.execute(select(tables.applied_tasks)):
        if row.node_id in wanted:
            tasks.setdefault(row.node_id, {})[row.task] = row.inputs
    return {
        node: Applied(files=files.get(node, {}), packages=packages.get(node, {}), tasks=tasks.get(node, {})) for node in wanted
    }

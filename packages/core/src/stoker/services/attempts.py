# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Attempts: every try of every task on every node, read back from a deployment's events, all at once or in parts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal, TypeAlias

import msgspec
from sqlalchemy import Connection, Row, case, func, select

from stoker.db import deployments
from stoker.db.tables import deployment_events as events
from stoker.services.context import ServerContext
from stoker.services.windows import Part, Window, cut

State: TypeAlias = Literal["dispatched", "finished", "failed", "unknown"]
_KINDS: Final = ("dispatched", "finished", "unknown")
_CHUNK: Final = 2000


class AttemptView(msgspec.Struct, kw_only=True):
    """One attempt of one task on one node."""

    node: str
    task: str
    attempt: int
    state: str = "dispatched"
    """dispatched, finished or unknown."""
    exit_status: int | None = None
    output: str = ""
    changed: bool = True
    simulated: bool = False
    command: str = ""
    started_at: float | None = None
    finished_at: float | None = None


class AttemptFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which attempts are wanted: those that fit everything that is given."""

    node: str = ""
    task: str = ""
    state: State | None = None
    """``failed`` are the finished ones that did not exit with 0."""


class _EventData(msgspec.Struct):
    exit_status: int | None = None
    output: str = ""
    changed: bool = True
    simulated: bool = False
    command: str = ""
    started_at: float | None = None
    finished_at: float | None = None
    reason: str = ""


_Place: TypeAlias = "tuple[str, str, int]"


def list_attempts(context: ServerContext, deployment_id: str, window: Window, wanted: AttemptFilter) -> Part[AttemptView]:
    """A part of a deployment's attempts, the oldest first. Raises NotFoundError."""
    after = int(window.after[0]) if window.after else 0
    found: list[tuple[int, AttemptView]] = []
    with context.database.read() as connection:
        gone_on = deployments.find_deployment(connection, deployment_id).retry_of is not None
        gone_on = gone_on or _some_never_began(connection, deployment_id)
        while len(found) <= window.limit:
            begun = _begun(connection, deployment_id, after, window.limit + 1, wanted, gone_on=gone_on)
            found += [item for item in _filled(connection, deployment_id, begun) if _fits(item[1], wanted.state)]
            if len(begun) <= window.limit:
                break
            after = begun[-1][0]
    kept, last = cut(found, window, lambda item: (item[0],))
    return Part([view for _, view in kept], last)


def all_attempts(connection: Connection, deployment_id: str) -> list[AttemptView]:
    """Every attempt of a deployment, the oldest first."""
    found: dict[_Place, AttemptView] = {}
    query = select(events).where(events.c.deployment_id == deployment_id, events.c.kind.in_(_KINDS)).order_by(events.c.id)
    for row in connection.execute(query):
        _apply(found.setdefault(_place(row), AttemptView(node=row.node, task=row.task, attempt=row.attempt)), row)
    return list(found.values())


def _place(row: Row[Any]) -> _Place:
    return (row.node, row.task, row.attempt)


def _apply(item: AttemptView, row: Row[Any]) -> None:
    data = msgspec.json.decode(row.data, type=_EventData)
    item.command = data.command or item.command
    if row.kind == "dispatched":
        item.started_at = row.at
    elif row.kind == "unknown":
        item.state, item.output = "unknown", data.reason
    else:
        item.state, item.exit_status, item.output = "finished", data.exit_status, data.output
        item.changed, item.simulated = data.changed, data.simulated
        item.started_at, item.finished_at = data.started_at or item.started_at, data.finished_at


def _fits(view: AttemptView, state: State | None) -> bool:
    if state == "failed":
        return view.state == "finished" and view.exit_status != 0
    return state is None or view.state == state


def _begun(
    connection: Connection, deployment_id: str, after: int, count: int, wanted: AttemptFilter, *, gone_on: bool
) -> list[tuple[int, _Place]]:
    """The first events of attempts after an event, by id.

    That is the dispatch. Only where a deployment goes on from another one, some were dispatched by that one and ended here; and
    one whose node could not be connected to has an end alone.
    """
    table = events.c
    of = [table.deployment_id == deployment_id]
    of += [column == value for column, value in ((table.node, wanted.node), (table.task, wanted.task)) if value]
    query = select(table.id, table.node, table.task, table.attempt).where(*of, table.id > after)
    rows: list[Row[Any]] = list(connection.execute(query.where(table.kind == "dispatched").order_by(table.id).limit(count)))
    if gone_on:
        first = func.min(table.id)
        dispatched = func.sum(case((table.kind == "dispatched", 1), else_=0))
        picked_up = (
            select(first.label("id"), table.node, table.task, table.attempt)
            .where(*of, table.kind.in_(_KINDS))
            .group_by(table.node, table.task, table.attempt)
            .having(dispatched == 0, first > after)
        )
        rows += connection.execute(picked_up)
    return sorted((int(row.id), _place(row)) for row in rows)[:count]


def _some_never_began(connection: Connection, deployment_id: str) -> bool:
    """Whether there are more ends than dispatches: somewhere the connection failed before anything was sent."""
    table = events.c
    ended, begun = (func.sum(case((table.kind == kind, 1), else_=0)) for kind in ("finished", "dispatched"))
    counts = connection.execute(select(ended, begun).where(table.deployment_id == deployment_id)).one()
    return (counts[0] or 0) > (counts[1] or 0)


def _filled(connection: Connection, deployment_id: str, begun: Sequence[tuple[int, _Place]]) -> Iterator[tuple[int, AttemptView]]:
    """The attempts that begin with these events, with what became of them."""
    views = {place: AttemptView(node=place[0], task=place[1], attempt=place[2]) for _, place in begun}
    waiting = set(views)
    last = begun[0][0] - 1 if begun else 0
    while waiting:
        rows = deployments.events_after(connection, deployment_id, last, kinds=_KINDS, limit=_CHUNK)
        for row in rows:
            if (place := _place(row)) in views:
                _apply(views[place], row)
                if row.kind == "finished":
                    waiting.discard(place)
        if len(rows) < _CHUNK:
            break
        last = int(str(rows[-1].id))
    yield from ((identity, views[place]) for identity, place in begun)

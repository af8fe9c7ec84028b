# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Jobs: the runs of plugins' actions as people see them, what they log, and cancelling one."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import msgspec
from sqlalchemy import Row, select

from stoker.db import jobs, tables
from stoker.db.environments import find_environment
from stoker.domain import actor
from stoker.domain.access import AccessLevel
from stoker.errors import ConflictError, ForbiddenError
from stoker.services import audit
from stoker.services.context import ServerContext
from stoker.services.windows import Part, Window, cut, look

State: TypeAlias = Literal["queued", "running", "succeeded", "failed", "cancelled", "broken-off"]


class JobFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which jobs are wanted: those that fit everything that is given."""

    plugin: str = ""
    action: str = ""
    environment: str = ""
    """By id or name."""
    states: tuple[State, ...] = ()


class JobTarget(msgspec.Struct, frozen=True, kw_only=True):
    """What a job was started on."""

    kind: Literal["environment", "node", "server"]
    id: str
    name: str


class JobView(msgspec.Struct, frozen=True, kw_only=True):
    """One run of an action."""

    id: str
    plugin: str
    version: str
    action: str
    title: str
    """What the action does."""
    target: JobTarget
    environment: str
    """Its name when the job was started; empty for one on the server."""
    form: msgspec.Raw
    """What was filled in."""
    state: State
    progress: float
    """From 0 to 1."""
    message: str
    """What it does, in its own words."""
    result: msgspec.Raw | None
    """What it gave; null if nothing, or not yet."""
    error: str
    """Why it failed."""
    traceback: str
    """Where in the plugin's code."""
    actor: str
    """Who started it."""
    restartable: bool
    """Whether it goes on after a restart of the server."""
    cancelled: bool
    """Whether somebody wants it to end."""
    created_at: float
    started_at: float | None
    finished_at: float | None


class JobLog(msgspec.Struct, frozen=True, kw_only=True):
    """A part of what a job logged."""

    items: list[jobs.LogLine]
    last: int
    """Give it as ``after`` for what comes later."""
    ended: bool
    """Whether the job had ended: then nothing comes after an empty part."""


def list_all(context: ServerContext, window: Window, wanted: JobFilter) -> Part[JobView]:
    """Jobs, newest first. Raises NotFoundError: there is no such environment."""
    table = tables.jobs
    with context.database.read() as connection:
        query = select(table)
        if wanted.plugin:
            query = query.where(table.c.plugin == wanted.plugin)
        if wanted.action:
            query = query.where(table.c.action == wanted.action)
        if wanted.environment:
            query = query.where(table.c.environment_id == find_environment(connection, wanted.environment).id)
        if wanted.states:
            query = query.where(table.c.state.in_(wanted.states))
        found = connection.execute(look(query, window, table.c.created_at, table.c.id, newest_first=True)).all()
    rows, last = cut(found, window, lambda row: (float(row.created_at), str(row.id)))
    return Part([view_of(row) for row in rows], last)


def show(context: ServerContext, job: str) -> JobView:
    """One job. Raises NotFoundError."""
    with context.database.read() as connection:
        return view_of(jobs.find_job(connection, job))


def log_of(context: ServerContext, job: str, after: int, limit: int) -> JobLog:
    """What a job logged after a line. Raises NotFoundError."""
    with context.database.read() as connection:
        ended = jobs.find_job(connection, job).state not in jobs.WAITING
        lines = jobs.lines_after(connection, job, after, limit)
    return JobLog(items=lines, last=lines[-1].id if lines else after, ended=ended)


def cancel(context: ServerContext, job: str) -> JobView:
    """Let a job end: one that waits at once, one that runs when its code sees it, or by force after a while.

    Raises:
        NotFoundError: there is none.
        ForbiddenError: it is another one's, and the caller is no operator.
        ConflictError: it has ended.
    """
    who = actor.current()
    with context.database.transaction() as connection:
        row = jobs.find_job(connection, job)
        if not _began(row, who) and not who.access.covers(AccessLevel.OPERATOR):
            raise ForbiddenError(f"job {job} is {row.actor}'s.", remedy="Ask them, or an operator, to cancel it.")
        if row.state not in jobs.WAITING:
            raise ConflictError(f"job {job} has ended: it is {row.state}.", remedy="Nothing is to be done.")
        audit.record(connection, "job.cancel", job, f"{row.plugin}.{row.action}", environment=row.environment)
        jobs.cancel(connection, job)
        view = view_of(jobs.find_job(connection, job))
    if context.jobs is not None:
        context.jobs.cancel(job)
    return view


def _began(row: Row[Any], who: actor.Actor) -> bool:
    """Whether somebody started a job themselves."""
    began = msgspec.json.decode(row.caller, type=actor.Actor)
    if who.user_id or began.user_id:
        return who.user_id == began.user_id
    return (who.kind, who.token_id) == (began.kind, began.token_id)


def view_of(row: Row[Any]) -> JobView:
    """A job as the API shows it."""
    plain = {name: getattr(row, name) for name in JobView.__struct_fields__ if name not in ("target", "form", "result")}
    return JobView(
        **plain,
        target=JobTarget(kind=row.target, id=row.object_id, name=row.object),
        form=msgspec.Raw(row.form.encode()),
        result=None if row.result is None else msgspec.Raw(row.result.encode()),
    )

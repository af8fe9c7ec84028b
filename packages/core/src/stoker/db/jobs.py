# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Rows of jobs and of what they log: queued, claimed, ended, pruned."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Row, delete, func, insert, select, update

from stoker.db.tables import job_log, jobs
from stoker.errors import NotFoundError

WAITING: Final = ("queued", "running")
"""States of a job that has not ended."""
KEPT: Final = 1000
"""So many of the jobs that ended last are kept."""
_DAYS: Final = 90
_DAY: Final = 86_400.0


class LogLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line that a job logged."""

    id: int
    at: float
    line: str


def find_job(connection: Connection, identity: str) -> Row[Any]:
    """A job by its id.

    Raises:
        NotFoundError: there is none.
    """
    row = connection.execute(select(jobs).where(jobs.c.id == identity)).first()
    if row is None:
        raise NotFoundError(f"job {identity!r} is not there.", remedy="'stoker jobs list' shows those that are kept.")
    return row


def add_job(connection: Connection, values: Mapping[str, object]) -> str:
    """Queue a job and give its id."""
    identity = uuid.uuid4().hex[:16]
    begin = {"state": "queued", "progress": 0.0, "message": "", "error": "", "traceback": "", "deaths": 0, "ran": 0.0}
    connection.execute(insert(jobs).values(**begin, **values, id=identity, cancelled=False, created_at=time.time()))
    return identity


def count_waiting(connection: Connection, plugin: str) -> int:
    """How many of a plugin's jobs have not ended."""
    query = select(func.count()).select_from(jobs).where(jobs.c.plugin == plugin, jobs.c.state.in_(WAITING))
    return int(connection.execute(query).scalar_one())


def queued(connection: Connection) -> list[tuple[str, str]]:
    """Plugin and id of each queued job, the oldest first."""
    query = select(jobs.c.plugin, jobs.c.id).where(jobs.c.state == "queued").order_by(jobs.c.created_at, jobs.c.id)
    return [(row.plugin, row.id) for row in connection.execute(query)]


def claim(connection: Connection, identity: str) -> Row[Any] | None:
    """Make a queued job a running one; ``None`` if it is queued no longer."""
    values = {"state": "running", "started_at": func.coalesce(jobs.c.started_at, time.time())}
    mine = connection.execute(update(jobs).where(jobs.c.id == identity, jobs.c.state == "queued").values(values))
    return find_job(connection, identity) if mine.rowcount else None


def put(connection: Connection, identity: str, **values: object) -> None:
    """Change a job."""
    connection.execute(update(jobs).where(jobs.c.id == identity).values(**values))


def end(connection: Connection, identity: str, values: Mapping[str, object]) -> None:
    """End a job that has not ended; the values have its state."""
    mine = (jobs.c.id == identity, jobs.c.state.in_(WAITING))
    connection.execute(update(jobs).where(*mine).values(**values, finished_at=time.time(), checkpoint=None))


def cancel(connection: Connection, identity: str) -> None:
    """Note that somebody wants a job to end; one that does not run yet ends here."""
    put(connection, identity, cancelled=True)
    mine = (jobs.c.id == identity, jobs.c.state == "queued")
    connection.execute(update(jobs).where(*mine).values(state="cancelled", finished_at=time.time(), checkpoint=None))


def recover(connection: Connection) -> tuple[int, int]:
    """After a restart: running jobs that can go on are queued, the others are broken off; answers how many of each."""
    running = jobs.c.state == "running"
    wanted = connection.execute(update(jobs).where(running, jobs.c.cancelled).values(state="cancelled", finished_at=time.time()))
    again = connection.execute(update(jobs).where(running, jobs.c.restartable).values(state="queued"))
    why = "the server ended while it ran, and it cannot be called again."
    broken = connection.execute(update(jobs).where(running).values(state="broken-off", finished_at=time.time(), error=why))
    return again.rowcount, broken.rowcount + wanted.rowcount


def add_lines(connection: Connection, identity: str, lines: Sequence[tuple[float, str]]) -> None:
    """Add lines to a job's log."""
    if lines:
        connection.execute(insert(job_log), [{"job_id": identity, "at": at, "line": line} for at, line in lines])


def size_of_log(connection: Connection, identity: str) -> int:
    """How many characters a job has logged."""
    query = select(func.coalesce(func.sum(func.length(job_log.c.line)), 0)).where(job_log.c.job_id == identity)
    return int(connection.execute(query).scalar_one())


def lines_after(connection: Connection, identity: str, last: int, limit: int) -> list[LogLine]:
    """Lines of a job after one, the oldest first."""
    query = select(job_log).where(job_log.c.job_id == identity, job_log.c.id > last).order_by(job_log.c.id).limit(limit)
    return [LogLine(id=row.id, at=row.at, line=row.line) for row in connection.execute(query)]


def prune(connection: Connection) -> int:
    """Forget jobs that ended long ago, and all but the last ones; answers how many."""
    ended = jobs.c.state.not_in(WAITING)
    oldest = connection.execute(
        select(jobs.c.finished_at).where(ended).order_by(jobs.c.finished_at.desc()).offset(KEPT).limit(1)
    ).scalar()
    before = max(time.time() - _DAYS * _DAY, oldest or 0.0)
    return connection.execute(delete(jobs).where(ended, jobs.c.finished_at <= before)).rowcount

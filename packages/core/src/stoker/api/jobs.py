# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Jobs: the runs of plugins' actions, what they log, and cancelling one."""

from __future__ import annotations

from typing import Annotated, Any

from litestar import Request, Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, QueryParameter
from litestar.status_codes import HTTP_200_OK

from stoker.api.openapi import problems
from stoker.api.paging import HEADERS, Cursor, Limit, Page, page, window
from stoker.api.rights import PERMITTED
from stoker.services import jobs
from stoker.services.context import ServerContext
from stoker.services.jobs import JobFilter, JobLog, JobView, State
from stoker.services.windows import MOST


@get("/", sync_to_thread=True, responses=problems(404), response_headers=HEADERS)
def list_jobs(
    context: NamedDependency[ServerContext],
    request: Request[Any, Any, Any],
    plugin: FromQuery[str] = "",
    action: FromQuery[str] = "",
    environment: FromQuery[str] = "",
    states: Annotated[
        list[State] | None, QueryParameter(name="state", description="In these states only; may be given several times.")
    ] = None,
    limit: Limit = MOST,
    cursor: Cursor = "",
) -> Response[Page[JobView]]:
    """Jobs, newest first."""
    wanted = JobFilter(plugin=plugin, action=action, environment=environment, states=tuple(states or ()))
    return page(request, jobs.list_all(context, window(request, limit, cursor, float, str), wanted))


@get("/{job:str}", sync_to_thread=True, responses=problems(404))
def show_job(context: NamedDependency[ServerContext], job: FromPath[str]) -> JobView:
    """One job: how far it is, and what it gave."""
    return jobs.show(context, job)


@get("/{job:str}/log", sync_to_thread=True, responses=problems(404))
def read_log(
    context: NamedDependency[ServerContext],
    job: FromPath[str],
    after: Annotated[int, QueryParameter(ge=0, le=2**63 - 1, description="`last` of the part before; 0 for the beginning.")] = 0,
    limit: Limit = MOST,
) -> JobLog:
    """What a job logged, a part at a time; to follow it, ask again, or wait for changes of kind `job` in `/api/events`."""
    return jobs.log_of(context, job, after, limit)


@post("/{job:str}/cancel", opt=PERMITTED, sync_to_thread=True, status_code=HTTP_200_OK, responses=problems(404, 409))
def cancel_job(context: NamedDependency[ServerContext], job: FromPath[str]) -> JobView:
    """Let a job end; if its code does not, its worker is stopped after a while."""
    return jobs.cancel(context, job)


router = Router("/api/jobs", route_handlers=[list_jobs, show_job, read_log, cancel_job], tags=["jobs"])

# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Deployments: carrying out plans, their history, and health checks on demand."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from litestar import Request, Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from litestar.status_codes import HTTP_200_OK, HTTP_201_CREATED

from stoker.api.ext import ExtNames
from stoker.api.listing import Listing
from stoker.api.openapi import problems
from stoker.api.paging import HEADERS, Cursor, Limit, Page, page, window
from stoker.api.tags import TAGGED, UNCHANGED, tagged
from stoker.domain.snapshot import Selection
from stoker.errors import InvalidInputError
from stoker.services import attempts, checks, deployments, starting
from stoker.services.attempts import AttemptFilter, AttemptView
from stoker.services.checks import CheckView
from stoker.services.context import ServerContext
from stoker.services.deployments import DeploymentView
from stoker.services.ext import Wanted
from stoker.services.tags import tag
from stoker.services.windows import MOST

State: TypeAlias = Literal["pending", "running", "stopping", "stopped", "ready", "degraded", "failed"]


class NewDeployment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to carry out."""

    plan: str | None = None
    """A plan's id; without one a plan is made first."""
    nodes: list[str] = []
    """Without a plan: only these nodes; none names all."""
    roles: list[str] = []
    """Without a plan: only nodes with one of these roles; none names all."""
    tasks: list[str] = []
    """Without a plan: only these tasks, as ``plugin.task``; none names all."""


class Answer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What became of an attempt of which nobody knows whether it ran."""

    node: str
    task: str
    answer: Literal["done", "rerun"]


@post("/environments/{env:str}/deployments", status_code=HTTP_201_CREATED, responses=problems(404, 409, 413, 422, 502))
async def start_deployment(
    context: NamedDependency[ServerContext], env: FromPath[str], data: JSONBody[NewDeployment]
) -> DeploymentView:
    """Carry out a plan."""
    part = Selection(nodes=data.nodes, roles=data.roles, tasks=data.tasks)
    if data.plan is not None and part != Selection():
        raise InvalidInputError("a plan says already what it is about.", remedy="Give a plan, or nodes, roles and tasks.")
    return await context.at_length(starting.start, context, env, data.plan, part)


@get("/environments/{env:str}/deployments", sync_to_thread=True, responses=problems(404), response_headers=HEADERS)
def list_deployments(
    context: NamedDependency[ServerContext],
    request: Request[Any, Any, Any],
    env: FromPath[str],
    states: Annotated[
        list[State] | None, QueryParameter(name="state", description="Those in this state; may be given several times.")
    ] = None,
    ext: ExtNames = "",
    limit: Limit = MOST,
    cursor: Cursor = "",
) -> Response[Page[DeploymentView]]:
    """The environment's deployments, newest first."""
    wanted = window(request, limit, cursor, float, str)
    return page(request, deployments.list_all(context, env, wanted, states or (), Wanted.read(ext)))


@get("/deployments/{deployment:str}", sync_to_thread=True, responses={**UNCHANGED, **problems(404)}, response_headers=TAGGED)
def show_deployment(
    context: NamedDependency[ServerContext], request: Request[Any, Any, Any], deployment: FromPath[str], ext: ExtNames = ""
) -> Response[DeploymentView]:
    """One deployment with its nodes, failures and open questions."""
    view = deployments.show(context, deployment, Wanted.read(ext))
    return tagged(request, view, tag(view))


@get("/deployments/{deployment:str}/attempts", sync_to_thread=True, responses=problems(404), response_headers=HEADERS)
def list_attempts(
    context: NamedDependency[ServerContext],
    request: Request[Any, Any, Any],
    deployment: FromPath[str],
    node: FromQuery[str] = "",
    task: FromQuery[str] = "",
    ended: Annotated[
        attempts.State | None, QueryParameter(name="state", description="`failed`: finished, but not with exit status 0.")
    ] = None,
    limit: Limit = MOST,
    cursor: Cursor = "",
) -> Response[Page[AttemptView]]:
    """Every attempt of every task on every node."""
    wanted = window(request, limit, cursor, int)
    of = AttemptFilter(node=node, task=task, state=ended)
    return page(request, attempts.list_attempts(context, deployment, wanted, of))


@post("/deployments/{deployment:str}/stop", sync_to_thread=True, status_code=HTTP_200_OK, responses=problems(404, 409))
def stop_deployment(context: NamedDependency[ServerContext], deployment: FromPath[str]) -> DeploymentView:
    """End it gracefully."""
    return deployments.stop(context, deployment)


@post("/deployments/{deployment:str}/retry", status_code=HTTP_201_CREATED, responses=problems(404, 409))
async def retry_deployment(context: NamedDependency[ServerContext], deployment: FromPath[str]) -> DeploymentView:
    """Go on from what failed, as a new deployment."""
    return await context.at_length(starting.retry, context, deployment)


@post("/deployments/{deployment:str}/answer", sync_to_thread=True, status_code=HTTP_200_OK, responses=problems(404, 409, 413))
def answer_question(context: NamedDependency[ServerContext], deployment: FromPath[str], data: JSONBody[Answer]) -> DeploymentView:
    """Say what became of an unknown attempt."""
    return deployments.answer(context, deployment, data.node, data.task, data.answer)


@post("/environments/{env:str}/checks", status_code=HTTP_200_OK, responses=problems(404, 422, 502))
async def run_checks(context: NamedDependency[ServerContext], env: FromPath[str]) -> Listing[CheckView]:
    """Run the environment's health checks now."""
    return Listing(await context.at_length(checks.run, context, env))


router = Router(
    path="/api",
    route_handlers=[
        start_deployment,
        list_deployments,
        show_deployment,
        list_attempts,
        stop_deployment,
        retry_deployment,
        answer_question,
        run_checks,
    ],
    tags=["deployments"],
)

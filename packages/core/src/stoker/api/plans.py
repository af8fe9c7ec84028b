# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Plans: what a deployment would do."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from litestar import Request, Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from litestar.status_codes import HTTP_200_OK

from stoker.api.listing import Listing
from stoker.api.openapi import problems
from stoker.api.paging import HEADERS, Cursor, Limit, Page, page, window
from stoker.api.tags import TAGGED, UNCHANGED, tagged
from stoker.domain.snapshot import Selection
from stoker.services import dry_runs, plan_views, plans
from stoker.services.context import ServerContext
from stoker.services.dry_runs import DryRunView
from stoker.services.plan_views import ExplainView, FileView, LeftOutView, PackageView, PatchView, TaskView
from stoker.services.plans import PlanView
from stoker.services.tags import tag
from stoker.services.windows import MOST


class NewPlan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The part of the environment that a plan is about; what is not named is left out."""

    nodes: list[str] = []
    """Names of nodes; none names all."""
    roles: list[str] = []
    """Roles: nodes with one of them; none names all."""
    tasks: list[str] = []
    """Tasks as ``plugin.task``; none names all."""


@post("/environments/{env:str}/plans", responses=problems(404, 409, 413, 422, 502))
async def create_plan(
    context: NamedDependency[ServerContext], env: FromPath[str], data: JSONBody[NewPlan | None] = None
) -> PlanView:
    """Look at the environment's nodes and plan the whole, or a part."""
    part = data or NewPlan()
    return await context.at_length(
        plans.create_plan, context, env, Selection(nodes=part.nodes, roles=part.roles, tasks=part.tasks)
    )


@get("/environments/{env:str}/plans", sync_to_thread=True, responses=problems(404), response_headers=HEADERS)
def list_plans(
    context: NamedDependency[ServerContext],
    request: Request[Any, Any, Any],
    env: FromPath[str],
    digest: Annotated[str, QueryParameter(description="Those of this content only.")] = "",
    limit: Limit = MOST,
    cursor: Cursor = "",
) -> Response[Page[PlanView]]:
    """The environment's plans, newest first."""
    return page(request, plans.list_all(context, env, window(request, limit, cursor, float, str), digest))


@get("/plans/{plan:str}", sync_to_thread=True, responses={**UNCHANGED, **problems(404)}, response_headers=TAGGED)
def show_plan(
    context: NamedDependency[ServerContext], request: Request[Any, Any, Any], plan: FromPath[str]
) -> Response[PlanView]:
    """One plan's summary."""
    view = plans.show(context, plan)
    return tagged(request, view, tag(view))


@get("/plans/{plan:str}/files", sync_to_thread=True, responses=problems(404))
def plan_files(
    context: NamedDependency[ServerContext],
    plan: FromPath[str],
    node: FromQuery[str] = "",
    everything: Annotated[bool, QueryParameter(name="all")] = False,
) -> Listing[FileView]:
    """The files of a plan with their diffs; unchanged ones with ``all=true``."""
    return Listing(plan_views.file_views(plans.load(context, plan).plan, node=node, everything=everything))


@get("/plans/{plan:str}/packages", sync_to_thread=True, responses=problems(404))
def plan_packages(
    context: NamedDependency[ServerContext], plan: FromPath[str], node: FromQuery[str] = ""
) -> Listing[PackageView]:
    """The packages of a plan."""
    return Listing(plan_views.package_views(plans.load(context, plan).plan, node=node))


@get("/plans/{plan:str}/tasks", sync_to_thread=True, responses=problems(404))
def plan_tasks(context: NamedDependency[ServerContext], plan: FromPath[str], node: FromQuery[str] = "") -> Listing[TaskView]:
    """The tasks that a plan runs, in order."""
    return Listing(plan_views.task_views(plans.load(context, plan).plan, node=node))


@get("/plans/{plan:str}/patches", sync_to_thread=True, responses=problems(404))
def plan_patches(context: NamedDependency[ServerContext], plan: FromPath[str]) -> Listing[PatchView]:
    """What plugins changed in each other's tasks: fields, values and who wants them so."""
    return Listing(plan_views.patch_views(plans.load(context, plan).plan))


@get("/plans/{plan:str}/left-out", sync_to_thread=True, responses=problems(404))
def plan_left_out(context: NamedDependency[ServerContext], plan: FromPath[str]) -> Listing[LeftOutView]:
    """What a plan of a part leaves out: tasks that a plan of the whole would run."""
    return Listing(plan_views.left_out_views(plans.load(context, plan).plan))


@post("/plans/{plan:str}/dry-run", status_code=HTTP_200_OK, responses=problems(404))
async def dry_run_plan(
    context: NamedDependency[ServerContext], plan: FromPath[str], node: FromQuery[str] = ""
) -> Listing[DryRunView]:
    """Ask the programs of plugins' own kinds of tasks, on the nodes, what they would change; nothing is changed."""
    return Listing(await context.at_length(dry_runs.run, context, plan, node))


@get("/plans/{plan:str}/explain", sync_to_thread=True, responses=problems(404, 422))
def explain_line(
    context: NamedDependency[ServerContext], plan: FromPath[str], node: FromQuery[str], path: FromQuery[str], line: FromQuery[int]
) -> ExplainView:
    """Where one line of a planned file came from."""
    stored = plans.load(context, plan)
    return plan_views.explain(stored.plan, stored.id, node, path, line)


router = Router(
    path="/api",
    route_handlers=[
        create_plan,
        list_plans,
        show_plan,
        plan_files,
        plan_packages,
        plan_tasks,
        plan_patches,
        plan_left_out,
        dry_run_plan,
        explain_line,
    ],
    tags=["plans"],
)

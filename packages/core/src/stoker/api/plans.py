# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Plans: made, listed, read file by file, explained."""

from __future__ import annotations

from typing import Annotated

from litestar import Router, get, post
from litestar.params import Parameter

from stoker.api.listing import Listing
from stoker.services import plan_views, plans
from stoker.services.context import ServerContext
from stoker.services.plan_views import ExplainView, FileView, PackageView, TaskView
from stoker.services.plans import PlanView


@post("/environments/{environment:str}/plans", sync_to_thread=True)
def create_plan(context: ServerContext, environment: str) -> PlanView:
    """Look at the environment's nodes and plan."""
    return plans.create_plan(context, environment)


@get("/environments/{environment:str}/plans", sync_to_thread=True)
def list_plans(context: ServerContext, environment: str) -> Listing[PlanView]:
    """The plans of an environment, newest first."""
    return Listing(plans.list_all(context, environment))


@get("/plans/{plan:str}", sync_to_thread=True)
def show_plan(context: ServerContext, plan: str) -> PlanView:
    """A plan's summary."""
    return plans.show(context, plan)


@get("/plans/{plan:str}/files", sync_to_thread=True)
def list_plan_files(
    context: ServerContext, plan: str, node: str = "", everything: Annotated[bool, Parameter(query="all")] = False
) -> Listing[FileView]:
    """A plan's files with their diffs; unchanged ones only with ``all=true``."""
    return Listing(plan_views.file_views(plans.load(context, plan).plan, node=node, everything=everything))


@get("/plans/{plan:str}/packages", sync_to_thread=True)
def list_plan_packages(context: ServerContext, plan: str, node: str = "") -> Listing[PackageView]:
    """A plan's packages."""
    return Listing(plan_views.package_views(plans.load(context, plan).plan, node=node))


@get("/plans/{plan:str}/tasks", sync_to_thread=True)
def list_plan_tasks(context: ServerContext, plan: str, node: str = "") -> Listing[TaskView]:
    """What a deployment of the plan runs, in order."""
    return Listing(plan_views.task_views(plans.load(context, plan).plan, node=node))


@get("/plans/{plan:str}/explain", sync_to_thread=True)
def explain_line(context: ServerContext, plan: str, node: str, path: str, line: int) -> ExplainView:
    """Where one line of a planned file came from."""
    stored = plans.load(context, plan)
    return plan_views.explain(stored.plan, stored.id, node, path, line)


router = Router(
    "/api",
    route_handlers=[create_plan, list_plans, show_plan, list_plan_files, list_plan_packages, list_plan_tasks, explain_line],
    tags=["plans"],
)

# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Deployments: started, stopped, retried, answered for, and their history."""

from __future__ import annotations

from typing import Literal

import msgspec
from litestar import Router, get, post
from litestar.status_codes import HTTP_200_OK

from stoker.api.listing import Listing
from stoker.services import deployments
from stoker.services.context import ServerContext
from stoker.services.deployment_views import AttemptView, DeploymentView


class NewDeployment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to deploy."""

    plan: str | None = None
    """A plan's id; a new plan is made if none is given."""


class Answer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a person found out about an attempt."""

    node: str
    task: str
    answer: Literal["done", "rerun"]


@post("/environments/{environment:str}/deployments", sync_to_thread=True)
def start_deployment(context: ServerContext, environment: str, data: NewDeployment) -> DeploymentView:
    """Start a deployment; refused if one runs, or if the plan's inputs have changed."""
    return deployments.start(context, environment, data.plan)


@get("/environments/{environment:str}/deployments", sync_to_thread=True)
def list_deployments(context: ServerContext, environment: str) -> Listing[DeploymentView]:
    """The deployments of an environment, newest first, without their nodes."""
    return Listing(deployments.list_all(context, environment))


@get("/deployments/{deployment:str}", sync_to_thread=True)
def show_deployment(context: ServerContext, deployment: str) -> DeploymentView:
    """A deployment with the state of each node, failures and open questions."""
    return deployments.show(context, deployment)


@post("/deployments/{deployment:str}/stop", sync_to_thread=True, status_code=HTTP_200_OK)
def stop_deployment(context: ServerContext, deployment: str) -> DeploymentView:
    """End a deployment gracefully."""
    return deployments.stop(context, deployment)


@post("/deployments/{deployment:str}/retry", sync_to_thread=True)
def retry_deployment(context: ServerContext, deployment: str) -> DeploymentView:
    """Go on from what failed, as a new deployment of the same plan."""
    return deployments.retry(context, deployment)


@post("/deployments/{deployment:str}/answer", sync_to_thread=True, status_code=HTTP_200_OK)
def answer_question(context: ServerContext, deployment: str, data: Answer) -> DeploymentView:
    """Say what became of an attempt of which nobody knows."""
    return deployments.answer(context, deployment, data.node, data.task, data.answer)


@get("/deployments/{deployment:str}/attempts", sync_to_thread=True)
def list_attempts(context: ServerContext, deployment: str, node: str = "", task: str = "") -> Listing[AttemptView]:
    """The history of attempts."""
    return Listing(deployments.attempts(context, deployment, node=node, task=task))


router = Router(
    "/api",
    route_handlers=[
        start_deployment,
        list_deployments,
        show_deployment,
        stop_deployment,
        retry_deployment,
        answer_question,
        list_attempts,
    ],
    tags=["deployments"],
)

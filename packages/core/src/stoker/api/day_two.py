# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Day two: drift, lost and replaced nodes, and how two deployments differ."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from litestar.status_codes import HTTP_200_OK

from stoker.api.listing import Listing
from stoker.api.openapi import problems
from stoker.services import deployment_differences, drift, lost_nodes
from stoker.services.context import ServerContext
from stoker.services.deployment_differences import DeploymentDifferences
from stoker.services.drift import NodeDrift
from stoker.services.nodes import NodeView


class Loss(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A node that is dead."""

    force: bool = False
    """Do not ask it whether it answers."""


class Replacement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The node that takes another one's place."""

    by: str
    """A node that is in no environment."""
    lost: bool = False
    """Whether the old one is dead: then it is forgotten at once."""
    force: bool = False
    """Do not ask it whether it answers."""


@post("/environments/{env:str}/drift", status_code=HTTP_200_OK, responses=problems(404, 502))
async def find_drift(context: NamedDependency[ServerContext], env: FromPath[str]) -> Listing[NodeDrift]:
    """Look at the nodes, and say what is otherwise than deployments left it."""
    return Listing(await context.at_length(drift.look, context, env))


@post("/environments/{env:str}/nodes/{node:str}/lost", status_code=HTTP_200_OK, responses=problems(404, 409, 413))
async def lose_node(
    context: NamedDependency[ServerContext], env: FromPath[str], node: FromPath[str], data: JSONBody[Loss | None] = None
) -> NodeView:
    """Take a dead node out at once: nothing is run there, and what was applied to it is forgotten."""
    work: Any = lost_nodes.lose
    view: NodeView = await context.at_length(work, context, env, node, force=(data or Loss()).force)
    return view


@post("/nodes/{node:str}/replace", status_code=HTTP_200_OK, responses=problems(404, 409, 413))
async def replace_node(context: NamedDependency[ServerContext], node: FromPath[str], data: JSONBody[Replacement]) -> NodeView:
    """Let a free node take this one's place."""
    work: Any = lost_nodes.replace
    view: NodeView = await context.at_length(work, context, node, data.by, lost=data.lost, force=data.force)
    return view


@get("/deployments/{deployment:str}/differences/{other:str}", sync_to_thread=True, responses=problems(404, 422))
def compare_deployments(
    context: NamedDependency[ServerContext], deployment: FromPath[str], other: FromPath[str]
) -> DeploymentDifferences:
    """What changed from one deployment to another one of the same environment."""
    return deployment_differences.compare(context, deployment, other)


router = Router("/api", route_handlers=[find_drift, lose_node, replace_node, compare_deployments], tags=["day two"])

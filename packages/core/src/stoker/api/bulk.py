# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Many nodes in one call: added, removed, given roles, taken out; all or none, and every fault is told at once."""

from __future__ import annotations

from litestar import Router, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from litestar.status_codes import HTTP_200_OK

from stoker.api.openapi import problems
from stoker.services import bulk_nodes, bulk_roles
from stoker.services.bulk_nodes import NewNodes, NodeNames, NodesResult
from stoker.services.bulk_roles import BulkAssignment, BulkResult, BulkUnassignment
from stoker.services.context import ServerContext


@post("/nodes:add", sync_to_thread=True, responses=problems(413, 422))
def add_nodes(context: NamedDependency[ServerContext], data: JSONBody[NewNodes]) -> NodesResult:
    """Add many nodes; none is connected to."""
    return bulk_nodes.add(context, data)


@post("/nodes:remove", sync_to_thread=True, status_code=HTTP_200_OK, responses=problems(413, 422))
def remove_nodes(context: NamedDependency[ServerContext], data: JSONBody[NodeNames]) -> NodesResult:
    """Forget many nodes that belong to no environment."""
    return bulk_nodes.remove(context, data)


@post(
    "/environments/{env:str}/nodes:assign", sync_to_thread=True, status_code=HTTP_200_OK, responses=problems(404, 409, 413, 422)
)
def assign_nodes(context: NamedDependency[ServerContext], env: FromPath[str], data: JSONBody[BulkAssignment]) -> BulkResult:
    """Give many nodes roles, and put those into the environment that are free."""
    return bulk_roles.assign(context, env, data)


@post(
    "/environments/{env:str}/nodes:unassign", sync_to_thread=True, status_code=HTTP_200_OK, responses=problems(404, 409, 413, 422)
)
def unassign_nodes(context: NamedDependency[ServerContext], env: FromPath[str], data: JSONBody[BulkUnassignment]) -> BulkResult:
    """Take many nodes out: at once, or with the next deployment those to which something was deployed."""
    return bulk_roles.unassign(context, env, data)


router = Router("/api", route_handlers=[add_nodes, remove_nodes, assign_nodes, unassign_nodes], tags=["nodes"])

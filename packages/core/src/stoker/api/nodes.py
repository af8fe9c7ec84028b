# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Nodes: added, listed, changed, looked at, removed."""

from __future__ import annotations

from litestar import Router, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from litestar.status_codes import HTTP_200_OK

from stoker.api.listing import Listing
from stoker.api.openapi import problems
from stoker.services import nodes
from stoker.services.context import ServerContext
from stoker.services.nodes import AddedNode, NewNode, NodeChange, NodeView


@post("/", responses=problems(404, 409, 413, 422))
async def add_node(context: NamedDependency[ServerContext], data: JSONBody[NewNode]) -> AddedNode:
    """Add a node; with ``refresh`` connect to it, and have a ``warning`` if it cannot be reached."""
    return await context.at_length(nodes.add, context, data)


@get("/", sync_to_thread=True, responses=problems())
def list_nodes(context: NamedDependency[ServerContext]) -> Listing[NodeView]:
    """All nodes with their facts."""
    return Listing(nodes.list_all(context))


@get("/{node:str}", sync_to_thread=True, responses=problems(404))
def show_node(context: NamedDependency[ServerContext], node: FromPath[str]) -> NodeView:
    """One node with its facts."""
    return nodes.show(context, node)


@patch("/{node:str}", sync_to_thread=True, responses=problems(404, 409, 413, 422))
def change_node(context: NamedDependency[ServerContext], node: FromPath[str], data: JSONBody[NodeChange]) -> NodeView:
    """Change how a node is reached."""
    return nodes.change(context, node, data)


@delete("/{node:str}", sync_to_thread=True, responses=problems(404, 409))
def remove_node(context: NamedDependency[ServerContext], node: FromPath[str]) -> None:
    """Forget a node that belongs to no environment."""
    nodes.remove(context, node)


@post("/{node:str}/refresh", status_code=HTTP_200_OK, responses=problems(404, 409, 502))
async def refresh_node(context: NamedDependency[ServerContext], node: FromPath[str]) -> NodeView:
    """Connect to a node and read its facts; the first host key that it shows is trusted."""
    return await context.at_length(nodes.refresh, context, node)


@post("/{node:str}/forget-host-key", sync_to_thread=True, status_code=HTTP_200_OK, responses=problems(404))
def forget_host_key(context: NamedDependency[ServerContext], node: FromPath[str]) -> NodeView:
    """Forget a node's host key, e.g. after it was installed anew."""
    return nodes.forget_host_key(context, node)


router = Router(
    "/api/nodes",
    route_handlers=[add_node, list_nodes, show_node, change_node, remove_node, refresh_node, forget_host_key],
    tags=["nodes"],
)

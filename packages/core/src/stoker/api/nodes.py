# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Nodes: added, listed, changed, looked at, removed."""

from __future__ import annotations

from typing import Annotated, Any, cast

from litestar import Request, Response, Router, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from litestar.status_codes import HTTP_200_OK

from stoker.api.ext import ExtNames
from stoker.api.openapi import problems
from stoker.api.paging import HEADERS, Cursor, Limit, Page, page, window
from stoker.api.tags import TAGGED, UNCHANGED, IfMatch, not_modified, tagged, unchanged
from stoker.services import node_lists, nodes
from stoker.services.context import ServerContext
from stoker.services.ext import Wanted
from stoker.services.node_lists import NodeFilter, Status, TransportName
from stoker.services.nodes import AddedNode, NewNode, NodeChange, NodeView
from stoker.services.windows import MOST


@post("/", responses=problems(404, 409, 413, 422))
async def add_node(context: NamedDependency[ServerContext], data: JSONBody[NewNode]) -> AddedNode:
    """Add a node; with ``refresh`` connect to it, and have a ``warning`` if it cannot be reached."""
    return await context.at_length(nodes.add, context, data)


@get("/", sync_to_thread=True, responses={**UNCHANGED, **problems(404)}, response_headers=[*HEADERS, *TAGGED])
def list_nodes(
    context: NamedDependency[ServerContext],
    request: Request[Any, Any, Any],
    environment: Annotated[str, QueryParameter(description="Those of this environment (name or id).")] = "",
    free: Annotated[bool | None, QueryParameter(description="`true`: those of no environment; `false`: those of any.")] = None,
    role: FromQuery[str] = "",
    status: FromQuery[Status | None] = None,
    transport: FromQuery[TransportName | None] = None,
    q: Annotated[str, QueryParameter(description="A part of the name or address.")] = "",
    os: Annotated[str, QueryParameter(description="The system's id, e.g. `debian`.")] = "",
    os_family: FromQuery[str] = "",
    os_version: FromQuery[str] = "",
    architecture: FromQuery[str] = "",
    ext: ExtNames = "",
    limit: Limit = MOST,
    cursor: Cursor = "",
) -> Response[Page[NodeView]]:
    """Nodes with their facts and what plugins add, by name; those that fit all filters."""
    added = Wanted.read(ext)
    tag, known = unchanged(context, request, node_lists.SHOWN, added)
    if known:
        return cast("Response[Page[NodeView]]", not_modified(tag))
    wanted = NodeFilter(
        environment=environment,
        free=free,
        role=role,
        status=status,
        transport=transport,
        q=q,
        os=os,
        os_family=os_family,
        os_version=os_version,
        architecture=architecture,
    )
    return page(request, node_lists.list_nodes(context, window(request, limit, cursor, str), wanted, added), {"ETag": tag})


@get("/{node:str}", sync_to_thread=True, responses={**UNCHANGED, **problems(404)}, response_headers=TAGGED)
def show_node(
    context: NamedDependency[ServerContext], request: Request[Any, Any, Any], node: FromPath[str], ext: ExtNames = ""
) -> Response[NodeView]:
    """One node with its facts and what plugins add."""
    view = nodes.show(context, node, Wanted.read(ext))
    return tagged(request, view, nodes.tag_of(view))


@patch("/{node:str}", sync_to_thread=True, responses=problems(404, 409, 412, 413, 422), response_headers=TAGGED)
def change_node(
    context: NamedDependency[ServerContext],
    request: Request[Any, Any, Any],
    node: FromPath[str],
    data: JSONBody[NodeChange],
    if_match: IfMatch = "",
) -> Response[NodeView]:
    """Change how a node is reached."""
    view = nodes.change(context, node, data, if_match=if_match)
    return tagged(request, view, nodes.tag_of(view))


@delete("/{node:str}", sync_to_thread=True, responses=problems(404, 409, 412))
def remove_node(context: NamedDependency[ServerContext], node: FromPath[str], if_match: IfMatch = "") -> None:
    """Forget a node that belongs to no environment."""
    nodes.remove(context, node, if_match=if_match)


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

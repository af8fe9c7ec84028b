# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Environments: their plugins, roles and nodes."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, cast

import msgspec
from litestar import Request, Response, Router, delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from litestar.status_codes import HTTP_200_OK

from stoker.api.ext import ExtNames
from stoker.api.listing import Listing
from stoker.api.openapi import problems
from stoker.api.paging import HEADERS, Cursor, Limit, Page, page, window
from stoker.api.tags import TAGGED, UNCHANGED, IfMatch, not_modified, tagged, unchanged
from stoker.domain import settings
from stoker.services import enablement, environment_files, environments, node_lists, roles
from stoker.services.context import ServerContext
from stoker.services.enablement import EnabledPluginView
from stoker.services.environments import EnvironmentView
from stoker.services.ext import Wanted
from stoker.services.node_lists import NodeFilter, Status
from stoker.services.nodes import NodeView, tag_of
from stoker.services.roles import RoleView
from stoker.services.tags import tag
from stoker.services.windows import MOST


class NewEnvironment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An environment to make."""

    name: str
    release: str = ""
    """The release that it runs: its plugin is enabled, in the newest installed version if ``plugins`` names none."""
    plugins: Annotated[dict[str, str], msgspec.Meta(max_length=1000)] = {}
    """Plugins to enable: name -> version; an empty one for the server's default one."""
    components: Annotated[list[str], msgspec.Meta(max_length=1000)] = []
    """Components: the plugins that they enable come in addition."""


class EnableRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How an environment uses a plugin."""

    version: str | None = None
    """Which installed version; the one it has, or the server's default one, if not given."""
    settings: dict[str, object] | None = None
    """The whole settings document; the one it has if not given. ``{"$secret": ...}`` keeps a secret."""


class DisableAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a disabled plugin."""

    state: str
    """``gone``, or ``removing`` until the next deployment."""


class Assignment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The roles of a node."""

    roles: list[str]


@post("/", responses=problems(404, 409, 413, 422))
async def create_environment(context: NamedDependency[ServerContext], data: JSONBody[NewEnvironment]) -> EnvironmentView:
    """Make an environment, with its plugins if they are named: all or nothing."""
    if data.release or data.plugins or data.components:
        return await context.at_length(environment_files.create, context, data.name, data.release, data.plugins, data.components)
    return await asyncio.to_thread(environments.create, context, data.name)


@get("/", sync_to_thread=True, responses=problems(), response_headers=HEADERS)
def list_environments(
    context: NamedDependency[ServerContext],
    request: Request[Any, Any, Any],
    ext: ExtNames = "",
    limit: Limit = MOST,
    cursor: Cursor = "",
) -> Response[Page[EnvironmentView]]:
    """All environments."""
    return page(request, environments.list_all(context, window(request, limit, cursor, str), Wanted.read(ext)))


@get("/{env:str}", sync_to_thread=True, responses={**UNCHANGED, **problems(404)}, response_headers=TAGGED)
def show_environment(
    context: NamedDependency[ServerContext], request: Request[Any, Any, Any], env: FromPath[str], ext: ExtNames = ""
) -> Response[EnvironmentView]:
    """One environment."""
    view = environments.show(context, env, Wanted.read(ext))
    return tagged(request, view, environments.tag_of(view))


@delete("/{env:str}", sync_to_thread=True, responses=problems(404, 409, 412))
def delete_environment(context: NamedDependency[ServerContext], env: FromPath[str], if_match: IfMatch = "") -> None:
    """Delete an environment without nodes."""
    environments.remove(context, env, if_match=if_match)


@get("/{env:str}/plugins", sync_to_thread=True, responses=problems(404))
def list_environment_plugins(context: NamedDependency[ServerContext], env: FromPath[str]) -> Listing[EnabledPluginView]:
    """The plugins of an environment."""
    return Listing(enablement.list_all(context, env))


@get("/{env:str}/plugins/{plugin:str}", sync_to_thread=True, responses={**UNCHANGED, **problems(404)}, response_headers=TAGGED)
def show_environment_plugin(
    context: NamedDependency[ServerContext], request: Request[Any, Any, Any], env: FromPath[str], plugin: FromPath[str]
) -> Response[EnabledPluginView]:
    """One plugin of an environment with its settings."""
    view = enablement.show(context, env, plugin)
    return tagged(request, view, tag(view))


@put("/{env:str}/plugins/{plugin:str}", responses=problems(404, 409, 412, 413, 422), response_headers=TAGGED)
async def enable_plugin(
    context: NamedDependency[ServerContext],
    request: Request[Any, Any, Any],
    env: FromPath[str],
    plugin: FromPath[str],
    data: JSONBody[EnableRequest | None] = None,
    if_match: IfMatch = "",
) -> Response[EnabledPluginView]:
    """Enable a plugin, or change its version or settings."""
    wanted = data or EnableRequest()
    given = None if wanted.settings is None else msgspec.json.decode(msgspec.json.encode(wanted.settings))
    settings.refuse_deep(plugin, given)
    view = await context.at_length(enablement.enable, context, env, plugin, wanted.version, given, if_match=if_match)
    return tagged(request, view, tag(view))


@delete("/{env:str}/plugins/{plugin:str}", status_code=HTTP_200_OK, responses=problems(404, 409, 412, 422))
async def disable_plugin(
    context: NamedDependency[ServerContext], env: FromPath[str], plugin: FromPath[str], if_match: IfMatch = ""
) -> DisableAnswer:
    """Disable a plugin: gone at once, or with the next deployment if something of it was deployed."""
    left = await context.at_length(enablement.disable, context, env, plugin, if_match=if_match)
    return DisableAnswer(state="gone" if left is None else left.state)


@get("/{env:str}/roles", sync_to_thread=True, responses=problems(404))
def list_roles(context: NamedDependency[ServerContext], env: FromPath[str]) -> Listing[RoleView]:
    """The roles that an environment's plugins bring."""
    return Listing(roles.list_all(context, env))


@get(
    "/{env:str}/nodes",
    sync_to_thread=True,
    responses={**UNCHANGED, **problems(404)},
    response_headers=[*HEADERS, *TAGGED],
)
def list_environment_nodes(
    context: NamedDependency[ServerContext],
    request: Request[Any, Any, Any],
    env: FromPath[str],
    role: FromQuery[str] = "",
    status: FromQuery[Status | None] = None,
    q: Annotated[str, QueryParameter(description="A part of the name or address.")] = "",
    ext: ExtNames = "",
    limit: Limit = MOST,
    cursor: Cursor = "",
) -> Response[Page[NodeView]]:
    """The nodes of an environment."""
    added = Wanted.read(ext)
    state, known = unchanged(context, request, node_lists.SHOWN, added)
    if known:
        return cast("Response[Page[NodeView]]", not_modified(state))
    wanted = NodeFilter(environment=env, role=role, status=status, q=q)
    found = node_lists.list_nodes(context, window(request, limit, cursor, str), wanted, added)
    return page(request, found, {"ETag": state})


@put("/{env:str}/nodes/{node:str}", sync_to_thread=True, responses=problems(404, 409, 412, 413, 422), response_headers=TAGGED)
def assign_node(
    context: NamedDependency[ServerContext],
    request: Request[Any, Any, Any],
    env: FromPath[str],
    node: FromPath[str],
    data: JSONBody[Assignment],
    if_match: IfMatch = "",
) -> Response[NodeView]:
    """Put a node into an environment with exactly these roles."""
    view = roles.assign(context, env, node, data.roles, if_match=if_match)
    return tagged(request, view, tag_of(view))


@delete(
    "/{env:str}/nodes/{node:str}",
    sync_to_thread=True,
    status_code=HTTP_200_OK,
    responses=problems(404, 409, 412),
    response_headers=TAGGED,
)
def unassign_node(
    context: NamedDependency[ServerContext],
    request: Request[Any, Any, Any],
    env: FromPath[str],
    node: FromPath[str],
    if_match: IfMatch = "",
) -> Response[NodeView]:
    """Take a node out: at once, or with the next deployment if something was deployed to it."""
    view = roles.unassign(context, env, node, if_match=if_match)
    return tagged(request, view, tag_of(view))


router = Router(
    "/api/environments",
    route_handlers=[
        create_environment,
        list_environments,
        show_environment,
        delete_environment,
        list_environment_plugins,
        show_environment_plugin,
        enable_plugin,
        disable_plugin,
        list_roles,
        list_environment_nodes,
        assign_node,
        unassign_node,
    ],
    tags=["environments"],
)

# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Actions of plugins: what the caller may start, and starting it."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from litestar import Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter

from stoker.api.listing import Listing
from stoker.api.openapi import problems
from stoker.api.rights import PERMITTED
from stoker.services import actions
from stoker.services.actions import ActionView
from stoker.services.context import ServerContext
from stoker.services.jobs import JobView


class Start(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to start an action on the server."""

    form: dict[str, Any] = {}
    """What is filled in, as the action's form describes it."""


class StartInEnvironment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to start an action in an environment."""

    node: str = ""
    """The node, by name or id, if the action is started on one."""
    form: dict[str, Any] = {}
    """What is filled in, as the action's form describes it."""


@get("/actions", sync_to_thread=True, responses=problems(404))
def list_actions(
    context: NamedDependency[ServerContext],
    environment: Annotated[str, QueryParameter(description="Those in this environment only.")] = "",
    plugin: Annotated[str, QueryParameter(description="Those of this plugin only.")] = "",
) -> Listing[ActionView]:
    """The actions that the caller may start, with their forms."""
    return Listing(actions.list_all(context, environment, plugin))


@post("/actions/{plugin:str}/{action:str}", opt=PERMITTED, sync_to_thread=True, responses=problems(404, 409, 413, 422))
def start_action(
    context: NamedDependency[ServerContext], plugin: FromPath[str], action: FromPath[str], data: JSONBody[Start | None] = None
) -> JobView:
    """Start an action on the server; it becomes a job."""
    return actions.start(context, plugin, action, form=(data or Start()).form)


@post(
    "/environments/{env:str}/actions/{plugin:str}/{action:str}",
    opt=PERMITTED,
    sync_to_thread=True,
    responses=problems(404, 409, 413, 422),
)
def start_environment_action(
    context: NamedDependency[ServerContext],
    env: FromPath[str],
    plugin: FromPath[str],
    action: FromPath[str],
    data: JSONBody[StartInEnvironment | None] = None,
) -> JobView:
    """Start an action on an environment, or on one of its nodes; it becomes a job."""
    given = data or StartInEnvironment()
    return actions.start(context, plugin, action, environment=env, node=given.node, form=given.form)


router = Router("/api", route_handlers=[list_actions, start_action, start_environment_action], tags=["actions"])

# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Events that plugins are still to be told."""

from __future__ import annotations

from typing import Annotated, Any

from litestar import Request, Response, Router, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from stoker.api.openapi import problems
from stoker.api.paging import HEADERS, Cursor, Limit, Page, page, window
from stoker.services import plugin_events
from stoker.services.context import ServerContext
from stoker.services.plugin_events import PluginEventView
from stoker.services.windows import MOST


@get("/", sync_to_thread=True, responses=problems(404), response_headers=HEADERS)
def list_plugin_events(
    context: NamedDependency[ServerContext],
    request: Request[Any, Any, Any],
    plugin: Annotated[str, QueryParameter(description="Those of this plugin only.")] = "",
    environment: Annotated[str, QueryParameter(description="Those of this environment only, by name or id.")] = "",
    limit: Limit = MOST,
    cursor: Cursor = "",
) -> Response[Page[PluginEventView]]:
    """Events that plugins are still to be told, the oldest first, with what went wrong the last time."""
    return page(request, plugin_events.list_undelivered(context, window(request, limit, cursor, int), plugin, environment))


router = Router("/api/plugin-events", route_handlers=[list_plugin_events], tags=["plugins"])

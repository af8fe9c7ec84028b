# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The serializer hooks that an environment uses: how fresh what they add is."""

from __future__ import annotations

from litestar import Router, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from stoker.api.listing import Listing
from stoker.api.openapi import problems
from stoker.services import hook_views
from stoker.services.context import ServerContext
from stoker.services.hook_views import SerializerHookView


@get("/", sync_to_thread=True, responses=problems(404))
def list_serializer_hooks(context: NamedDependency[ServerContext], env: FromPath[str]) -> Listing[SerializerHookView]:
    """Hooks of plugins that add data to nodes, environments and deployments: how fresh the data are, and why not."""
    return Listing(hook_views.list_hooks(context, env))


router = Router("/api/environments/{env:str}/serializer-hooks", route_handlers=[list_serializer_hooks], tags=["plugins"])

# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Commands that plugins add to the command line."""

from __future__ import annotations

from typing import Any

from litestar import Request, Response, Router, get
from litestar.di import NamedDependency

from stoker.api.listing import Listing
from stoker.api.openapi import problems
from stoker.api.tags import TAGGED, UNCHANGED, tagged
from stoker.services import commands
from stoker.services.commands import PluginCommands
from stoker.services.context import ServerContext
from stoker.services.tags import tag


@get("/", sync_to_thread=True, responses={**UNCHANGED, **problems()}, response_headers=TAGGED)
def list_commands(context: NamedDependency[ServerContext], request: Request[Any, Any, Any]) -> Response[Listing[PluginCommands]]:
    """The commands of plugins' default versions; the command line keeps them, with their tag."""
    found = Listing(commands.list_all(context))
    return tagged(request, found, tag(found))


router = Router("/api/commands", route_handlers=[list_commands], tags=["commands"])

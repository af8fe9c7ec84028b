# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Hooks of plugins in quarantine: shown, and armed again."""

from __future__ import annotations

from typing import Annotated

from litestar import Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, QueryParameter
from litestar.status_codes import HTTP_200_OK

from stoker.api.listing import Listing
from stoker.api.openapi import problems
from stoker.domain.access import AccessLevel
from stoker.services import quarantine
from stoker.services.context import ServerContext
from stoker.services.quarantine import QuarantineView


@get("/", sync_to_thread=True, responses=problems(404))
def list_quarantine(
    context: NamedDependency[ServerContext],
    plugin: Annotated[str, QueryParameter(description="Hooks of this plugin only.")] = "",
    environment: Annotated[str, QueryParameter(description="Hooks in this environment only, by name or id.")] = "",
) -> Listing[QuarantineView]:
    """Hooks of plugins that failed too often and are skipped for now, with the last failure."""
    return Listing(quarantine.list_all(context, plugin, environment))


@post(
    "/{plugin:str}/rearm",
    opt={"access": AccessLevel.OPERATOR, "own": True},  # the service looks at the environments of limited tokens
    sync_to_thread=True,
    status_code=HTTP_200_OK,
    responses=problems(404),
)
def rearm_hooks(
    context: NamedDependency[ServerContext], plugin: FromPath[str], hook: FromQuery[str] = "", environment: FromQuery[str] = ""
) -> Listing[QuarantineView]:
    """Call a plugin's hooks again as if they had never failed: all, or one (POINT NAME), everywhere or in one environment."""
    return Listing(quarantine.rearm(context, plugin, hook=hook, environment=environment))


router = Router("/api/quarantine", route_handlers=[list_quarantine, rearm_hooks], tags=["plugins"])

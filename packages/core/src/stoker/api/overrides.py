# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Operator's overrides of an environment."""

from __future__ import annotations

from typing import Any

from litestar import Request, Response, Router, delete, get, put
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody
from litestar.status_codes import HTTP_200_OK

from stoker.api.listing import Listing
from stoker.api.openapi import problems
from stoker.api.tags import TAGGED, UNCHANGED, IfMatch, tagged
from stoker.services import overrides
from stoker.services.context import ServerContext
from stoker.services.overrides import NewOverride, OverrideView
from stoker.services.tags import tag


@get("/", sync_to_thread=True, responses={**problems(404), **UNCHANGED}, response_headers=TAGGED)
def list_overrides(
    context: NamedDependency[ServerContext], request: Request[Any, Any, Any], env: FromPath[str]
) -> Response[Listing[OverrideView]]:
    """The overrides of an environment; the ETag is that of all of them."""
    found = overrides.list_all(context, env)
    return tagged(request, Listing(found), tag(found))


@put("/", responses=problems(404, 409, 412, 413, 422))
async def set_override(
    context: NamedDependency[ServerContext], env: FromPath[str], data: JSONBody[NewOverride], if_match: IfMatch = ""
) -> OverrideView:
    """Give an override, or change the one of the same file, section, key and roles."""
    return await context.at_length(overrides.give, context, env, data, if_match=if_match)


@delete("/", sync_to_thread=True, status_code=HTTP_200_OK, responses=problems(404, 409, 412))
def unset_override(
    context: NamedDependency[ServerContext],
    env: FromPath[str],
    path: FromQuery[str],
    key: FromQuery[str],
    section: FromQuery[str] = "",
    roles: FromQuery[str] = "*",
    if_match: IfMatch = "",
) -> OverrideView:
    """Take an override back; several roles are joined by commas."""
    return overrides.take_back(context, env, path, section, key, [role for role in roles.split(",") if role], if_match=if_match)


router = Router(
    "/api/environments/{env:str}/overrides", route_handlers=[list_overrides, set_override, unset_override], tags=["environments"]
)

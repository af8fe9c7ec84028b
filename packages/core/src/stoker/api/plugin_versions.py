# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Which versions of plugins count: the default one of each, those that are denied, and what is wrong with any."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import Router, delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.status_codes import HTTP_200_OK

from stoker.api.listing import Listing
from stoker.api.openapi import problems
from stoker.api.rights import ADMIN
from stoker.services import plugin_defaults, plugin_denials, plugin_diagnosis
from stoker.services.context import ServerContext
from stoker.services.plugin_defaults import DefaultView
from stoker.services.plugin_denials import DenialView
from stoker.services.plugin_diagnosis import PluginProblem

_Text = Annotated[str, msgspec.Meta(max_length=200)]


class DefaultChoice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The version that shall be the default."""

    version: _Text


class NewDenial(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Versions of a plugin that shall not be used."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=r"^[a-z][a-z0-9-]*$")]
    versions: _Text = ""
    """As in Python packaging, e.g. ``<1.2.1``; all if not given."""
    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=2000)]


@get("/plugin-defaults", sync_to_thread=True, responses=problems())
def list_default_versions(context: NamedDependency[ServerContext]) -> Listing[DefaultView]:
    """The server's default version of every installed plugin."""
    return Listing(plugin_defaults.list_all(context))


@put("/plugin-defaults/{name:str}", opt=ADMIN, sync_to_thread=True, responses=problems(404, 409, 413, 422))
def choose_default_version(
    context: NamedDependency[ServerContext], name: FromPath[str], data: JSONBody[DefaultChoice]
) -> DefaultView:
    """Choose the server's default version of a plugin."""
    return plugin_defaults.choose(context, name, data.version)


@delete("/plugin-defaults/{name:str}", opt=ADMIN, sync_to_thread=True, status_code=HTTP_200_OK, responses=problems(404))
def follow_newest_version(context: NamedDependency[ServerContext], name: FromPath[str]) -> DefaultView:
    """Let the newest version be the default again."""
    return plugin_defaults.follow_newest(context, name)


@get("/plugin-denials", sync_to_thread=True, responses=problems())
def list_denied_plugins(context: NamedDependency[ServerContext]) -> Listing[DenialView]:
    """Plugin versions that are denied."""
    return Listing(plugin_denials.list_all(context))


@post("/plugin-denials", opt=ADMIN, responses=problems(409, 413, 422))
async def deny_plugin(context: NamedDependency[ServerContext], data: JSONBody[NewDenial]) -> DenialView:
    """Deny versions of a plugin: they are not installed or enabled any more, and their code stops."""
    return await context.at_length(plugin_denials.deny, context, data.name, data.versions, data.reason)


@delete("/plugin-denials/{name:str}", opt=ADMIN, responses=problems(404, 409, 422))
async def allow_plugin(
    context: NamedDependency[ServerContext],
    name: FromPath[str],
    versions: Annotated[str, QueryParameter(description="Those of the denial; empty for one of all versions.")] = "",
) -> None:
    """Take a denial back."""
    await context.at_length(plugin_denials.allow, context, name, versions)


@get("/plugin-diagnosis", opt={"supervised": True}, responses=problems(404))
async def diagnose_plugins(
    context: NamedDependency[ServerContext],
    name: Annotated[str, QueryParameter(description="Only the versions of this plugin.")] = "",
) -> Listing[PluginProblem]:
    """What is wrong with installed plugins, and how to mend it; nothing is changed."""
    return Listing(await context.at_length(plugin_diagnosis.diagnose, context, name))


router = Router(
    "/api",
    route_handlers=[
        list_default_versions,
        choose_default_version,
        follow_newest_version,
        list_denied_plugins,
        deny_plugin,
        allow_plugin,
        diagnose_plugins,
    ],
    tags=["plugins"],
)

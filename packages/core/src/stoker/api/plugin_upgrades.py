# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Other versions of plugins in environments: upgrades, with what they change, and the way back."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import Router, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from litestar.status_codes import HTTP_200_OK

from stoker.api.openapi import problems
from stoker.domain import settings
from stoker.services import plugin_upgrades
from stoker.services.context import ServerContext
from stoker.services.plugin_upgrades import UpgradeView

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


class Upgrade(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Another version of a plugin for an environment."""

    plugin: _Name
    version: Annotated[str, msgspec.Meta(max_length=100)] = ""
    """Which installed one, newer or older; the server's default one if not given."""
    settings: dict[str, object] | None = None
    """The whole settings document; the one it has if not given."""
    drop_settings: bool = False
    """Leave out the settings that the other version does not take; without it, they are a refusal."""
    dry_run: bool = False
    """Only say what would change."""


class Rollback(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The way back to the version before."""

    plugin: _Name
    discard_records: bool = False
    """Lose what was written to its records since the upgrade; without it, such records are a refusal."""
    dry_run: bool = False
    """Only say what would change."""


@post("/{env:str}/plugin-upgrades", status_code=HTTP_200_OK, responses=problems(404, 409, 413, 422))
async def upgrade_plugin(context: NamedDependency[ServerContext], env: FromPath[str], data: JSONBody[Upgrade]) -> UpgradeView:
    """Give an environment another version of a plugin; what changes is in the answer, also of a dry run."""
    given = None if data.settings is None else msgspec.json.decode(msgspec.json.encode(data.settings))
    settings.refuse_deep(data.plugin, given)
    return await context.at_length(
        plugin_upgrades.upgrade,
        context,
        env,
        data.plugin,
        data.version,
        given=given,
        drop_settings=data.drop_settings,
        dry_run=data.dry_run,
    )


@post("/{env:str}/plugin-rollbacks", status_code=HTTP_200_OK, responses=problems(404, 409, 413, 422))
async def roll_plugin_back(context: NamedDependency[ServerContext], env: FromPath[str], data: JSONBody[Rollback]) -> UpgradeView:
    """Go back to the version of a plugin that an environment had before, with the settings of then."""
    return await context.at_length(
        plugin_upgrades.rollback, context, env, data.plugin, discard_records=data.discard_records, dry_run=data.dry_run
    )


router = Router("/api/environments", route_handlers=[upgrade_plugin, roll_plugin_back], tags=["environments"])

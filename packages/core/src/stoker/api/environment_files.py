# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Environments as files: exported, compared, applied."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from litestar import Router, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.status_codes import HTTP_200_OK

from stoker.api.openapi import problems
from stoker.domain import settings
from stoker.domain.environment_file import Change, EnvironmentFile
from stoker.services import environment_files
from stoker.services.context import ServerContext
from stoker.services.environment_files import ApplyResult


class Comparison(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file to compare an environment with."""

    document: EnvironmentFile


class Differences(msgspec.Struct, frozen=True, kw_only=True):
    """What applying a file would change."""

    same: bool
    changes: list[Change]


class Application(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file to apply."""

    document: EnvironmentFile
    secrets: Annotated[dict[str, str], msgspec.Meta(max_length=10_000)] = {}
    """``PLUGIN.SETTING`` -> value, for secrets that the environment does not have, or shall have anew."""
    dry_run: bool = False
    """Only say what would change."""
    revision: int | None = None
    """Refuse if the environment has another one."""


@get("/", sync_to_thread=True, responses=problems(404))
def export_environment(
    context: NamedDependency[ServerContext],
    env: FromPath[str],
    with_nodes: Annotated[bool, QueryParameter(description="Say how nodes are reached, too.")] = False,
) -> EnvironmentFile:
    """The environment as a file: without secrets, ids and history."""
    return environment_files.export(context, env, with_nodes=with_nodes)


@post("/diff", sync_to_thread=True, status_code=HTTP_200_OK, responses=problems(404, 413, 422))
def compare_environment(context: NamedDependency[ServerContext], env: FromPath[str], data: JSONBody[Comparison]) -> Differences:
    """What applying a file would change."""
    _refuse_deep(data.document)
    changes = environment_files.compare(context, env, data.document)
    return Differences(same=not changes, changes=changes)


@put("/", responses=problems(404, 409, 413, 422))
async def apply_environment(
    context: NamedDependency[ServerContext], env: FromPath[str], data: JSONBody[Application]
) -> ApplyResult:
    """Make the environment, or change it, to exactly what a file says: all or nothing."""
    _refuse_deep(data.document)
    work: Any = environment_files.apply
    result: ApplyResult = await context.at_length(
        work, context, env, data.document, data.secrets, dry_run=data.dry_run, revision=data.revision
    )
    return result


def _refuse_deep(file: EnvironmentFile) -> None:
    for name, plugin in file.plugins.items():
        settings.refuse_deep(name, msgspec.json.decode(msgspec.json.encode(plugin.settings)))


router = Router(
    "/api/environments/{env:str}/document",
    route_handlers=[export_environment, compare_environment, apply_environment],
    tags=["environments"],
)

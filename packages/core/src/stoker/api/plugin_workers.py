# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Workers of plugins: which run, and what their code wrote."""

from __future__ import annotations

from litestar import Router, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from stoker.api.listing import Listing
from stoker.api.openapi import problems
from stoker.domain.access import AccessLevel
from stoker.services import plugin_workers
from stoker.services.context import ServerContext
from stoker.services.plugin_workers import LineView, WorkerView


@get("/plugin-workers", opt={"supervised": True}, sync_to_thread=True, responses=problems())
def list_workers(context: NamedDependency[ServerContext]) -> Listing[WorkerView]:
    """Workers, the processes in which plugins' code runs, that live now."""
    return Listing(plugin_workers.workers(context))


@get(
    "/plugin-logs/{plugin:str}",
    opt={"access": AccessLevel.OPERATOR, "supervised": True},
    sync_to_thread=True,
    responses=problems(404),
)
def list_lines(context: NamedDependency[ServerContext], plugin: FromPath[str]) -> Listing[LineView]:
    """What a plugin's code wrote on standard output and error lately; the last 128 KiB of each version."""
    return Listing(plugin_workers.lines(context, plugin))


router = Router("/api", route_handlers=[list_workers, list_lines], tags=["plugins"])

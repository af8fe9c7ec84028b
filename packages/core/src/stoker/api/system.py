# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The server itself: whether it lives, whether it can work, and which version it is."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Request, Router, get
from litestar.di import NamedDependency

from stoker import __version__
from stoker.api.idempotency import describe
from stoker.api.openapi import problems, with_access_levels
from stoker.api.rights import OPEN
from stoker.services import plugin_openapi
from stoker.services.context import ServerContext
from stoker.services.readiness import refuse_unready
from stoker.services.sandboxes import sandbox_of


class Health(msgspec.Struct, frozen=True, omit_defaults=True):
    """The server answers."""

    status: str
    safe_mode: bool = False
    """Whether it runs no plugin's code, as it was started with ``--safe-mode``; only there if so."""
    sandbox: str = ""
    """What plugins' code runs in: ``bubblewrap`` or ``namespaces``; ``unconfined``: in none; ``none``: it does not run, as no
    sandbox works. Only there when the server knows."""


class VersionView(msgspec.Struct, frozen=True):
    """The server's version."""

    version: str


@get("/health", opt=OPEN, sync_to_thread=False, security=[{}], responses={403: problems()[403]})
def health(context: NamedDependency[ServerContext]) -> Health:
    """Whether the server lives; needs no token."""
    return Health("ok", safe_mode=context.config.safe_mode, sandbox=sandbox_of(context))


class Readiness(msgspec.Struct, frozen=True, omit_defaults=True):
    """The server can do its work."""

    status: str
    safe_mode: bool = False
    """Whether it runs no plugin's code, as it was started with ``--safe-mode``; only there if so."""
    sandbox: str = ""
    """What plugins' code runs in: ``bubblewrap`` or ``namespaces``; ``unconfined``: in none; ``none``: it does not run, as no
    sandbox works. Only there when the server knows."""


@get(
    "/ready",
    opt={**OPEN, "supervised": True},
    sync_to_thread=True,
    security=[{}],
    responses={403: problems()[403], 503: problems(503)[503]},
)
def ready(context: NamedDependency[ServerContext]) -> Readiness:
    """Whether the server can do its work: database, orchestrator, disk space; needs no token, tells only which fails."""
    refuse_unready(context)
    return Readiness("ready", safe_mode=context.config.safe_mode, sandbox=sandbox_of(context))


@get("/version", sync_to_thread=False, responses=problems())
def version() -> VersionView:
    """Which version it is."""
    return VersionView(__version__)


@get("/openapi.json", sync_to_thread=True, include_in_schema=False)
def openapi(context: NamedDependency[ServerContext], request: Request[Any, Any, Any]) -> dict[str, Any]:
    """Every route of this API (OpenAPI 3.1), and those of plugins' applications that describe themselves."""
    return plugin_openapi.add(context, describe(with_access_levels(request.app)))


router = Router("/api", route_handlers=[health, ready, version, openapi], tags=["system"])

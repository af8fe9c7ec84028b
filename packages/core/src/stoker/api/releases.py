# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Releases: the products that installed plugins bring."""

from __future__ import annotations

from litestar import Router, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from stoker.api.listing import Listing
from stoker.api.openapi import problems
from stoker.services import releases
from stoker.services.context import ServerContext
from stoker.services.releases import ReleaseSummary, ReleaseView


@get("/", sync_to_thread=True, responses=problems())
def list_releases(context: NamedDependency[ServerContext]) -> Listing[ReleaseSummary]:
    """All releases that installed plugins bring."""
    return Listing(releases.list_all(context))


@get("/{name:str}", sync_to_thread=True, responses=problems(404))
def show_release(context: NamedDependency[ServerContext], name: FromPath[str]) -> ReleaseView:
    """One release with its roles and services."""
    return releases.show(context, name)


router = Router("/api/releases", route_handlers=[list_releases, show_release], tags=["releases"])

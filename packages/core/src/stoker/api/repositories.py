# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Package repositories of plugins: listed, and the key that signs them."""

from __future__ import annotations

from litestar import Router, get, post
from litestar.di import NamedDependency
from litestar.status_codes import HTTP_200_OK

from stoker.api.listing import Listing
from stoker.api.openapi import problems
from stoker.api.rights import ADMIN
from stoker.services import repositories
from stoker.services.context import ServerContext
from stoker.services.repositories import RepositoryKeyView, RepositoryView


@get("/", sync_to_thread=True, responses=problems())
def list_repositories(context: NamedDependency[ServerContext]) -> Listing[RepositoryView]:
    """The package repositories of all installed plugin versions."""
    return Listing(repositories.list_all(context))


@get("/key", sync_to_thread=True, responses=problems(404))
def show_repository_key(context: NamedDependency[ServerContext]) -> RepositoryKeyView:
    """The public key that signs every package repository of this server."""
    return repositories.show_key(context)


@post("/key", opt=ADMIN, status_code=HTTP_200_OK, responses=problems(404, 409, 503))
async def renew_repository_key(context: NamedDependency[ServerContext]) -> RepositoryKeyView:
    """Sign every package repository with a new key; nodes get it with their environments' next deployment."""
    return await context.at_length(repositories.renew_key, context)


HANDLERS = [list_repositories, show_repository_key, renew_repository_key]
router = Router("/api/repositories", route_handlers=HANDLERS, tags=["repositories"])

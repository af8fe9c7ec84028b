# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Permissions: what installed plugins let people do, beyond access levels."""

from __future__ import annotations

from typing import Annotated

from litestar import Router, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from stoker.api.listing import Listing
from stoker.api.openapi import problems
from stoker.services import permissions
from stoker.services.context import ServerContext
from stoker.services.permissions import PermissionView


@get("/", sync_to_thread=True, responses=problems())
def list_permissions(
    context: NamedDependency[ServerContext],
    plugin: Annotated[str, QueryParameter(description="The permissions of this plugin only.")] = "",
) -> Listing[PermissionView]:
    """The permissions that installed plugins bring, and whether the caller has them."""
    return Listing(permissions.list_all(context, plugin))


router = Router("/api/permissions", route_handlers=[list_permissions], tags=["permissions"])

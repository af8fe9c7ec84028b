# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Plugins' records, to be looked at: only a plugin's own code writes them."""

from __future__ import annotations

from typing import Annotated, Any

from litestar import Request, Response, Router, delete, get
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter
from litestar.status_codes import HTTP_200_OK

from stoker.api.listing import Listing
from stoker.api.openapi import problems
from stoker.api.paging import HEADERS, Cursor, Limit, Page, page, window
from stoker.api.rights import ADMIN, OPERATOR
from stoker.services import record_views
from stoker.services.context import ServerContext
from stoker.services.record_views import CollectionView, RecordEntry
from stoker.services.windows import MOST


@get("/{plugin:str}", opt=OPERATOR, sync_to_thread=True, responses=problems(404))
def list_record_collections(context: NamedDependency[ServerContext], plugin: FromPath[str]) -> Listing[CollectionView]:
    """A plugin's collections of records, in all environments, with the copies that are kept from before a migration."""
    return Listing(record_views.list_collections(context, plugin))


@get("/{plugin:str}/{collection:str}", opt=OPERATOR, sync_to_thread=True, responses=problems(404), response_headers=HEADERS)
def list_plugin_records(
    context: NamedDependency[ServerContext],
    request: Request[Any, Any, Any],
    plugin: FromPath[str],
    collection: FromPath[str],
    environment: Annotated[str, QueryParameter(description="By name or id; empty for a collection of the whole server.")] = "",
    limit: Limit = MOST,
    cursor: Cursor = "",
) -> Response[Page[RecordEntry]]:
    """The records of a collection, by key."""
    return page(request, record_views.list_records(context, plugin, collection, environment, window(request, limit, cursor, str)))


@delete(
    "/{plugin:str}/{collection:str}/kept",
    opt=ADMIN,
    sync_to_thread=True,
    status_code=HTTP_200_OK,
    responses=problems(404, 409),
)
def purge_kept_records(
    context: NamedDependency[ServerContext],
    plugin: FromPath[str],
    collection: FromPath[str],
    environment: Annotated[str, QueryParameter(description="By name or id; empty for a collection of the whole server.")] = "",
) -> CollectionView:
    """Delete the copy that is kept from before the last migration: a rollback loses all records then."""
    return record_views.purge(context, plugin, collection, environment)


router = Router(
    "/api/plugin-records", route_handlers=[list_record_collections, list_plugin_records, purge_kept_records], tags=["plugins"]
)

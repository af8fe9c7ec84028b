# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Plugins: installed by upload, listed, uninstalled."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from litestar import Request, Response, Router, delete, get, post
from litestar.di import NamedDependency
from litestar.openapi import ResponseSpec
from litestar.params import FromPath, QueryParameter
from litestar.status_codes import HTTP_200_OK, HTTP_201_CREATED, HTTP_413_REQUEST_ENTITY_TOO_LARGE

from stoker.api.openapi import BytesOperation, problems
from stoker.api.paging import HEADERS, Cursor, Limit, Page, page, window
from stoker.api.rights import ADMIN
from stoker.api.tags import TAGGED, UNCHANGED, tagged
from stoker.errors import StokerError
from stoker.services import plugin_removal, plugins
from stoker.services.context import ServerContext
from stoker.services.plugin_ledger import Ledger, ledger
from stoker.services.plugins import PluginView
from stoker.services.tags import tag
from stoker.services.windows import MOST


class UploadTooLargeError(StokerError):
    """More bytes than the server takes."""

    status = HTTP_413_REQUEST_ENTITY_TOO_LARGE
    kind = "upload-too-large"


THERE = ResponseSpec(PluginView, generate_examples=False, description="This bundle is installed already.")


@post(
    "/",
    request_max_body_size=None,
    opt=ADMIN,
    responses={HTTP_200_OK: THERE, **problems(409, 413, 422, 503)},
    operation_class=BytesOperation,
)
async def install_plugin(
    context: NamedDependency[ServerContext],
    request: Request[Any, Any, Any],
    allow_network: Annotated[bool, QueryParameter(description="Let the plugin's code reach the network, if it must.")] = False,
) -> Response[PluginView]:
    """Install a bundle; its bytes are the request's body. Answers 200 if it was there already."""
    limit = context.config.max_upload_bytes
    with context.store.receive() as upload:
        async for chunk in request.stream():
            upload.write(chunk)
            if upload.tell() > limit:
                raise UploadTooLargeError(
                    f"the bundle is larger than {limit} bytes.",
                    remedy="Make it smaller, or raise max_upload_bytes in the server's configuration.",
                )
        upload.flush()
        view, new = await context.at_length(plugins.install, context, Path(upload.name), allow_network=allow_network)
    return Response(view, status_code=HTTP_201_CREATED if new else HTTP_200_OK)


@get("/", sync_to_thread=True, responses=problems(), response_headers=HEADERS)
def list_plugins(
    context: NamedDependency[ServerContext],
    request: Request[Any, Any, Any],
    name: Annotated[str, QueryParameter(description="The versions of this plugin only.")] = "",
    limit: Limit = MOST,
    cursor: Cursor = "",
) -> Response[Page[PluginView]]:
    """All installed plugin versions."""
    return page(request, plugins.list_all(context, window(request, limit, cursor, str, str), name))


@get("/{name:str}/{version:str}", sync_to_thread=True, responses={**UNCHANGED, **problems(404)}, response_headers=TAGGED)
def show_plugin(
    context: NamedDependency[ServerContext], request: Request[Any, Any, Any], name: FromPath[str], version: FromPath[str]
) -> Response[PluginView]:
    """One installed plugin version."""
    view = plugins.show(context, name, version)
    return tagged(request, view, tag(view))


@get("/{name:str}/{version:str}/ledger", opt={"supervised": True}, sync_to_thread=True, responses=problems(404))
def plugin_ledger(context: NamedDependency[ServerContext], name: FromPath[str], version: FromPath[str]) -> Ledger:
    """Everything that uninstalling a version would take away: rows, files, processes, records."""
    return ledger(context, name, version)


@delete("/{name:str}/{version:str}", opt=ADMIN, responses=problems(404, 409))
async def uninstall_plugin(
    context: NamedDependency[ServerContext],
    name: FromPath[str],
    version: FromPath[str],
    delete_records: Annotated[bool, QueryParameter(description="Let records go with the last version.")] = False,
) -> None:
    """Uninstall a plugin version that no environment uses; nothing of it is left."""
    await context.at_length(plugin_removal.uninstall, context, name, version, delete_records=delete_records)


installed = Router("/plugins", route_handlers=[install_plugin, list_plugins])
versions = Router("/plugin-versions", route_handlers=[show_plugin, plugin_ledger, uninstall_plugin])
router = Router("/api", route_handlers=[installed, versions], tags=["plugins"])

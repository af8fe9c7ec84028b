# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Entity tags: what has not changed is not sent again (If-None-Match), what has changed is not overwritten unseen (If-Match)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final, TypeAlias, TypeVar, cast

from litestar import Request, Response
from litestar.datastructures import ResponseHeader
from litestar.openapi import ResponseSpec
from litestar.params import HeaderParameter
from litestar.status_codes import HTTP_200_OK, HTTP_304_NOT_MODIFIED

from stoker.services.context import ServerContext
from stoker.services.ext import Wanted, state_with_ext

T = TypeVar("T")

IfMatch: TypeAlias = Annotated[
    str,
    HeaderParameter(
        name="If-Match", description="The `ETag` of the state for which this edit is made; of another state it is refused (412)."
    ),
]
TAGGED: Final = [
    ResponseHeader(
        name="ETag", description="Names the state that is shown; for If-Match and If-None-Match.", documentation_only=True
    )
]
UNCHANGED: Final = {
    HTTP_304_NOT_MODIFIED: ResponseSpec(None, description="Nothing has changed since the state that If-None-Match names.")
}


def tagged(request: Request[Any, Any, Any], view: T, tag: str, status: int = HTTP_200_OK) -> Response[T]:
    """The answer with its tag; nothing but the tag if the caller has this state already."""
    quoted = f'"{tag}"'
    if request.method == "GET" and is_known(request, quoted):
        return cast("Response[T]", not_modified(quoted))
    return Response(view, status_code=status, headers={"ETag": quoted})


def unchanged(context: ServerContext, request: Request[Any, Any, Any], kinds: Sequence[str], wanted: Wanted) -> tuple[str, bool]:
    """The weak tag of a list of things of these kinds with what plugins add, and whether the caller has that state already.

    It is the last change of any of them, whatever the filters: to ask for it costs next to nothing.
    """
    with context.database.read() as connection:
        quoted = f'W/"{state_with_ext(connection, kinds, wanted)}"'
    return quoted, is_known(request, quoted)


def is_known(request: Request[Any, Any, Any], quoted: str) -> bool:
    """Whether If-None-Match names a state."""
    given = request.headers.get("if-none-match", "")
    if not given:
        return False
    known = [item.strip().removeprefix("W/") for item in given.split(",")]
    return "*" in known or quoted.removeprefix("W/") in known


def not_modified(quoted: str) -> Response[None]:
    """The answer to who has this state already."""
    return Response(None, status_code=HTTP_304_NOT_MODIFIED, headers={"ETag": quoted})

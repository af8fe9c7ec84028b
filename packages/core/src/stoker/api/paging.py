# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Pages of long lists: ``limit`` and ``cursor`` in the request, ``next`` and a ``Link`` header in the answer."""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Annotated, Any, Final, Generic, TypeAlias, TypeVar
from urllib.parse import urlencode

import msgspec
from litestar import Request, Response
from litestar.datastructures import ResponseHeader
from litestar.params import QueryParameter

from stoker.errors import BadRequestError
from stoker.services.windows import MOST, Key, Part, Window

T = TypeVar("T")

Limit: TypeAlias = Annotated[
    int, QueryParameter(ge=1, le=MOST, description=f"How many items the page has at most; {MOST} at most, and if not given.")
]
Cursor: TypeAlias = Annotated[
    str, QueryParameter(max_length=2000, description="Where the page begins: `next` of the one before, with the same filters.")
]
HEADERS: Final = [
    ResponseHeader(name="Link", description='`<...>; rel="next"`: the next page, if there is one.', documentation_only=True)
]
_PLACE: Final = ("limit", "cursor")
_BOUNDED: Final[dict[type, Any]] = {
    str: Annotated[str, msgspec.Meta(pattern=r"^[^\0]*\Z", max_length=1000)],
    int: Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)],
    float: float,
}
"""What a database takes of each type."""


class Page(msgspec.Struct, Generic[T], frozen=True, omit_defaults=True):
    """A part of a list."""

    items: list[T]
    next: str | None = None
    """The cursor of the next page; not there in the last one."""


class _Place(msgspec.Struct, frozen=True, array_like=True):
    """What a cursor holds."""

    of: str
    key: list[str | int | float]


def window(request: Request[Any, Any, Any], limit: int, cursor: str, *kinds: type[str | int | float]) -> Window:
    """The window that a request asks for.

    Args:
        request: the request itself, for its path and filters.
        limit: how many items.
        cursor: where to begin; empty for the beginning.
        kinds: the types of the key's values.

    Raises:
        BadRequestError: the cursor is none, or of another list.
    """
    if not cursor:
        return Window(limit)
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        place = msgspec.msgpack.decode(base64.b64decode(padded, altchars=b"-_", validate=True), type=_Place)
        key: Key = tuple(msgspec.convert(value, _BOUNDED[kind]) for value, kind in zip(place.key, kinds, strict=True))
    except (UnicodeEncodeError, binascii.Error, msgspec.MsgspecError, ValueError) as error:
        raise BadRequestError(
            "the cursor is none that this server gave.",
            remedy="Take 'next' of the page before as it is, or leave the cursor out.",
        ) from error
    if place.of != _list_of(request):
        raise BadRequestError(
            "the cursor belongs to another list, or to other filters.",
            remedy="Repeat the filters of the page before, or leave the cursor out to begin anew.",
        )
    return Window(limit, key)


def page(request: Request[Any, Any, Any], part: Part[T], headers: dict[str, str] | None = None) -> Response[Page[T]]:
    """The answer to a request for a part of a list."""
    headers = dict(headers or {})
    if part.last is None:
        return Response(Page(part.items), headers=headers)
    packed = msgspec.msgpack.encode(_Place(_list_of(request), list(part.last)))
    cursor = base64.urlsafe_b64encode(packed).rstrip(b"=").decode()
    kept = [(name, value) for name, value in request.query_params.multi_items() if name != "cursor"]
    headers["Link"] = f'<{request.url.path}?{urlencode([*kept, ("cursor", cursor)])}>; rel="next"'
    return Response(Page(part.items, cursor), headers=headers)


def _list_of(request: Request[Any, Any, Any]) -> str:
    """A short name for a list with its filters, so that no cursor is taken to another one."""
    filters = sorted((name, value) for name, value in request.query_params.multi_items() if name not in _PLACE)
    return hashlib.blake2b(repr((request.url.path, filters)).encode(), digest_size=6).hexdigest()

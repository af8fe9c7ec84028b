# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Parameters of requests: what a route does not know is refused, for a misspelled filter must not answer with everything."""

from __future__ import annotations

import difflib
from functools import cache
from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.params import QueryParameter

from stoker.errors import BadRequestError


def refuse_unknown(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Refuse query parameters that the route does not have.

    Raises:
        BadRequestError: there is one; the known ones are named.
    """
    given = connection.scope["query_string"]
    if not given:
        return
    if b"%00" in given or b"\0" in given:
        raise BadRequestError("a parameter has a null byte in it.", remedy="Leave it out.")
    known = _known(handler)
    unknown = [name for name in connection.query_params if name not in known]
    if not unknown:
        return
    near = difflib.get_close_matches(unknown[0], known, 1)
    names = ", ".join(known)
    raise BadRequestError(
        f"this request has no parameter {', '.join(repr(name[:60]) for name in unknown[:5])}.",
        remedy=(f"Did you mean {near[0]!r}? " if near else "") + (f"Known here: {names}." if known else "Leave it out."),
    )


@cache
def _known(handler: BaseRouteHandler) -> tuple[str, ...]:
    """The query parameters of a route, as its handler declares them."""
    return tuple(
        kind.name or name
        for name, field in handler.parsed_fn_signature.parameters.items()
        if isinstance(kind := field.kwarg_definition, QueryParameter)
    )

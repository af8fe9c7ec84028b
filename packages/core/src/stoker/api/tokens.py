# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Tokens: made, listed and revoked, one's own or, as an admin, anybody's."""

from __future__ import annotations

from litestar import Response, Router, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from stoker.api.listing import Listing
from stoker.api.openapi import problems
from stoker.api.rights import OWN
from stoker.services import tokens
from stoker.services.context import ServerContext
from stoker.services.tokens import MadeToken, NewToken, TokenView


@post("/", opt=OWN, sync_to_thread=True, responses=problems(404, 409, 413, 422))
def create_token(context: NamedDependency[ServerContext], data: JSONBody[NewToken]) -> Response[MadeToken]:
    """Make a token; its secret is in this answer and never shown again."""
    return Response(tokens.create(context, data), headers={"Cache-Control": "no-store"})


@get("/", opt=OWN, sync_to_thread=True, responses=problems())
def list_tokens(context: NamedDependency[ServerContext]) -> Listing[TokenView]:
    """One's own tokens; for an admin, everybody's."""
    return Listing(tokens.list_all(context))


@delete("/{token:str}", opt=OWN, sync_to_thread=True, responses=problems(404, 409))
def revoke_token(context: NamedDependency[ServerContext], token: FromPath[str]) -> None:
    """End a token at once."""
    tokens.revoke(context, token)


router = Router("/api/tokens", route_handlers=[create_token, list_tokens, revoke_token], tags=["tokens"])

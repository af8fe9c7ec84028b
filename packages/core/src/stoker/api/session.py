# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Signing in with a browser and out again, and who one is."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Request, Response, Router, delete, get, post
from litestar.datastructures import Cookie
from litestar.di import NamedDependency
from litestar.params import JSONBody
from litestar.status_codes import HTTP_201_CREATED

from stoker.api.auth import cookie_name, session_secret
from stoker.api.openapi import problems
from stoker.api.rights import OPEN, OWN
from stoker.domain import actor
from stoker.services import passwords, sessions
from stoker.services.context import ServerContext
from stoker.services.sessions import LIFE_SECONDS, LinkView, NewSession, SessionView


class SignIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who signs in."""

    user: str
    password: str


class UsedLink(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A one-time link."""

    secret: str
    """What stands behind ``#`` in the link."""


@post("/", opt=OPEN, security=[{}], status_code=HTTP_201_CREATED, responses=problems(413, 429))
async def sign_in(context: NamedDependency[ServerContext], data: JSONBody[SignIn]) -> Response[SessionView]:
    """Sign in with a password; the answer sets the session's cookie and has the CSRF token."""
    return _with_cookie(context, await passwords.apart(sessions.sign_in, context, data.user, data.password))


@post("/link", opt=OPEN, security=[{}], sync_to_thread=True, status_code=HTTP_201_CREATED, responses=problems(413))
def use_link(context: NamedDependency[ServerContext], data: JSONBody[UsedLink]) -> Response[SessionView]:
    """Sign in with a one-time link; the answer sets the session's cookie and has the CSRF token."""
    return _with_cookie(context, sessions.swap_link(context, data.secret))


@post("/links", opt=OWN, sync_to_thread=True, responses=problems(409))
def make_link(context: NamedDependency[ServerContext]) -> LinkView:
    """A link that signs a browser in once within five minutes, as who asks for it."""
    return sessions.make_link(context)


@get("/", opt=OWN, sync_to_thread=False, responses=problems())
def show_session(context: NamedDependency[ServerContext], request: Request[Any, Any, Any]) -> SessionView:
    """Who one is and what one may do."""
    who = actor.current()
    cookies = request.headers.get("cookie", "").encode("latin-1")
    return sessions.view(who, session_secret(cookies, secure=context.config.uses_tls) if who.session_id else "")


@delete("/", opt=OWN, sync_to_thread=True, responses=problems(409))
def sign_out(context: NamedDependency[ServerContext]) -> Response[None]:
    """End the session."""
    sessions.sign_out(context)
    return Response(None, cookies=[_cookie(context, "", 0)])


def _with_cookie(context: ServerContext, made: NewSession) -> Response[SessionView]:
    return Response(made.view, cookies=[_cookie(context, made.secret, int(LIFE_SECONDS))], headers={"Cache-Control": "no-store"})


def _cookie(context: ServerContext, value: str, life: int) -> Cookie:
    secure = context.config.uses_tls
    return Cookie(
        cookie_name(secure=secure), value=value, max_age=life, path="/", httponly=True, samesite="strict", secure=secure
    )


router = Router("/api/session", route_handlers=[sign_in, use_link, make_link, show_session, sign_out], tags=["session"])

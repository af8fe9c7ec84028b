# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Browser sessions: signing in with a password or a one-time link, and signing out."""

from __future__ import annotations

import hmac
import secrets
import time
import uuid
from typing import Final

import msgspec
from sqlalchemy import Connection, delete, insert, select

from stoker.db.tables import login_links, sessions, tokens, users
from stoker.domain import actor
from stoker.domain.access import AccessLevel
from stoker.domain.actor import Actor
from stoker.errors import ConflictError, UnauthorizedError
from stoker.services import audit, guessing, passwords
from stoker.services.context import ServerContext
from stoker.services.identities import IDLE_SECONDS, digest_of

LIFE_SECONDS: Final = 12 * 3600.0
"""A session ends so long after signing in, however busy it is."""
LINK_SECONDS: Final = 300.0


class SessionView(msgspec.Struct, frozen=True, kw_only=True):
    """Who somebody is, and what they may do."""

    kind: str
    """``user``, or ``server`` for who has a token of the server itself."""
    user: str
    """The user's name, or ``server``."""
    access: AccessLevel
    environments: list[str] | None
    """The only environments that may be changed; null for all."""
    token: str
    """The token's name; empty for who signed in with a password."""
    csrf: str
    """What the header ``X-CSRF-Token`` must say in every changing request of a browser; empty without a session."""
    expires_at: float | None
    """When it ends by itself; null for a token without an end."""


class NewSession(msgspec.Struct, frozen=True, kw_only=True):
    """A session that has just begun, with the secret that its cookie holds."""

    secret: str
    view: SessionView


class LinkView(msgspec.Struct, frozen=True, kw_only=True):
    """A link with which a browser signs in once."""

    path: str
    """What follows the server's address. The part after ``#`` is the secret; browsers never send it."""
    expires_at: float


def csrf_of(secret: str) -> str:
    """The CSRF token that belongs to a session: known to who may read its answers, and to nobody who only makes it send."""
    return hmac.digest(secret.encode(), b"stoker csrf", "sha256").hex()


def view(who: Actor, secret: str = "") -> SessionView:
    """Who somebody is."""
    return SessionView(
        kind=who.kind,
        user=who.name,
        access=who.access,
        environments=None if who.environments is None else sorted(who.environments),
        token=who.token,
        csrf=csrf_of(secret) if secret else "",
        expires_at=who.ends_at,
    )


def sign_in(context: ServerContext, name: str, password: str) -> NewSession:
    """Begin a session with a password.

    Raises:
        UnauthorizedError: no enabled user has this name and password; which of the two is wrong is not told.
        TooManyAttemptsError: there were too many wrong ones.
    """
    stranger = actor.current()
    counted = guessing.limits(name, stranger.address)
    with context.database.transaction() as connection:
        guessing.begin(connection, counted)
        row = connection.execute(select(users).where(users.c.name == name)).first()
    fits = passwords.fits(None if row is None else str(row.password), password)
    with context.database.transaction() as connection:
        now = None if row is None else connection.execute(select(users).where(users.c.id == row.id)).first()
        if row is None or now is None or not fits or now.disabled or now.password != row.password:
            known = "" if row is None else str(row.name)  # others may be a password in the wrong field
            audit.record(connection, "session.refuse", "" if row is None else str(row.id), known)
        else:
            guessing.succeeded(connection, counted)
            made = _begin(connection, user_id=str(now.id), access=AccessLevel(now.access), life=LIFE_SECONDS)
            who = msgspec.structs.replace(stranger, kind="user", name=str(now.name))
            audit.record_as(connection, who, "session.begin", str(now.id), str(now.name), after={"by": "password"})
    if row is None or now is None or not fits or now.disabled or now.password != row.password:
        raise UnauthorizedError("user or password is wrong, or the user is disabled.", remedy="Try again, or ask an admin.")
    return _new(context, made)


def make_link(context: ServerContext) -> LinkView:
    """A link that signs a browser in as who has the present token, once.

    Raises:
        ConflictError: the request came from a browser that is signed in already.
    """
    who = actor.current()
    if not who.token_id or who.session_id:
        raise ConflictError("a link is made with a token, and this is a browser's session.", remedy="You are signed in already.")
    secret, now = secrets.token_urlsafe(32), time.time()
    with context.database.transaction() as connection:
        connection.execute(delete(login_links).where(login_links.c.expires_at <= now))
        connection.execute(
            insert(login_links).values(sha256=digest_of(secret), token_id=who.token_id, expires_at=now + LINK_SECONDS)
        )
        audit.record(connection, "session.make-link", who.token_id, who.name)
    return LinkView(path=f"/login#{secret}", expires_at=now + LINK_SECONDS)


def swap_link(context: ServerContext, secret: str) -> NewSession:
    """Begin a session with a link.

    Raises:
        UnauthorizedError: there is no such link, it was used, or it is too old.
    """
    now = time.time()
    with context.database.transaction() as connection:
        found = connection.execute(
            select(tokens, users.c.name.label("user"), users.c.disabled)
            .select_from(
                login_links.join(tokens, tokens.c.id == login_links.c.token_id).outerjoin(users, users.c.id == tokens.c.user_id)
            )
            .where(login_links.c.sha256 == digest_of(secret), login_links.c.expires_at > now)
        ).first()
        used = connection.execute(delete(login_links).where(login_links.c.sha256 == digest_of(secret))).rowcount
        ended = found is not None and (found.disabled or (found.expires_at or now + 1) <= now)
        if found is not None and used and not ended:
            made = _begin(
                connection,
                user_id=found.user_id,
                access=AccessLevel(found.access),
                environments=found.environments,
                token_id=str(found.id),
                life=min(LIFE_SECONDS, (found.expires_at or now + LIFE_SECONDS) - now),
            )
            name = str(found.user or "server")
            who = msgspec.structs.replace(
                actor.current(), kind="user" if found.user_id else "server", name=name, token=found.name
            )
            audit.record_as(connection, who, "session.begin", str(found.user_id or ""), name, after={"by": "link"})
            refused = False
        else:
            refused = True
    if refused:
        raise UnauthorizedError(
            "this link was used already, or is older than five minutes.", remedy="Make another one with 'stoker login-link'."
        )
    return _new(context, made)


def _begin(
    connection: Connection,
    *,
    user_id: str | None,
    access: AccessLevel,
    life: float,
    environments: str | None = None,
    token_id: str | None = None,
) -> str:
    secret, now = secrets.token_urlsafe(32), time.time()
    ended = (sessions.c.expires_at <= now) | (sessions.c.last_used_at <= now - IDLE_SECONDS)
    connection.execute(delete(sessions).where(ended))
    connection.execute(
        insert(sessions).values(
            id=uuid.uuid4().hex,
            sha256=digest_of(secret),
            user_id=user_id,
            access=access.value,
            environments=environments,
            token_id=token_id,
            created_at=now,
            expires_at=now + life,
            last_used_at=now,
        )
    )
    return secret


def _new(context: ServerContext, secret: str) -> NewSession:
    who = context.identities.look_up("session", digest_of(secret))
    if who is None:
        raise UnauthorizedError("the session has ended already.", remedy="Sign in again.")
    return NewSession(secret=secret, view=view(who, secret))


def sign_out(context: ServerContext) -> None:
    """End the present session.

    Raises:
        ConflictError: who asks came with a token.
    """
    who = actor.current()
    if not who.session_id:
        raise ConflictError("a token is no session.", remedy="Revoke it with 'stoker tokens revoke'.")
    with context.database.transaction() as connection:
        connection.execute(delete(sessions).where(sessions.c.id == who.session_id))
        audit.record(connection, "session.end", who.user_id, who.name)
    context.identities.forget()

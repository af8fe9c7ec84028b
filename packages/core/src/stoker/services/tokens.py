# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Tokens: what programs come in with; shown once, kept as SHA-256, each with an owner, an access level and an end."""

from __future__ import annotations

import secrets
import time
import uuid
from typing import Annotated, Final

import msgspec
from sqlalchemy import Connection, Row, Select, delete, insert, or_, select

from stoker.db.environments import find_environment
from stoker.db.tables import tokens, users
from stoker.db.vault import write_private
from stoker.domain import actor
from stoker.domain.access import AccessLevel
from stoker.domain.actor import Actor
from stoker.errors import ConflictError, ForbiddenError, NotFoundError
from stoker.services import audit
from stoker.services.context import ServerContext
from stoker.services.environments import check_name
from stoker.services.identities import digest_of
from stoker.services.users import find_user

ADMIN: Final = "admin"
"""Id and name of the server's own token, which the first start writes to a file that only its owner can read."""
DAY: Final = 24 * 3600.0
USUAL_DAYS: Final = 90
MOST_DAYS: Final = 3650


class NewToken(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A token to make."""

    name: str
    user: str | None = None
    """Whose it is: oneself if not given; an admin may name others. What the server's own tokens make is the server's."""
    access: AccessLevel = AccessLevel.VIEWER
    """What it may do, at most what its owner and its maker may."""
    environments: list[str] | None = None
    """The only environments that it may change; all if not given."""
    expires_in_days: Annotated[int, msgspec.Meta(ge=1, le=MOST_DAYS)] | None = USUAL_DAYS
    """When it ends; null for never, which only admins may say."""


class TokenView(msgspec.Struct, frozen=True, kw_only=True):
    """One token; the secret itself is shown once, by what makes it."""

    id: str
    name: str
    user: str
    """Whose it is; empty for the server's own."""
    access: AccessLevel
    environments: list[str] | None
    created_at: float
    expires_at: float | None
    last_used_at: float | None
    """When it was last used, to within five minutes."""


class MadeToken(TokenView, frozen=True, kw_only=True):
    """A token that was just made."""

    token: str
    """The secret. It is never shown again."""


def ensure_admin_token(context: ServerContext) -> None:
    """Make the server's admin token where there is none; the database keeps its hash alone."""
    path = context.config.token_file
    if not path.exists():
        write_private(path, f"{_new_secret()}\n".encode())
    path.chmod(0o600)
    digest = digest_of(path.read_text().strip())
    with context.database.transaction() as connection:
        if connection.execute(select(tokens.c.sha256).where(tokens.c.id == ADMIN)).scalar() == digest:
            return
        connection.execute(delete(tokens).where(tokens.c.id == ADMIN))
        values = {"id": ADMIN, "name": ADMIN, "sha256": digest, "access": AccessLevel.ADMIN.value, "created_at": time.time()}
        connection.execute(insert(tokens).values(**values))
        audit.record(connection, "token.take-from-file", ADMIN, ADMIN, after={"access": AccessLevel.ADMIN})
    context.identities.forget()


def create(context: ServerContext, new: NewToken) -> MadeToken:
    """Make a token for oneself or, as an admin, for others.

    Raises:
        InvalidInputError: the name does not fit.
        ForbiddenError: it would have more rights than its owner or its maker, or no end.
        NotFoundError: there is no such user or environment.
        ConflictError: the owner has a token of this name.
    """
    check_name("token", new.name)
    who, secret, identity, now = actor.current(), _new_secret(), uuid.uuid4().hex, time.time()
    with context.database.transaction() as connection:
        owner = _owner(connection, who, new.user)
        _refuse_more_rights(who, owner, new)
        user_id = None if owner is None else str(owner.id)
        if connection.execute(select(tokens.c.id).where(tokens.c.name == new.name, tokens.c.user_id == user_id)).first():
            raise ConflictError(f"token {new.name!r} is there already.", remedy="Choose another name, or revoke that one.")
        names = [str(find_environment(connection, key).name) for key in new.environments or []]
        limited = sorted(set(names)) if new.environments is not None else None
        if who.environments is not None and not set(limited or ()) <= who.environments:
            raise ForbiddenError("a token makes tokens for its own environments alone.", remedy="Name only these environments.")
        connection.execute(
            insert(tokens).values(
                id=identity,
                name=new.name,
                sha256=digest_of(secret),
                user_id=user_id,
                access=new.access.value,
                environments=None if limited is None else msgspec.json.encode(limited).decode(),
                created_at=now,
                expires_at=_end(who, new, now),
            )
        )
        made = _view(connection.execute(_query().where(tokens.c.id == identity)).one())
        audit.record(connection, "token.create", identity, new.name, after=made)
    return MadeToken(**{name: getattr(made, name) for name in TokenView.__struct_fields__}, token=secret)


def _owner(connection: Connection, who: Actor, user: str | None) -> Row[tuple[object, ...]] | None:
    if user is None:
        return find_user(connection, who.user_id) if who.user_id else None
    if not who.governs_people and user not in (who.name, who.user_id):
        raise ForbiddenError(f"{who.name} may make no tokens for others.", remedy="Ask an admin.")
    return find_user(connection, user)


def _refuse_more_rights(who: Actor, owner: Row[tuple[object, ...]] | None, new: NewToken) -> None:
    for name, access in [(who.name, who.access)] + ([] if owner is None else [(str(owner.name), AccessLevel(owner.access))]):
        if not access.covers(new.access):
            raise ForbiddenError(
                f"token {new.name}: {name} has access {access.value}, which is less than {new.access.value}.",
                remedy=f"Make it with access {access.value}, or ask an admin for more.",
            )
    if new.expires_in_days is None and who.access is not AccessLevel.ADMIN:
        raise ForbiddenError(f"token {new.name}: only admins make tokens without an end.", remedy="Say in how many days it ends.")
    if who.environments is not None and new.environments is None:
        raise ForbiddenError(
            f"token {new.name}: the present token may change {', '.join(sorted(who.environments))} alone.",
            remedy="Name these environments, or some of them.",
        )


def _end(who: Actor, new: NewToken, now: float) -> float | None:
    """When a token ends: never later than the token with which it is made, so that a stolen one does not live on."""
    wanted = None if new.expires_in_days is None else now + new.expires_in_days * DAY
    if who.session_id or not who.token_id or who.ends_at is None:
        return wanted
    return who.ends_at if wanted is None else min(wanted, who.ends_at)


def list_all(context: ServerContext) -> list[TokenView]:
    """One's own tokens; for an admin, everybody's."""
    who = actor.current()
    query = _query()
    if who.access is not AccessLevel.ADMIN:
        query = query.where(tokens.c.user_id == who.user_id if who.user_id else tokens.c.id == who.token_id)
    with context.database.read() as connection:
        return [_view(row) for row in connection.execute(query).all()]


def revoke(context: ServerContext, key: str) -> None:
    """End a token, one's own or, as an admin, anybody's; sessions that began with its links end with it.

    Raises:
        NotFoundError: there is none.
        ConflictError: it is the server's own admin token, or several have the name.
    """
    who = actor.current()
    with context.database.transaction() as connection:
        found = connection.execute(_query().where(or_(tokens.c.id == key, tokens.c.name == key))).all()
        if not who.governs_people:
            found = [row for row in found if (row.user_id == who.user_id if who.user_id else row.id == who.token_id)]
        own = [row for row in found if row.id == key or (row.user_id or "") == who.user_id]
        row = own[0] if len(own) == 1 else found[0] if len(found) == 1 else None
        if row is None and not found:
            raise NotFoundError(f"token {key!r} is not there.", remedy="'stoker tokens list' shows yours.")
        if row is None:
            several = ", ".join(f"{item.id} of {item.user or 'the server'}" for item in found)
            raise ConflictError(
                f"several tokens are named {key!r}: {several}.",
                remedy="Give the id of the one that is meant.",
            )
        if row.id == ADMIN:
            raise ConflictError(
                "the server's own admin token is in the file admin-token and cannot be revoked.",
                remedy="To have another one, delete the file and start the server again.",
            )
        audit.record(connection, "token.revoke", row.id, row.name, before=_view(row))
        connection.execute(delete(tokens).where(tokens.c.id == row.id))
    context.identities.forget()


def _new_secret() -> str:
    return f"stoker_{secrets.token_urlsafe(32)}"


def _query() -> Select[tuple[object, ...]]:
    fields = [column for column in tokens.c if column.name != "sha256"]
    return (
        select(*fields, users.c.name.label("user"))
        .select_from(tokens.outerjoin(users, users.c.id == tokens.c.user_id))
        .order_by(users.c.name, tokens.c.name)
    )


def _view(row: Row[tuple[object, ...]]) -> TokenView:
    return TokenView(
        id=row.id,
        name=row.name,
        user=row.user or "",
        access=AccessLevel(row.access),
        environments=None if row.environments is None else msgspec.json.decode(row.environments, type=list[str]),
        created_at=row.created_at,
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
    )

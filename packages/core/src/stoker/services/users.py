# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Users: people with a password and an access level; added, changed, removed."""

from __future__ import annotations

import time
import uuid

import msgspec
from sqlalchemy import Connection, Row, delete, func, insert, or_, select, update

from stoker.db.tables import sessions, tokens, users
from stoker.domain import actor
from stoker.domain.access import AccessLevel
from stoker.domain.actor import Actor
from stoker.errors import ConflictError, ForbiddenError, InvalidInputError, NotFoundError
from stoker.services import audit, guessing, passwords
from stoker.services.context import ServerContext
from stoker.services.environments import check_name

RESERVED = ("server", "stoker", "stranger")
"""Names by which the audit calls those that are no users."""


class NewUser(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A user to add."""

    name: str
    password: str
    access: AccessLevel = AccessLevel.VIEWER


class UserChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to change of a user; what is not given stays."""

    access: AccessLevel | msgspec.UnsetType = msgspec.UNSET
    disabled: bool | msgspec.UnsetType = msgspec.UNSET
    """Whether they are kept out: their tokens do nothing, their sessions have ended."""


class NewPassword(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A password to set."""

    password: str
    old_password: str = ""
    """The present one; needed to change one's own."""


class UserView(msgspec.Struct, frozen=True, kw_only=True):
    """One user; nothing of the password is part of an answer."""

    id: str
    name: str
    access: AccessLevel
    disabled: bool
    created_at: float
    tokens: int
    """How many tokens they have."""


def add(context: ServerContext, new: NewUser) -> UserView:
    """Add a user.

    Raises:
        InvalidInputError: name or password do not fit.
        ConflictError: the name is taken.
    """
    check_name("user", new.name)
    if new.name.lower() in RESERVED:
        raise InvalidInputError(f"user {new.name}: this name means the server itself.", remedy="Choose another name.")
    passwords.refuse_weak(new.name, new.password)
    password, identity = passwords.hashed(new.password), uuid.uuid4().hex
    with context.database.transaction() as connection:
        if connection.execute(select(users.c.id).where(users.c.name == new.name)).first():
            raise ConflictError(f"user {new.name!r} is there already.", remedy="Choose another name, or change that user.")
        connection.execute(
            insert(users).values(
                id=identity,
                name=new.name,
                password=password,
                access=new.access.value,
                disabled=False,
                created_at=time.time(),
            )
        )
        audit.record(connection, "user.add", identity, new.name, after={"access": new.access, "disabled": False})
        return _view(connection, find_user(connection, identity))


def list_all(context: ServerContext) -> list[UserView]:
    """All users, by name."""
    with context.database.read() as connection:
        return [_view(connection, row) for row in connection.execute(select(users).order_by(users.c.name)).all()]


def show(context: ServerContext, key: str) -> UserView:
    """One user: oneself, or anybody for an admin.

    Raises:
        ForbiddenError: it is somebody else.
        NotFoundError: there is none.
    """
    who = actor.current()
    if who.access is not AccessLevel.ADMIN:
        _refuse_others(who, key, "look at")
    with context.database.read() as connection:
        return _view(connection, find_user(connection, key))


def change(context: ServerContext, key: str, wanted: UserChange) -> UserView:
    """Change a user's access, or keep them out.

    Raises:
        NotFoundError: there is none.
        ConflictError: it would leave no enabled admin.
    """
    with context.database.transaction() as connection:
        row = find_user(connection, key)
        access = AccessLevel(row.access) if wanted.access is msgspec.UNSET else wanted.access
        disabled = bool(row.disabled) if wanted.disabled is msgspec.UNSET else wanted.disabled
        if (access, disabled) != (row.access, row.disabled):
            if disabled or access is not AccessLevel.ADMIN:
                _refuse_last_admin(connection, row, "kept out" if disabled else "demoted")
            connection.execute(update(users).where(users.c.id == row.id).values(access=access.value, disabled=disabled))
            if disabled:
                connection.execute(delete(sessions).where(sessions.c.user_id == row.id))
            before = {"access": row.access, "disabled": row.disabled}
            audit.record(
                connection, "user.change", row.id, row.name, before=before, after={"access": access, "disabled": disabled}
            )
        view = _view(connection, find_user(connection, str(row.id)))
    context.identities.forget()
    return view


def set_password(context: ServerContext, key: str, wanted: NewPassword) -> UserView:
    """Set a password and end the user's other sessions; one's own needs the old one.

    Raises:
        ForbiddenError: it is somebody else, or the old password is wrong.
        NotFoundError: there is no such user.
        InvalidInputError: the new password does not fit.
        TooManyAttemptsError: the old password was wrong too often.
    """
    who = actor.current()
    if not who.governs_people:
        _refuse_others(who, key, "change")
    with context.database.read() as connection:
        row = find_user(connection, key)
    counted = guessing.limits(str(row.name), who.address) if row.id == who.user_id else {}
    if counted:
        with context.database.transaction() as connection:
            guessing.begin(connection, counted)
        if not passwords.fits(str(row.password), wanted.old_password):
            raise ForbiddenError("the old password is wrong.", remedy="Give it, or ask an admin to set a new one.")
    passwords.refuse_weak(str(row.name), wanted.password)
    password = passwords.hashed(wanted.password)
    with context.database.transaction() as connection:
        find_user(connection, str(row.id))  # it may have been removed meanwhile
        guessing.succeeded(connection, counted)
        connection.execute(update(users).where(users.c.id == row.id).values(password=password))
        connection.execute(delete(sessions).where(sessions.c.user_id == row.id, sessions.c.id != who.session_id))
        audit.record(connection, "user.set-password", row.id, row.name)
        view = _view(connection, row)
    context.identities.forget()
    return view


def remove(context: ServerContext, key: str) -> None:
    """Remove a user; their tokens and sessions end at once.

    Raises:
        NotFoundError: there is none.
        ConflictError: it is the last enabled admin.
    """
    with context.database.transaction() as connection:
        row = find_user(connection, key)
        _refuse_last_admin(connection, row, "removed")
        view = _view(connection, row)
        before = {"access": view.access, "disabled": view.disabled, "tokens": view.tokens}
        audit.record(connection, "user.remove", row.id, row.name, before=before)
        for table in (sessions, tokens):
            connection.execute(delete(table).where(table.c.user_id == row.id))
        connection.execute(delete(users).where(users.c.id == row.id))
    context.identities.forget()


def find_user(connection: Connection, key: str) -> Row[tuple[object, ...]]:
    """A user by id or name. Raises NotFoundError."""
    row = connection.execute(select(users).where(or_(users.c.id == key, users.c.name == key))).first()
    if row is None:
        raise NotFoundError(f"user {key!r} is not there.", remedy="'stoker users list' shows all.")
    return row


def _refuse_others(who: Actor, key: str, what: str) -> None:
    if key not in (who.name, who.user_id):
        how = f" with token {who.token!r}" if who.token else ""
        raise ForbiddenError(f"{who.name}{how} may {what} no other user than {who.name}.", remedy="Ask an admin.")


def _refuse_last_admin(connection: Connection, row: Row[tuple[object, ...]], what: str) -> None:
    """Users must not lock themselves out; who holds the server's own token is an admin whatever becomes of the users."""
    if actor.current().kind == "server" or row.disabled or row.access != AccessLevel.ADMIN:
        return
    others = select(func.count()).where(
        users.c.id != row.id, users.c.access == AccessLevel.ADMIN.value, users.c.disabled.is_(False)
    )
    if not connection.execute(others).scalar_one():
        raise ConflictError(
            f"user {row.name} is the last enabled admin and cannot be {what}.",
            remedy="Make another user admin first, or do it with the token of the server's admin-token file.",
        )


def _view(connection: Connection, row: Row[tuple[object, ...]]) -> UserView:
    count = connection.execute(select(func.count()).where(tokens.c.user_id == row.id)).scalar_one()
    return UserView(
        id=row.id,
        name=row.name,
        access=AccessLevel(row.access),
        disabled=row.disabled,
        created_at=row.created_at,
        tokens=count,
    )

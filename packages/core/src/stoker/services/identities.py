# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Who comes with a token or a session: looked up by digest, and remembered for a moment so that reads cost no query for it."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from typing import Final, Literal

import msgspec
from sqlalchemy import Connection, Row, select, update

from stoker.db.database import Database
from stoker.db.tables import sessions, tokens, users
from stoker.domain.access import AccessLevel
from stoker.domain.actor import Actor

Kind = Literal["token", "session"]
REMEMBERED_SECONDS: Final = 1.0
"""How long another process may still let in who was just shut out; in the process that shuts out it is at once."""
IDLE_SECONDS: Final = 2 * 3600.0
"""A browser's session ends after so long without a request."""
_USED_SECONDS: Final = 300.0
"""How seldom it is written down that a token or session was used."""
_MOST: Final = 10_000


def digest_of(secret: str) -> str:
    """What is stored of a token, session or link: they are random, so one round of SHA-256 hides them."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


class Identities:
    """The people and programs that a server knows."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        """Look them up in this database."""
        self._database = database
        self._clock = clock
        self._known: dict[tuple[Kind, str], tuple[Actor, float]] = {}
        self._forgotten = 0
        self._lock = threading.Lock()

    def remembered(self, kind: Kind, digest: str) -> Actor | None:
        """Who it is, if that was asked a moment ago."""
        found = self._known.get((kind, digest))
        return found[0] if found is not None and found[1] > self._clock() else None

    def look_up(self, kind: Kind, digest: str) -> Actor | None:
        """Who it is by the database; ``None`` for who is not known, has ended, or is disabled."""
        turn, now = self._forgotten, time.time()
        with self._database.read() as connection:
            found = _token(connection, digest, now) if kind == "token" else _session(connection, digest, now)
        if found is None:
            return None
        actor, used_at = found
        if now - used_at > _USED_SECONDS:
            table = tokens if kind == "token" else sessions
            with self._database.transaction() as connection:
                connection.execute(update(table).where(table.c.sha256 == digest).values(last_used_at=now))
        with self._lock:
            if turn == self._forgotten:  # nobody was shut out while we looked
                if len(self._known) >= _MOST:
                    self._known.clear()
                self._known[kind, digest] = (actor, self._clock() + REMEMBERED_SECONDS)
        return actor

    def stands(self, who: Actor) -> bool:
        """Whether somebody who came in long ago would still be let in: for answers that take long."""
        now = time.time()
        with self._database.read() as connection:
            if who.session_id:
                digest = connection.execute(select(sessions.c.sha256).where(sessions.c.id == who.session_id)).scalar()
                return digest is not None and _session(connection, digest, now) is not None
            if who.token_id:
                digest = connection.execute(select(tokens.c.sha256).where(tokens.c.id == who.token_id)).scalar()
                return digest is not None and _token(connection, digest, now) is not None
        return True

    def forget(self) -> None:
        """Look everybody up anew: somebody's rights have changed."""
        with self._lock:
            self._forgotten += 1
            self._known.clear()


def _token(connection: Connection, digest: str, now: float) -> tuple[Actor, float] | None:
    row = connection.execute(
        select(
            tokens,
            users.c.name.label("user"),
            users.c.access.label("user_access"),
            users.c.disabled,
        )
        .select_from(tokens.outerjoin(users, users.c.id == tokens.c.user_id))
        .where(tokens.c.sha256 == digest)
    ).first()
    if row is None or row.disabled or (row.expires_at is not None and row.expires_at <= now):
        return None
    return _actor(row, token=str(row.name), token_id=str(row.id)), row.last_used_at or 0.0


def _session(connection: Connection, digest: str, now: float) -> tuple[Actor, float] | None:
    row = connection.execute(
        select(
            sessions,
            tokens.c.name.label("token"),
            users.c.name.label("user"),
            users.c.access.label("user_access"),
            users.c.disabled,
        )
        .select_from(
            sessions.outerjoin(users, users.c.id == sessions.c.user_id).outerjoin(tokens, tokens.c.id == sessions.c.token_id)
        )
        .where(sessions.c.sha256 == digest)
    ).first()
    if row is None or row.disabled or row.expires_at <= now or row.last_used_at <= now - IDLE_SECONDS:
        return None
    return _actor(row, token=str(row.token or ""), token_id=str(row.token_id or ""), session_id=str(row.id)), row.last_used_at


def _actor(row: Row[tuple[object, ...]], *, token: str, token_id: str, session_id: str = "") -> Actor:
    access = AccessLevel(row.access)
    return Actor(
        kind="server" if row.user_id is None else "user",
        name=row.user or "server",
        access=access if row.user_id is None else access.at_most(AccessLevel(row.user_access)),
        environments=None if row.environments is None else frozenset(msgspec.json.decode(row.environments, type=list[str])),
        token=token,
        token_id=token_id,
        user_id=row.user_id or "",
        session_id=session_id,
        ends_at=row.expires_at,
    )

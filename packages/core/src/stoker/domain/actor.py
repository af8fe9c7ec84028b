# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The actor: on whose behalf the present work is done; set at the door, known wherever something is changed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

import msgspec

from stoker.domain.access import AccessLevel


class Actor(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who does something, and by which way they came in."""

    kind: Literal["user", "server", "system", "stranger"]
    """``user``: a person or their token. ``server``: who has the server's own admin token. ``system``: the server by itself.
    ``stranger``: not signed in."""
    name: str
    """The user's name; ``server``, ``stoker`` or ``stranger`` for the others."""
    access: AccessLevel
    environments: frozenset[str] | None = None
    """Names of the only environments that they may change; ``None`` for all."""
    token: str = ""
    """The token's name; empty for who signed in with a browser."""
    token_id: str = ""
    user_id: str = ""
    session_id: str = ""
    ends_at: float | None = None
    """When token or session end by themselves."""
    address: str = ""
    """Where the request came from."""
    request_id: str = ""
    """Given to each request, and written to log and audit."""
    through: str = ""
    """The plugin whose code asks in their name; empty for who asks by themselves."""

    @property
    def governs_people(self) -> bool:
        """Whether they decide about other people's passwords and tokens: people belong to no environment."""
        return self.access is AccessLevel.ADMIN and self.environments is None


SYSTEM = Actor(kind="system", name="stoker", access=AccessLevel.ADMIN)
"""The server by itself: background work, first start."""

STRANGER = Actor(kind="stranger", name="stranger", access=AccessLevel.VIEWER)
"""Who is not signed in; the door lets them to the few open routes alone."""

_current: ContextVar[Actor] = ContextVar("stoker_actor", default=SYSTEM)


def current() -> Actor:
    """Who the present work is done for; threads and tasks started from it inherit that."""
    return _current.get()


def set_current(actor: Actor) -> None:
    """Say who the present task works for, until it ends."""
    _current.set(actor)


@contextmanager
def acting_as(actor: Actor) -> Iterator[None]:
    """Do something as somebody."""
    token = _current.set(actor)
    try:
        yield
    finally:
        _current.reset(token)

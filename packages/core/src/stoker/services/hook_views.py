# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The serializer hooks that an environment uses, as people see them: how fresh their data are, and why not."""

from __future__ import annotations

import time
from typing import Literal

import msgspec

from stoker.db.environments import find_environment
from stoker.db.refresh_queue import hooks_that_wait
from stoker.db.serializer_hooks import hooks_of
from stoker.services.context import ServerContext


class SerializerHookView(msgspec.Struct, frozen=True, kw_only=True):
    """One hook."""

    plugin: str
    name: str
    target: str
    """``node``, ``environment`` or ``deployment``."""
    state: Literal["fresh", "pending", "stale"]
    """``pending``: it gave nothing yet. ``stale``: something of it is made anew, or shall be."""
    published_at: float | None
    """When it last ended well."""
    failures: int
    """How often it failed since."""
    reason: str
    """Of the last failure; empty if it ended well."""
    next_try: float | None
    """When it is called again after a failure."""
    time_to_live: float
    """Seconds after which its data are made anew in any case; 0 if they are not."""


def list_hooks(context: ServerContext, environment: str) -> list[SerializerHookView]:
    """The hooks that an environment uses, by plugin and name. Raises NotFoundError: there is no such environment."""
    now = time.time()
    with context.database.read() as connection:
        home = str(find_environment(connection, environment).id)
        waiting = hooks_that_wait(connection, home)
        rows = hooks_of(connection, home)
    return [
        SerializerHookView(
            plugin=row.plugin,
            name=row.name,
            target=row.target,
            state="pending" if row.published_at is None else "stale" if (row.plugin, row.name) in waiting else "fresh",
            published_at=row.published_at,
            failures=row.failures,
            reason=row.reason,
            next_try=row.not_before if row.not_before > now else None,
            time_to_live=row.time_to_live,
        )
        for row in rows
    ]

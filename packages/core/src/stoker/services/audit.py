# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The audit: who changed what, when and from where; written in the transaction of the change itself, never changed."""

from __future__ import annotations

import time
from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection, insert

from stoker.db.tables import audit_log
from stoker.domain import actor


def record(
    connection: Connection,
    action: str,
    identity: str,
    name: str,
    *,
    environment: str = "",
    before: object = None,
    after: object = None,
) -> None:
    """Write down a change, in the transaction that makes it; the actor is the present one (``stoker.domain.actor``).

    Args:
        connection: the change's own.
        action: ``KIND.VERB``, e.g. ``environment.create``; the kind is that of the object.
        identity: the object's id.
        name: what people call the object.
        environment: the name of the environment that it belongs to, if to one.
        before: what was there, as a plain value or a struct; of a large object, what changes of it. Never a secret.
        after: what is there now, likewise.
    """
    record_as(connection, actor.current(), action, identity, name, environment=environment, before=before, after=after)


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What ``record_all`` writes of one object; the fields are those of ``record``."""

    identity: str
    name: str
    before: object = None
    after: object = None


def record_all(connection: Connection, action: str, entries: Sequence[Entry], *, environment: str = "") -> None:
    """Like ``record``, for many objects with which the same was done in one call."""
    who = actor.current()
    rows = [_row(who, action, item.identity, item.name, environment, item.before, item.after) for item in entries]
    if rows:
        connection.execute(insert(audit_log), rows)


def record_as(
    connection: Connection,
    who: actor.Actor,
    action: str,
    identity: str,
    name: str,
    *,
    environment: str = "",
    before: object = None,
    after: object = None,
) -> None:
    """Like ``record``, for somebody who is not the present actor, e.g. one who signs in."""
    connection.execute(insert(audit_log).values(_row(who, action, identity, name, environment, before, after)))


def _row(
    who: actor.Actor, action: str, identity: str, name: str, environment: str, before: object, after: object
) -> dict[str, object]:
    return {
        "at": time.time(),
        "actor_kind": who.kind,
        "actor": who.name,
        "token": who.token,
        "address": who.address,
        "request_id": who.request_id,
        "action": action,
        "object_kind": action.partition(".")[0],
        "object_id": identity,
        "object": name,
        "environment": environment,
        "before": _text(before),
        "after": _text(after),
    }


def _text(value: object) -> str | None:
    return None if value is None else msgspec.json.encode(value, enc_hook=str, order="deterministic").decode()

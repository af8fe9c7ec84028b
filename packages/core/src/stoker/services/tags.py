# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Tags: short names for the state of a thing; a change that was made for another state is refused, and nothing is lost."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Collection
from typing import Final

import msgspec
from sqlalchemy import Connection, select

from stoker.db.tables import audit_log
from stoker.errors import OutdatedEditError

_BYTES: Final = 12


def tag(view: object, apart: Collection[str] = ()) -> str:
    """The tag of a view: of what people set in it, and after a dash of everything that it shows.

    Args:
        view: what the API shows.
        apart: fields that change by themselves: a change of these alone makes no edit outdated.
    """
    whole = msgspec.json.encode(view)
    if not apart:
        return _hash(whole)
    edited = {name: getattr(view, name) for name in getattr(view, "__struct_fields__", ()) if name not in apart}
    return f"{_hash(msgspec.json.encode(edited))}-{_hash(whole)}"


def _hash(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=_BYTES).hexdigest()


def refuse_outdated(
    connection: Connection, wanted: str, present: str | None, what: str, *, kind: str, identity: str, environment: str = ""
) -> None:
    """Refuse an edit that was made for another state.

    Args:
        connection: in which the edit is made.
        wanted: the request's If-Match: tags in quotes, or ``*`` for any state; empty if the caller does not care.
        present: the tag of what is there; ``None`` if it is gone.
        what: how people call it.
        kind: the object's kind in the audit.
        identity: its id there.
        environment: its environment there.

    Raises:
        OutdatedEditError: the state is another one; who made it so is named.
    """
    if not wanted:
        return
    tags = [item.strip() for item in wanted.split(",")]
    if present is not None and ("*" in tags or any(_edited(item) == _edited(f'"{present}"') for item in tags)):
        return
    who = _last_change(connection, kind, identity, environment)
    state = "is not there any longer" if present is None else "has changed since you read it"
    raise OutdatedEditError(
        f"{what} {state}{f' ({who})' if who else ''}.",
        remedy="Nothing was changed. Read it again, see whether your change still fits, and repeat it.",
    )


def _edited(quoted: str) -> str:
    """The part of a tag that tells of what people set; of a weak tag all, for it is no proof."""
    return quoted.strip('"').partition("-")[0] if not quoted.startswith("W/") else quoted


def _last_change(connection: Connection, kind: str, identity: str, environment: str) -> str:
    table = audit_log.c
    query = select(table.actor, table.action, table.at).where(table.object_kind == kind, table.object_id == identity)
    if environment:
        query = query.where(table.environment == environment)
    row = connection.execute(query.order_by(table.id.desc()).limit(1)).first()
    if row is None:
        return ""
    return f"{row.action} by {row.actor} at {time.strftime('%Y-%m-%d %H:%M:%S UTC', time.gmtime(row.at))}"

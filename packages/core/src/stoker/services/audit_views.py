# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Reading the audit: newest first in parts, and all of it as lines of JSON or as a table for a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final, Literal, TypeAlias

import msgspec
from sqlalchemy import ColumnElement, Row, or_, select

from stoker.db.tables import audit_log
from stoker.services.context import ServerContext
from stoker.services.windows import Part, Window, cut, look

Format: TypeAlias = Literal["jsonl", "csv"]
_BATCH: Final = 1000
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What a spreadsheet takes for the beginning of a formula."""


class AuditFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which entries are wanted: those that fit everything that is given."""

    actor: str = ""
    """The user's name, ``server`` or ``stoker``."""
    action: str = ""
    """An action, e.g. ``node.assign``, or a kind of object, e.g. ``node``."""
    object: str = ""
    """The object's name or id."""
    environment: str = ""
    """The environment's name."""
    since: float | None = None
    """Entries of this moment and later."""
    until: float | None = None
    """Entries before this moment."""


class AuditView(msgspec.Struct, frozen=True, kw_only=True):
    """One change."""

    id: int
    at: float
    actor: str
    """The user's name; ``server`` for who had a token of the server itself, ``stoker`` for the server by itself."""
    actor_kind: str
    """``user``, ``server``, ``system`` or ``stranger``."""
    token: str
    """The name of the token that was used; empty for who signed in with a password."""
    address: str
    """Where the request came from."""
    request: str
    """The request's id, which the log has, too."""
    action: str
    """``KIND.VERB``, e.g. ``environment.create``."""
    kind: str
    """The kind of the object."""
    object_id: str
    object: str
    """The object's name."""
    environment: str
    before: msgspec.Raw | None
    """What was there; null if nothing was, or if it does not matter."""
    after: msgspec.Raw | None
    """What was there then."""


def list_entries(context: ServerContext, window: Window, wanted: AuditFilter) -> Part[AuditView]:
    """Entries, newest first."""
    query = look(select(audit_log).where(*_conditions(wanted)), window, audit_log.c.id, newest_first=True)
    with context.database.read() as connection:
        rows, last = cut(connection.execute(query).all(), window, _key)
    return Part([_view(row) for row in rows], last)


def export(context: ServerContext, wanted: AuditFilter, form: Format) -> Iterator[bytes]:
    """All entries, oldest first, a piece at a time; no connection is held between pieces."""
    if form == "csv":
        yield _table([[*AuditView.__struct_fields__]])
    last = 0
    while True:
        query = select(audit_log).where(audit_log.c.id > last, *_conditions(wanted)).order_by(audit_log.c.id).limit(_BATCH)
        with context.database.read() as connection:
            rows = connection.execute(query).all()
        if not rows:
            return
        last = int(rows[-1].id)
        views = [_view(row) for row in rows]
        yield _table([_cells(view) for view in views]) if form == "csv" else msgspec.json.Encoder().encode_lines(views)


def _conditions(wanted: AuditFilter) -> list[ColumnElement[bool]]:
    table = audit_log.c
    found: list[ColumnElement[bool]] = []
    if wanted.actor:
        found.append(table.actor == wanted.actor)
    if wanted.action:
        found.append((table.action if "." in wanted.action else table.object_kind) == wanted.action)
    if wanted.object:
        found.append(or_(table.object == wanted.object, table.object_id == wanted.object))
    if wanted.environment:
        found.append(table.environment == wanted.environment)
    if wanted.since is not None:
        found.append(table.at >= wanted.since)
    if wanted.until is not None:
        found.append(table.at < wanted.until)
    return found


def _key(row: Any) -> tuple[int]:  # noqa: ANN401  a row
    return (int(row.id),)


def _view(row: Row[tuple[Any, ...]]) -> AuditView:
    return AuditView(
        id=row.id,
        at=row.at,
        actor=row.actor,
        actor_kind=row.actor_kind,
        token=row.token,
        address=row.address,
        request=row.request_id,
        action=row.action,
        kind=row.object_kind,
        object_id=row.object_id,
        object=row.object,
        environment=row.environment,
        before=None if row.before is None else msgspec.Raw(row.before.encode()),
        after=None if row.after is None else msgspec.Raw(row.after.encode()),
    )


def _cells(view: AuditView) -> list[str]:
    values = {name: getattr(view, name) for name in AuditView.__struct_fields__}
    values["at"] = datetime.fromtimestamp(view.at, UTC).isoformat(timespec="milliseconds")
    return [
        bytes(value).decode() if isinstance(value, msgspec.Raw) else "" if value is None else str(value)
        for value in values.values()
    ]


def _table(rows: list[list[str]]) -> bytes:
    """Lines of CSV (RFC 4180) in which no cell is a formula: one that looks like it gets an apostrophe before it."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_ALL)
    writer.writerows([[f"'{cell}" if cell.startswith(_FORMULA) else cell for cell in row] for row in rows])
    return text.getvalue().encode()

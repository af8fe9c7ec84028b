# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Reading the audit: parts, filters, and a table that no spreadsheet takes for a program."""

from __future__ import annotations

import csv
import io
import json

import pytest
from stoker.db.tables import audit_log
from stoker.domain import actor
from stoker.services import audit, audit_views
from stoker.services.audit_views import AuditFilter
from stoker.services.context import ServerContext
from stoker.services.windows import Window

pytestmark = pytest.mark.databases("sqlite", "postgresql")

EVIL = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\uff1d1"]


@pytest.fixture
def told(server_context: ServerContext) -> ServerContext:
    """A server with one entry for each evil name, in two environments."""
    who = actor.Actor(kind="user", name="anna", access=actor.AccessLevel.OPERATOR)
    with actor.acting_as(who), server_context.database.transaction() as connection:
        for number, name in enumerate(EVIL):
            audit.record(connection, "node.add", f"n{number}", name, environment=f"e{number % 2}", after={"name": name})
    return server_context


def test_the_list_comes_in_parts_newest_first(told: ServerContext) -> None:
    mine = AuditFilter(actor="anna")
    first = audit_views.list_entries(told, Window(limit=5), mine)
    assert first.last is not None
    second = audit_views.list_entries(told, Window(limit=5, after=first.last), mine)
    assert second.last is None
    assert [entry.object for entry in [*first.items, *second.items]] == EVIL[::-1]


@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        (AuditFilter(actor="anna"), 8),
        (AuditFilter(actor="bob"), 0),
        (AuditFilter(actor="anna", action="node"), 8),
        (AuditFilter(action="node.add"), 8),
        (AuditFilter(action="node.ad"), 0),
        (AuditFilter(environment="e1"), 4),
        (AuditFilter(object="n3"), 1),
        (AuditFilter(object="-1"), 1),
        (AuditFilter(actor="anna", since=1.0), 8),
        (AuditFilter(actor="anna", until=1.0), 0),
    ],
)
def test_filters(told: ServerContext, wanted: AuditFilter, count: int) -> None:
    assert len(audit_views.list_entries(told, Window(), wanted).items) == count


def test_no_cell_of_the_table_is_a_formula(told: ServerContext) -> None:
    text = b"".join(audit_views.export(told, AuditFilter(actor="anna"), "csv")).decode()
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [row["object"] for row in rows] == [f"'{name}" for name in EVIL]
    assert not [cell for row in rows for cell in row.values() if cell[:1] in tuple("=+-@\t\r\n")]
    assert [json.loads(row["after"])["name"] for row in rows] == EVIL


def test_lines_of_json_are_the_entries(told: ServerContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_views, "_BATCH", 3)
    text = b"".join(audit_views.export(told, AuditFilter(actor="anna"), "jsonl")).decode()
    assert [json.loads(line)["after"]["name"] for line in text.splitlines()] == EVIL
    assert set(json.loads(text.splitlines()[0])) == {*audit_log.c.keys()} - {"object_kind", "request_id"} | {"kind", "request"}

# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The audit: in the change's transaction, with the actor, and never changed."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import delete, select, text, update
from sqlalchemy.exc import IntegrityError
from stoker.db.database import Database
from stoker.db.tables import audit_log
from stoker.domain import actor
from stoker.domain.access import AccessLevel
from stoker.domain.actor import Actor
from stoker.services import audit
from stoker.services.context import ServerContext

pytestmark = pytest.mark.databases("sqlite", "postgresql")

ANNA = Actor(kind="user", name="anna", access=AccessLevel.OPERATOR, token="ci", address="192.0.2.7", request_id="r1")


@pytest.fixture
def database(database_url: str):
    opened = Database(database_url)
    opened.migrate()
    yield opened
    opened.close()


def rows(database: Database):
    with database.read() as connection:
        return connection.execute(select(audit_log).order_by(audit_log.c.id)).all()


def test_who_what_before_and_after(database: Database) -> None:
    with actor.acting_as(ANNA), database.transaction() as connection:
        audit.record(connection, "node.change", "n1", "web1", environment="prod", before={"port": 22}, after={"port": 2222})
    (row,) = rows(database)
    assert (row.actor_kind, row.actor, row.token, row.address, row.request_id) == ("user", "anna", "ci", "192.0.2.7", "r1")
    assert (row.action, row.object_kind, row.object_id, row.object) == ("node.change", "node", "n1", "web1")
    assert (row.environment, row.before, row.after) == ("prod", '{"port":22}', '{"port":2222}')


def test_a_change_that_fails_leaves_no_word(database: Database) -> None:
    with pytest.raises(RuntimeError), database.transaction() as connection:
        audit.record(connection, "node.change", "n1", "web1")
        raise RuntimeError
    assert rows(database) == []


def test_the_log_can_only_grow(database: Database) -> None:
    with database.transaction() as connection:
        audit.record(connection, "node.add", "n1", "web1")
    changes = [update(audit_log).values(actor="nobody"), delete(audit_log)]
    if database.engine.dialect.name == "postgresql":
        changes.append(text("TRUNCATE audit_log"))
    for change in changes:
        with pytest.raises(IntegrityError, match="append-only"), database.transaction() as connection:
            connection.execute(change)
    assert [row.actor for row in rows(database)] == ["stoker"]


def test_long_work_in_a_thread_is_done_for_the_same_actor(server_context: ServerContext) -> None:
    async def handle() -> Actor:
        actor.set_current(ANNA)
        return await server_context.at_length(actor.current)

    assert asyncio.run(handle()) == ANNA
    assert actor.current() == actor.SYSTEM

# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The journal waits for a database that is locked, and gives up where waiting does not help."""

from __future__ import annotations

import asyncio
import logging
import sqlite3

import pytest
from sqlalchemy import event, insert, text
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from stoker.db import tables
from stoker.db.database import Database
from stoker.db.deployments import events_after, read_history
from stoker.db.faults import passes
from stoker.db.journal import Event, JournalEntry
from stoker.orchestration.journal import Journal, LostLeaseError
from stoker.orchestration.patience import patiently


@pytest.fixture
def database(database_kind: str, database_url: str):
    opened = Database(database_url)
    if database_kind == "sqlite":
        event.listen(opened.engine, "connect", lambda connection, _: connection.execute("PRAGMA busy_timeout=20"))
    opened.migrate()
    with opened.transaction() as connection:
        connection.execute(insert(tables.environments).values(id="e", name="e", created_at=0.0, revision=1))
        connection.execute(
            insert(tables.plans).values(
                id="p", environment_id="e", digest="d", revision=1, summary="{}", snapshot=b"", body=b"", created_at=0.0
            )
        )
        rows = [{"id": "d", "retry_of": None, "state": "failed"}, {"id": "again", "retry_of": "d", "state": "running"}]
        for row in rows:
            connection.execute(insert(tables.deployments).values(environment_id="e", plan_id="p", created_at=0.0, epoch=1, **row))
    yield opened
    opened.close()


def entry(kind: str = "note", deployment: str = "d", epoch: int = 1, **fields: object) -> JournalEntry:
    return JournalEntry(deployment_id=deployment, epoch=epoch, events=[Event(kind=kind, **fields)])


@pytest.mark.databases("sqlite")
async def test_a_locked_database_is_tried_until_it_opens_and_told_once(database: Database, caplog) -> None:
    other = sqlite3.connect(database.url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    journal = Journal(database)
    with caplog.at_level(logging.WARNING):
        written = journal.submit(entry(data={"message": "late"}))
        await asyncio.sleep(1.0)
        assert not written.done()
        other.execute("ROLLBACK")
        await asyncio.wait_for(written, 10)
    with pytest.raises(LostLeaseError):
        await journal.submit(entry(epoch=2))
    await journal.close()
    other.close()
    with database.read() as connection:
        assert [row.data for row in events_after(connection, "d", 0)] == ['{"message":"late"}']
    told = [record.message for record in caplog.records]
    assert len(told) == 2
    assert "database is locked" in told[0]
    assert "again" in told[1]


@pytest.mark.databases("sqlite")
async def test_a_server_that_ends_does_not_wait_for_a_locked_database(database: Database) -> None:
    other = sqlite3.connect(database.url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    journal = Journal(database)
    written = journal.submit(entry())
    await asyncio.sleep(0.2)
    await asyncio.wait_for(journal.close(), 5)
    with pytest.raises(OperationalError):
        await written
    other.close()


@pytest.mark.databases("postgresql")
async def test_a_commit_whose_answer_is_lost_is_not_written_twice(database: Database) -> None:
    journal = Journal(database)
    await journal.submit(entry())
    lost = []

    def lose_the_answer(connection) -> None:
        if not lost:
            lost.append(True)
            connection.connection.dbapi_connection.commit()
            connection.connection.dbapi_connection.close()

    event.listen(database.engine, "commit", lose_the_answer)
    await asyncio.wait_for(journal.submit(entry("finished")), 10)
    await asyncio.wait_for(journal.submit(entry("finished", task="next")), 10)
    await journal.close()
    assert lost
    with database.read() as connection:
        assert [(row.kind, row.task) for row in events_after(connection, "d", 0)] == [
            ("note", ""),
            ("finished", ""),
            ("finished", "next"),
        ]


@pytest.mark.databases("sqlite", "postgresql")
@pytest.mark.parametrize("bad", [{"data": {"o": object()}}, {"node": None}], ids=["not JSON", "not a row"])
async def test_what_can_never_be_written_fails_at_once_and_the_journal_goes_on(
    database: Database, bad: dict[str, object]
) -> None:
    journal = Journal(database)
    with pytest.raises((TypeError, SQLAlchemyError)):
        await asyncio.wait_for(journal.submit(entry(**bad)), 5)
    await asyncio.wait_for(journal.submit(entry()), 5)
    await journal.close()


@pytest.mark.databases("sqlite", "postgresql")
async def test_what_one_deployment_cannot_write_harms_no_other(database: Database) -> None:
    journal = Journal(database)
    await journal.submit(entry())  # what comes now waits for the next group
    bad, good = journal.submit(entry(data={"o": object()})), journal.submit(entry(deployment="again"))
    await asyncio.wait_for(good, 5)
    with pytest.raises(TypeError):
        await bad
    await journal.close()


@pytest.mark.databases("sqlite")
async def test_only_what_passes_is_tried_again(database: Database) -> None:
    tries = []

    def missing_table() -> None:
        tries.append(1)
        with database.transaction() as connection:
            connection.execute(text("DELETE FROM nowhere"))

    with pytest.raises(OperationalError, match="no such table") as fault:
        await patiently("the test", missing_table)
    assert tries == [1]
    assert not passes(fault.value)


@pytest.mark.databases("sqlite", "postgresql")
async def test_an_attempt_keeps_its_id_whoever_looks_for_it(database: Database) -> None:
    journal = Journal(database)
    place = {"node": "n", "task": "p.t"}
    await journal.submit(entry("dispatched", **place, attempt=2, data={"id": "d.0.0.2"}))
    with database.read() as connection:
        found = read_history(connection, "again")["n", "p.t"]
    assert found.open is not None
    assert (found.open.id, found.open.deployment, found.open.number, found.attempts) == ("d.0.0.2", "d", 2, 0)
    await journal.submit(entry("dispatched", "again", **place, attempt=1, data={"id": "d.0.0.2"}))
    await journal.submit(entry("finished", "again", **place, attempt=1, data={"exit_status": 0}))
    await journal.close()
    with database.read() as connection:
        found = read_history(connection, "again")["n", "p.t"]
    assert (found.open, found.done, found.finished) == (None, True, ["d.0.0.2"])

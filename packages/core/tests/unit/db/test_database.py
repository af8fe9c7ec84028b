# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The database: migrations lead to the tables, transactions hold, the vault opens only with its key."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError, InternalError
from stoker.db import tables
from stoker.db.database import Database
from stoker.db.vault import Vault
from stoker.errors import ConfigurationError

pytestmark = pytest.mark.databases("sqlite", "postgresql")


@pytest.fixture
def database(database_url: str):
    opened = Database(database_url)
    opened.migrate()
    yield opened
    opened.close()


def test_migrations_lead_to_the_tables(database: Database) -> None:
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, tables.metadata) == []


def test_migrating_again_changes_nothing(database: Database) -> None:
    with database.transaction() as connection:
        connection.execute(insert(tables.server_state).values(key="k", value="v"))
    database.migrate()
    with database.read() as connection:
        assert connection.execute(select(tables.server_state.c.value)).scalar_one() == "v"


def test_a_failed_transaction_leaves_nothing(database: Database) -> None:
    with pytest.raises(IntegrityError), database.transaction() as connection:
        connection.execute(insert(tables.server_state).values(key="k", value="v"))
        connection.execute(insert(tables.server_state).values(key="k", value="again"))
    with database.read() as connection:
        assert connection.execute(select(tables.server_state)).all() == []


def test_foreign_keys_are_kept(database: Database) -> None:
    with pytest.raises(IntegrityError), database.transaction() as connection:
        connection.execute(insert(tables.node_roles).values(node_id="nobody", role="r"))


def test_writers_in_many_threads_all_get_through(database: Database) -> None:
    def write(number: int) -> None:
        for turn in range(20):
            with database.transaction() as connection:
                connection.execute(insert(tables.server_state).values(key=f"{number}.{turn}", value="v"))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as connection:
        assert len(connection.execute(select(tables.server_state)).all()) == 160


def test_a_reader_sees_one_state(database: Database) -> None:
    with database.read() as reader:
        assert reader.execute(select(tables.server_state)).all() == []
        with database.transaction() as writer:
            writer.execute(insert(tables.server_state).values(key="k", value="v"))
        assert reader.execute(select(tables.server_state)).all() == []


def test_texts_sort_by_their_bytes_whatever_the_locale(database: Database) -> None:
    names = ["a", "B", "a-b", "ab", "Z", "\N{LATIN SMALL LETTER A WITH DIAERESIS}", "_"]
    with database.transaction() as connection:
        connection.execute(insert(tables.server_state), [{"key": name, "value": name} for name in names])
    for column in (tables.server_state.c.key, tables.server_state.c.value):
        with database.read() as connection:
            assert list(connection.execute(select(column).order_by(column)).scalars()) == sorted(names)


def test_a_reader_writes_nothing(database_kind: str, database: Database) -> None:
    if database_kind == "postgresql":  # SQLite trusts us
        with pytest.raises(InternalError, match="read-only"), database.read() as connection:
            connection.execute(insert(tables.server_state).values(key="k", value="v"))
    with database.read() as connection:
        assert connection.execute(select(tables.server_state)).all() == []


def test_the_master_key_is_private_and_kept(tmp_path: Path) -> None:
    sealed = Vault.open(tmp_path / "master.key").encrypt(b"secret text")
    assert (tmp_path / "master.key").stat().st_mode & 0o777 == 0o600
    assert b"secret" not in sealed
    assert Vault.open(tmp_path / "master.key").decrypt(sealed) == b"secret text"


def test_another_key_or_a_changed_byte_opens_nothing() -> None:
    sealed = Vault(b"1" * 32).encrypt(b"secret text")
    with pytest.raises(ConfigurationError):
        Vault(b"2" * 32).decrypt(sealed)
    with pytest.raises(ConfigurationError):
        Vault(b"1" * 32).decrypt(sealed[:-1] + bytes([sealed[-1] ^ 1]))

# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Who comes in is remembered for a second, and never longer than their rights last."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Connection, delete
from stoker.db.database import Database
from stoker.db.tables import tokens
from stoker.services.context import ServerContext
from stoker.services.identities import REMEMBERED_SECONDS, Identities, digest_of


class Interrupted(Database):
    """A database in which something happens while somebody is looked up."""

    meanwhile = staticmethod(lambda: None)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        with super().read() as connection:
            yield connection
        self.meanwhile()


@pytest.fixture
def database(server_context: ServerContext):
    opened = Interrupted(server_context.database.url)
    yield opened
    opened.close()


@pytest.fixture
def digest(server_context: ServerContext) -> str:
    return digest_of(server_context.config.token_file.read_text().strip())


def test_who_was_looked_up_is_remembered_for_a_moment(database: Interrupted, digest: str) -> None:
    now = 100.0
    known = Identities(database, clock=lambda: now)
    assert known.remembered("token", digest) is None
    found = known.look_up("token", digest)
    assert found is not None
    assert (found.kind, found.name, found.token) == ("server", "server", "admin")
    assert known.remembered("token", digest) == found
    assert known.remembered("session", digest) is None, "a token is no session"
    now += REMEMBERED_SECONDS + 0.01
    assert known.remembered("token", digest) is None


def test_strangers_are_not_remembered(database: Interrupted) -> None:
    known = Identities(database)
    assert known.look_up("token", digest_of("nobody's")) is None
    assert known.look_up("session", digest_of("nobody's")) is None
    assert known.remembered("token", digest_of("nobody's")) is None


def test_a_look_up_that_began_before_a_change_is_not_remembered(database: Interrupted, digest: str) -> None:
    known = Identities(database)
    known.look_up("token", digest)  # what this writes, the use of the token, is behind us

    def revoke() -> None:
        with database.transaction() as connection:
            connection.execute(delete(tokens))
        known.forget()

    known.forget()
    database.meanwhile = revoke
    assert known.look_up("token", digest) is not None, "it was good when it was looked at"
    database.meanwhile = lambda: None
    assert known.remembered("token", digest) is None
    assert known.look_up("token", digest) is None

# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Databases for tests: SQLite and PostgreSQL behind one fixture, so that a test runs on both by saying so.

``@pytest.mark.databases("sqlite", "postgresql")`` (or ``pytestmark`` in a module) runs tests that use ``new_database_url`` or
``database_url``, also through other fixtures, once on each; tests without the mark run on SQLite, or on what the environment's
``STOKER_TEST_DATABASE`` says. Where PostgreSQL is not installed its tests are skipped, and fail if the environment says
``STOKER_REQUIRE_ALL=1``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stoker_lab.database_server import DatabaseServer, programs


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a marked test on the databases that its mark names."""
    mark = metafunc.definition.get_closest_marker("databases")
    if "database_kind" in metafunc.fixturenames and mark is not None:
        metafunc.parametrize("database_kind", mark.args, indirect=True, scope="session")


@pytest.fixture(scope="session")
def database_kind(request: pytest.FixtureRequest) -> str:
    """``sqlite`` or ``postgresql``."""
    return str(getattr(request, "param", os.environ.get("STOKER_TEST_DATABASE", "sqlite")))


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[DatabaseServer]:
    """One PostgreSQL for this session (with xdist: for this worker); it loses its data with the machine's power, and is fast."""
    if programs() is None:
        pytest.skip("PostgreSQL's programs are not there: apt-get install postgresql")
    with DatabaseServer() as server:
        yield server


@pytest.fixture(scope="session")
def new_database_url(
    database_kind: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], str]]:
    """A function that gives the URL of a new, empty database of the present kind; it lives as long as the session."""
    if database_kind == "sqlite":
        yield lambda: f"sqlite:///{tmp_path_factory.mktemp('database') / 'stoker.db'}"
        return
    server: DatabaseServer = request.getfixturevalue("postgresql_server")
    made: list[str] = []

    def make() -> str:
        made.append(server.create())
        return made[-1]

    yield make
    for url in made:
        server.drop(url)


@pytest.fixture
def database_url(database_kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a new, empty database for this test alone."""
    if database_kind == "sqlite":
        yield f"sqlite:///{tmp_path / 'stoker.db'}"
        return
    server: DatabaseServer = request.getfixturevalue("postgresql_server")
    url = server.create()
    yield url
    server.drop(url)


@pytest.fixture
def postgres_url(postgresql_server: DatabaseServer) -> Iterator[str]:
    """The URL of a new, empty PostgreSQL database for this test alone."""
    url = postgresql_server.create()
    yield url
    postgresql_server.drop(url)

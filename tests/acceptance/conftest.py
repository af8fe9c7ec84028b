# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""A lab and a server for the acceptance suite: on PostgreSQL it is one of several processes."""

import pytest
from stoker_lab.pytest_fixtures import lab, lab_nodes

from tests.acceptance.server import Server

__all__ = ["lab", "lab_nodes"]


@pytest.fixture(scope="module")
def server(tmp_path_factory, database_kind, new_database_url):
    made = Server(tmp_path_factory.mktemp("server"), new_database_url(), processes=2 if database_kind == "postgresql" else 1)
    try:
        yield made.start()
    finally:
        made.stop()


@pytest.fixture
def client(server):
    with server.client() as made:
        yield made

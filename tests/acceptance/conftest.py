# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""A lab and a server for the acceptance suite."""

import pytest
from stoker_lab.pytest_fixtures import lab, lab_nodes

from tests.acceptance.server import Server

__all__ = ["lab", "lab_nodes"]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    made = Server(tmp_path_factory.mktemp("server"))
    try:
        yield made.start()
    finally:
        made.stop()


@pytest.fixture
def client(server):
    with server.client() as made:
        yield made

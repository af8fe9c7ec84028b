# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the integration suite: one server and one fleet of modelled nodes for all who only talk to them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from simulation import Simulation


@pytest.fixture(scope="session")
def simulation(tmp_path_factory, running_server_class, new_database_url):
    """Everybody's; names of plugins, environments and nodes must not meet."""
    folder = tmp_path_factory.mktemp("simulation")
    made = Simulation(running_server_class(folder / "data", database=new_database_url()), folder)
    try:
        yield made.start()
    finally:
        made.end()


@pytest.fixture
def own_simulation(tmp_path, running_server_class, database_url):
    """One for a test that kills its server."""
    made = Simulation(running_server_class(tmp_path / "data", database=database_url), tmp_path)
    try:
        yield made.start()
    finally:
        made.end()


@pytest.fixture(autouse=True)
def well_behaved(request):
    """A fleet behaves only as the test itself says."""
    if "simulation" in request.fixturenames:
        request.getfixturevalue("simulation").behave()

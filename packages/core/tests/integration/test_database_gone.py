# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL goes and comes back during a deployment: requests are told, the deployment goes on, nothing starts twice."""

from __future__ import annotations

import signal
import time
from collections import Counter

import pytest
from simulation import Simulation, until
from stoker.errors import DatabaseUnavailableError
from stoker_lab.database_server import DatabaseServer
from stoker_sdk.extension_points import tasks

STEPS, NODES, AWAY_SECONDS = 6, 3, 5.5


@pytest.fixture
def own_database(postgresql_server):
    """A PostgreSQL of this test's own: it is stopped."""
    with DatabaseServer() as server:
        yield server


def steps(name):
    made = [tasks.Shell(id="t0", roles=[name], run=f"{name}-t0")]
    made += [
        tasks.Shell(id=f"t{number}", roles=[name], run=f"{name}-t{number}", after=[f"t{number - 1}"])
        for number in range(1, STEPS)
    ]
    return made


def test_a_deployment_goes_on_when_the_database_is_back(own_database, running_server_class, tmp_path):
    simulation = Simulation(running_server_class(tmp_path / "data", database=own_database.create()), tmp_path)
    name = "gone"
    try:
        simulation.start()
        simulation.environment(name, *steps(name), nodes=NODES)
        simulation.behave({"match": name, "delay": 0.3})
        running = simulation.client.deploy(name)
        until(lambda: len(simulation.starts()) > NODES, "the second task")
        own_database.stop(signal.SIGQUIT)
        with pytest.raises(DatabaseUnavailableError) as told:
            simulation.client.environments()
        assert "Try again" in told.value.remedy
        time.sleep(AWAY_SECONDS)
        own_database.start()
        ended = simulation.finish(running, "ready")
        assert simulation.ran(ended) == {
            (f"{name}{node}", f"t{step}"): 1 for node in range(1, NODES + 1) for step in range(STEPS)
        }
        kinds = Counter(
            (event["kind"], event["node"], event["task"]) for event in simulation.client.events(ended["id"]) if event["task"]
        )
        assert set(kinds.values()) == {1}
        log = simulation.server.log.read_text()
        assert "Traceback" not in log
        assert log.count("The journal: the database can be used again") == 1
    finally:
        simulation.end()


def test_a_server_without_its_database_says_so(own_database, running_server_class, tmp_path):
    url = own_database.create()
    own_database.stop()
    server = running_server_class(tmp_path / "data", database=url)
    with pytest.raises(AssertionError, match=r"error: the database cannot be used: .*\n.*remedy: Check that it runs"):
        server.start()

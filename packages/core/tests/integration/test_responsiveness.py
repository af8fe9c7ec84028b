# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Reads are answered at once, whatever plans do meanwhile; planning processes are few."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from simulation import Simulation
from stoker.plugin_host.planning_process import AT_ONCE
from stoker_sdk.extension_points import config_files

ENDLESS = b"{% for i in range(90000) %}{% for j in range(90000) %}{% endfor %}{% endfor %}"
PLANS = 8


@pytest.fixture
def busy(tmp_path: Path, running_server_class):
    simulation = Simulation(running_server_class(tmp_path / "data", planning_seconds=2), tmp_path)
    try:
        simulation.start()
        simulation.environment("e", config_files.WholeFile(path="/etc/x", template="x.j2"), files={"x.j2": ENDLESS})
        yield simulation.server
    finally:
        simulation.end()


def planning_processes(server: int) -> int:
    children = Path(f"/proc/{server}/task/{server}/children").read_text().split()
    lines = [Path(f"/proc/{child}/cmdline") for child in children]
    return sum(b"stoker.planning" in line.read_bytes() for line in lines if line.exists())


def test_reads_are_answered_while_plans_loop_and_few_plans_are_made_at_once(busy) -> None:
    def plan(_: int) -> int:
        with busy.client() as client:
            return client.post("/api/environments/e/plans").status_code

    slowest, slowest_change, most = 0.0, 0.0, 0
    with ThreadPoolExecutor(PLANS) as pool, busy.client() as reader:
        running = [pool.submit(plan, number) for number in range(PLANS)]
        time.sleep(1.0)
        for _ in range(10):
            for path in ("/api/environments", "/api/nodes", "/api/plugins"):
                started = time.monotonic()
                assert reader.get(path).status_code == 200
                slowest = max(slowest, time.monotonic() - started)
            started = time.monotonic()
            assert reader.put("/api/environments/e/plugins/e", json={}).status_code == 200
            slowest_change = max(slowest_change, time.monotonic() - started)
            most = max(most, planning_processes(busy.process.pid))
            time.sleep(0.1)
        assert [future.result() for future in running] == [422] * PLANS
    assert 1 <= most <= 2 * AT_ONCE
    assert slowest < 1.0
    assert slowest_change < 4.0

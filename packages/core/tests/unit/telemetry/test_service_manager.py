# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Notes to the service manager, read from a socket as systemd would."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket

import pytest
from stoker.telemetry import service_manager


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path):
    name = str(tmp_path / "notify") if request.param == "path" else f"@stoker-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
        link.settimeout(5)
        link.bind(name.replace("@", "\0", 1) if name.startswith("@") else name)
        yield link, {"NOTIFY_SOCKET": name}


def test_notes_arrive(manager) -> None:
    link, environment = manager
    assert service_manager.notify("READY=1", "STATUS=here", environment=environment)
    assert link.recv(1000) == b"READY=1\nSTATUS=here"


def test_nobody_asked() -> None:
    assert not service_manager.notify("READY=1", environment={})


def test_a_manager_that_is_gone_stops_nobody(tmp_path, caplog) -> None:
    assert service_manager.notify("READY=1", environment={"NOTIFY_SOCKET": str(tmp_path / "none")})
    assert "READY=1" in caplog.text


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "junk"}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, None),
    ],
)
def test_the_watchdog_is_for_the_process_that_it_names(environment, seconds) -> None:
    assert service_manager.watchdog_seconds(environment, pid=7) == seconds


async def _for(seconds, environment):
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(service_manager.keep_alive(environment), seconds)


def test_a_loop_that_runs_says_so_again_and_again(manager) -> None:
    link, environment = manager
    asyncio.run(_for(0.5, {**environment, "WATCHDOG_USEC": "300000"}))
    assert [link.recv(100) for _ in range(3)] == [b"WATCHDOG=1"] * 3

# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The systemd unit: well formed, the one in the tree is the one that is printed, and the server keeps to its protocol."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from stoker.cli.main import run

PACKAGING = Path(__file__).parents[4] / "packaging" / "systemd"


def printed(capsys, *words):
    assert run(["systemd-unit", *words]) == 0
    return capsys.readouterr().out


def test_the_tree_has_what_is_printed(capsys) -> None:
    assert (PACKAGING / "stoker.service").read_text() == printed(capsys, "--program", "/usr/bin/stoker")
    assert (PACKAGING / "stoker.service.d" / "postgresql.conf").read_text() == printed(capsys, "--postgresql")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_finds_no_fault_with_and_without_the_drop_in(capsys, tmp_path) -> None:
    unit = tmp_path / "stoker.service"
    unit.write_text(printed(capsys, "--program", sys.executable))
    (tmp_path / "stoker.service.d").mkdir()
    for more in ("", printed(capsys, "--postgresql")):
        (tmp_path / "stoker.service.d" / "postgresql.conf").write_text(more)
        done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "words", [("--user", "a b"), ("--user", "a\nExecStart=/bin/sh"), ("--program", "stoker"), ("--program", "/a b")]
)
def test_what_cannot_stand_in_a_unit_is_refused(capsys, words) -> None:
    assert run(["systemd-unit", *words]) == 2
    assert "remedy" in capsys.readouterr().err.lower()


def test_a_server_tells_its_manager_when_it_is_ready_alive_and_stopping(running_server_class, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "600000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    server = running_server_class(tmp_path / "data")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(30)
        try:
            server.start()
            told = [manager.recv(1000).decode() for _ in range(4)]
            os.kill(server.process.pid, signal.SIGTERM)
            while "STOPPING=1" not in told:
                told.append(manager.recv(1000).decode())
            assert server.process.wait(30) in (0, -signal.SIGTERM)  # both are a clean end for systemd
        finally:
            server.kill()
    ready = next(index for index, note in enumerate(told) if note.startswith("READY=1\nSTATUS=listening on http://"))
    assert told.count("WATCHDOG=1") >= 2
    assert told.index("STOPPING=1") > ready

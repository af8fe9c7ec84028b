# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The tutorial's session runs from its first to its last line against a real server and simulated nodes."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SESSION = ROOT / "docs" / "examples" / "tutorial" / "session.sh"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def place(tmp_path):
    """Environment variables with which ``stoker`` talks to a server of its own that has two simulated nodes."""
    port = free_port()
    variables = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "STOKER_DATA": str(tmp_path / "data"),
        "STOKER_SERVER": f"http://127.0.0.1:{port}",
        "EXAMPLES": str(SESSION.parent),
        "NO_COLOR": "1",
    }
    log = (tmp_path / "server.log").open("w")
    server = subprocess.Popen(
        ["stoker", "serve", "--listen", f"127.0.0.1:{port}"],
        env=variables,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        for _ in range(200):
            assert server.poll() is None, (tmp_path / "server.log").read_text()
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/health", timeout=2):
                    break
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        subprocess.run(["stoker", "fleet", "up", "--nodes", "2"], env=variables, check=True)
        yield variables
    finally:
        subprocess.run(["stoker", "fleet", "down"], env=variables, check=False)
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGTERM)
        server.wait(20)
        log.close()


def test_session(place, tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    done = subprocess.run(
        ["sh", "-x", str(SESSION)],
        cwd=work,
        env=place,
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert "Welcome" in done.stdout
    assert "Good morning" in done.stdout
    left = subprocess.run(["stoker", "plugins", "list", "--json"], env=place, capture_output=True, text=True, check=True)
    assert "greeting" not in left.stdout

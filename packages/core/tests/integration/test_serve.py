# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Starting a server: what is wrong with port, folder or configuration is told in two lines, and nothing is left running."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest


def serve(*words):
    """A server that cannot start: its exit status and all that it says."""
    surroundings = {key: value for key, value in os.environ.items() if not key.startswith("STOKER_")}
    done = subprocess.run(
        [sys.executable, "-m", "stoker.cli", "serve", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=surroundings,
    )
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


def test_a_port_in_use_is_named_and_nothing_is_made(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, said = serve("--data", tmp_path / "data", "--listen", port)
    assert status == 1
    error, remedy = said.splitlines()
    assert error == f"error: the server cannot listen on 127.0.0.1 port {port}: the port is in use."
    assert "--listen" in remedy
    assert not (tmp_path / "data" / "stoker.db").exists()


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("--data", "/proc/foo"), "/proc/foo"),
        (("--config", "/nope"), "/nope"),
        (("--listen", "127.0.0.1:99999"), "99999"),
        (("--listen", "203.0.113.7:8550"), "203.0.113.7"),
        (("--tls-cert", "/nope", "--tls-key", "/nope", "--listen", "0"), "/nope"),
    ],
)
def test_what_the_caller_can_mend_exits_2_and_names_it(tmp_path, words, what):
    status, said = serve(*(() if "--data" in words else ("--data", tmp_path / "data")), *words)
    error, remedy = said.splitlines()
    assert status == 2
    assert error.startswith("error: ")
    assert what in error
    assert remedy.startswith("remedy: ")


def test_a_host_with_several_addresses_is_one_server(start_server, tmp_path):
    server = start_server(tmp_path / "data", host="localhost")
    with server.client() as client:
        assert client.get("/api/health").status_code == 200

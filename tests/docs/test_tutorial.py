# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The tutorial's commands run from the first to the last, with the plugin that it shows: on modelled nodes and on lab nodes."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from stoker_lab import nodes
from stoker_lab.pytest_fixtures import require_lab

PAGES = Path(__file__).parents[2] / "docs" / "tutorial"
PLUGIN = "greeting/src/stoker_plugin_greeting/__init__.py"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def session(page="first-plugin.md"):
    """The page's commands as one script; where it says to replace the plugin's text, that is done."""
    found = re.findall(r"^```(sh|python)\n(.*?)^```", (PAGES / page).read_text(), re.MULTILINE | re.DOTALL)
    return "set -eux\n" + "".join(
        text if kind == "sh" else f"cat >{PLUGIN} <<'END_OF_PLUGIN'\n{text}END_OF_PLUGIN\n" for kind, text in found
    )


@pytest.fixture
def place(tmp_path):
    """Environment variables with which ``stoker`` talks to a server of its own."""
    port = free_port()
    variables = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "STOKER_DATA": str(tmp_path / "data"),
        "STOKER_SERVER": f"http://127.0.0.1:{port}",
        "STOKER_LAB_STATE": str(tmp_path / "lab"),
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
        yield variables
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGTERM)
        server.wait(20)
        log.close()


def run(command, place, folder):
    folder.mkdir(exist_ok=True)
    done = subprocess.run(["sh", "-c", command], cwd=folder, env=place, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


def follow(place, folder):
    said = run(session(), place, folder)
    assert "Welcome" in said
    assert "Good morning" in said
    assert "greeting" not in run("stoker plugins list --json", place, folder)


@pytest.mark.timeout(240)
def test_on_modelled_nodes(place, tmp_path):
    try:
        run("stoker fleet up --nodes 2", place, tmp_path)
        for node in ("node1", "node2"):
            run(f"stoker nodes add {node} {node} --transport simulated", place, tmp_path)
        follow(place, tmp_path / "work")
    finally:
        run("stoker fleet down", place, tmp_path)


@pytest.mark.timeout(240)
def test_a_plugin_with_code(place, tmp_path):
    """The page's reader is slower than this test: data on nodes are waited for."""
    shown = iter(("Welcome, node1", "Welcome: A disk was replaced"))
    script = re.sub(
        "^stoker nodes show node1$", lambda _: SHOW.format(text=next(shown)), session("plugin-with-code.md"), flags=re.MULTILINE
    )
    try:
        run("stoker fleet up --nodes 2", place, tmp_path)
        for node in ("node1", "node2"):
            run(f"stoker nodes add {node} {node} --transport simulated", place, tmp_path)
        said = run(script, place, tmp_path / "work")
        assert not list(shown)
        for words in ("Hello, ", "Welcome, node1", "Welcome: A disk was replaced", "uninstalled greeting 0.2.0"):
            assert words in said, said
        assert "greeting" not in run("stoker plugins list --json", place, tmp_path / "work")
        assert not list((tmp_path / "data" / "venvs").glob("greeting*"))
    finally:
        run("stoker fleet down", place, tmp_path)


SHOW = """\
for attempt in $(seq 50); do stoker nodes show node1 --json | grep -q '{text}' && break; sleep 0.2; done
stoker nodes show node1"""


@pytest.mark.lab
@pytest.mark.timeout(600)
def test_on_lab_nodes(place, tmp_path):
    name = f"tutorial-{os.getpid()}"
    lab = nodes.Lab(tmp_path / "lab", name, owner=os.getpid())
    require_lab(lab)
    try:
        lab.up(2, "node")
        run(f"stoker lab --name {name} add", place, tmp_path)
        follow(place, tmp_path / "work")
        for node in ("node1", "node2"):
            assert lab.run(node, "ls -d /etc/greeting.ini /etc/motd.d/greeting 2>/dev/null || true") == ""
    finally:
        lab.down()

# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Following a deployment while its server dies: that is said, and it goes on where it broke, or ends with what to do."""

from __future__ import annotations

import subprocess
import threading

import pytest
from simulation import until
from stoker.cli import watching
from stoker.cli.main import run
from stoker.cli.session import Session
from stoker_sdk.extension_points import tasks

NAME = "watch"


@pytest.fixture
def running(own_simulation):
    """A deployment whose second task takes a while."""
    own_simulation.environment(
        NAME, tasks.Shell(id="one", roles=[NAME], run="one"), tasks.Shell(id="two", roles=[NAME], run="two", after=["one"])
    )
    own_simulation.behave({"match": "two", "delay": 6})
    deployment = own_simulation.client.deploy(NAME)
    until(lambda: any(start[1].split(".")[1] != "0" for start in own_simulation.starts()), "the second task")
    return deployment


def test_a_watcher_says_that_the_server_is_lost_and_goes_on_when_it_is_back(own_simulation, running, tmp_path):
    said, told = tmp_path / "said", tmp_path / "told"
    command = own_simulation.command("deployments", "watch", running["id"])
    with said.open("w") as out, told.open("w") as err:
        watcher = subprocess.Popen(command, stdout=out, stderr=err, env=own_simulation.surroundings(PYTHONUNBUFFERED="1"))
    try:
        until(lambda: "watch.two started" in said.read_text(), "the second task")
        own_simulation.server.kill()
        until(lambda: "lost the server; trying again ..." in told.read_text(), "the message")
        own_simulation.server.start()
        assert watcher.wait(60) == 0, said.read_text() + told.read_text()
    finally:
        watcher.kill()
        watcher.wait()
    assert "the server is back." in told.read_text()
    assert said.read_text().count("watch1: watch.one done") == 1
    assert said.read_text().count("watch1: watch.two done") == 1
    assert "ready: 2 tasks done" in said.read_text()


def test_a_watcher_gives_up_with_the_command_that_watches_again(own_simulation, running, monkeypatch, capsys):
    monkeypatch.setattr(watching, "PATIENCE", 1.0)
    threading.Timer(1.0, own_simulation.server.kill).start()
    status = run(
        ("deployments", "watch", running["id"]), session=Session(server=own_simulation.url, data=str(own_simulation.data))
    )
    said = capsys.readouterr().err
    assert status == 1
    assert said.startswith("lost the server; trying again ...")
    assert "error: the server was lost and did not come back within 1 s" in said
    assert f"stoker deployments watch {running['id']}" in said.partition("remedy:")[2]

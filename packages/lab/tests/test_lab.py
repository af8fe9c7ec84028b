# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Real nodes: they run, reach each other and packages, come back after a reboot, and leave nothing."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from stoker_lab import machine, nodes, pytest_fixtures
from stoker_lab.errors import LabError, NodeNotFoundError

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]


def traces(tag):
    """Everything on this machine that bears a lab's mark."""
    links = [path.name for path in Path("/sys/class/net").iterdir() if tag in path.name]
    names = [path.name for path in Path("/run/netns").glob("*") if tag in path.name]
    groups = [str(path) for path in Path("/sys/fs/cgroup").glob(f"**/stoker-lab-{tag}")]
    mounts = [line for line in Path("/proc/mounts").read_text().splitlines() if tag in line]
    notes = [str(path) for path in Path("/run/stoker-lab").glob(f"{tag}*")]
    return links + names + groups + mounts + notes


@pytest.fixture
def second(lab, tmp_path):
    made = nodes.Lab(tmp_path / "state", "second", owner=os.getpid())
    try:
        yield made
    finally:
        made.down()


def test_nodes_run_systemd_and_reach_each_other(lab, lab_nodes):
    first, other = lab_nodes(2)
    assert lab.run(first.name, "systemctl is-system-running --wait").strip() == "running"
    assert lab.run(first.name, "hostname; id -u").split() == ["n1", "0"]
    lab.run(first.name, f"ping -c1 -W2 {other.name}")
    assert lab.run(first.name, "cat /etc/ssh/ssh_host_ed25519_key.pub").strip() == first.host_key
    with pytest.raises(LabError, match="exit status"):
        lab.run(first.name, "date -s 2001-01-01")


def test_packages_come_through_the_proxy(lab, lab_nodes):
    (first,) = lab_nodes(1)
    lab.run(first.name, "apt-get update -qq && apt-get install -y -qq chrony", timeout=300)
    assert lab.run(first.name, "systemctl is-active chrony").strip() == "active"
    with pytest.raises(LabError):
        lab.run(first.name, "ip route get 192.0.2.1")


@pytest.mark.parametrize("how", ["soft", "hard", "itself"])
def test_a_node_comes_back_with_another_boot_id_and_its_files(lab, lab_nodes, how):
    (first,) = lab_nodes(1)
    lab.run(first.name, f"echo {how} >/etc/kept; touch /run/gone")
    boot = lab.run(first.name, "cat /proc/sys/kernel/random/boot_id")
    starts = lab.node(first.name).starts
    if how == "itself":
        with contextlib.suppress(LabError):
            lab.run(first.name, "systemctl reboot")
        while lab.node(first.name).starts == starts:
            time.sleep(0.05)
        lab.wait([first.name])
    else:
        lab.reboot(first.name, hard=how == "hard")
    assert lab.node(first.name).starts == starts + 1
    assert lab.run(first.name, "cat /proc/sys/kernel/random/boot_id") != boot
    assert lab.run(first.name, "cat /etc/kept; ls /run/gone || true").strip() == how


def test_a_node_without_power_stays_off(lab, lab_nodes):
    other = lab_nodes(2)[1]
    lab.switch_off(other.name)
    assert lab.node(other.name).state == "off"
    with pytest.raises(LabError):
        lab.run(other.name, "true")
    assert lab.switch_on(other.name).state == "running"


def test_an_unknown_node_is_named_with_those_there_are(lab, lab_nodes):
    lab_nodes(1)
    with pytest.raises(NodeNotFoundError, match=r"no node x1.*n1"):
        lab.node("x1")


def test_two_labs_do_not_touch_each_other_and_leave_nothing(lab, lab_nodes, second):
    (first,) = lab_nodes(1)
    (stranger,) = second.up(1, "m")
    assert stranger.address.rpartition(".")[0] != first.address.rpartition(".")[0]
    tag = second.place.tag
    assert len(traces(tag)) >= 4
    second.down()
    assert traces(tag) == []
    assert not second.place.folder.parent.exists()
    assert machine.SAVED_INOTIFY.exists() or int(machine.INOTIFY.read_text()) >= machine.INOTIFY_WANTED
    lab.run(first.name, "true")


def test_down_cleans_up_after_a_crash_that_lost_the_folder(second):
    second.up(1)
    tag = second.place.tag
    os.kill(second._power_pid(), signal.SIGKILL)
    second.place.record.unlink()
    second.down()
    assert traces(tag) == []


def test_a_lab_is_ended_when_its_owner_is_gone(lab, tmp_path):
    code = (
        f"import os; from stoker_lab import nodes; nodes.Lab({str(tmp_path)!r}, 'orphan', owner=os.getpid()).up(1);"
        "os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL
    orphan = nodes.Lab(tmp_path, "orphan")
    try:
        assert traces(orphan.place.tag)
        assert nodes.end_abandoned() == [str(tmp_path / "orphan")]
        assert traces(orphan.place.tag) == []
    finally:
        orphan.down()


def test_command_line(lab, tmp_path):
    def stoker(*words):
        done = subprocess.run(
            [sys.executable, "-m", "stoker.cli", "lab", "--state", str(tmp_path), "--name", "typed", *words],
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout

    try:
        status, said = stoker("up", "--nodes", "1", "--json")
        assert status == 0
        assert json.loads(said)["items"][0] | {"key": "", "host_key": "", "address": ""} == {
            "name": "node1", "address": "", "port": 22, "user": "root",
            "key": "", "host_key": "", "state": "running", "starts": 1,
        }  # fmt: skip
        assert stoker("ssh", "node1", "hostname") == (0, "node1\n")
        assert stoker("reboot", "other")[0] == 2
    finally:
        assert stoker("down")[0] == 0
    assert json.loads(stoker("status", "--json")[1]) == {"items": []}


class Incapable:
    """A machine that cannot run a lab."""

    def check(self):
        return ["it is a toaster."]


def test_a_missing_lab_skips_or_fails_as_the_environment_says(monkeypatch):
    monkeypatch.delenv("STOKER_REQUIRE_LAB", raising=False)
    with pytest.raises(pytest.skip.Exception, match="toaster"):
        pytest_fixtures.require_lab(Incapable())
    monkeypatch.setenv("STOKER_REQUIRE_LAB", "1")
    with pytest.raises(pytest.fail.Exception, match="toaster"):
        pytest_fixtures.require_lab(Incapable())

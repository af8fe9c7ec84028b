# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""What goes wrong on nodes is reported with node, command and output; the rest goes on; nothing is done twice."""

import threading
import time

import pytest
from stoker.errors import StokerError

from tests.acceptance.plugins.commands import commands
from tests.acceptance.server import add_nodes, bundle, deploy, finish

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def nodes(lab, lab_nodes, server):
    found = lab_nodes(3)
    with server.client() as client:
        add_nodes(client, found)
    return found


@pytest.fixture
def environment(client, nodes, tmp_path):
    """Makes an environment whose nodes run the commands of one plugin; empties it afterwards."""
    made = []

    def make(name, *steps, on=("n1",), tolerance=0):
        client.install_plugin(bundle(commands(name, *steps, tolerance=tolerance), tmp_path))
        client.create_environment(name)
        client.enable_plugin(name, name)
        for node in on:
            client.assign_node(name, node, [name])
        made.append((name, on))
        return name

    yield make
    for name, on in made:
        client.disable_plugin(name, name)
        for node in on:
            client.unassign_node(name, node)
        finish(client, client.deploy(name))


def log(lab, node, path):
    return lab.run(node, f"cat {path} 2>/dev/null || true").split()


def test_a_user_with_sudo(lab, client, nodes, environment):
    lab.run(
        "n3",
        "id worker 2>/dev/null || useradd -m -s /bin/sh worker; install -d -m700 -o worker -g worker ~worker/.ssh;"
        "install -m600 -o worker -g worker /root/.ssh/authorized_keys ~worker/.ssh/;"
        "echo 'worker ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/worker",
    )
    client.add_node("by-sudo", nodes[2].address, user="worker", sudo=True, credential="lab")
    client.refresh_node("by-sudo")
    environment("sudoers", ("who", "id -un >/root/who", {}), on=("by-sudo",))
    deploy(client, "sudoers")
    assert log(lab, "n3", "/root/who") == ["root"]


def test_a_changed_host_key_is_refused_until_it_is_forgotten(lab, client, nodes):
    old = client.node("n2")["host_key"]
    lab.run(
        "n2",
        "cd /etc/ssh; rm ssh_host_ed25519_key*; ssh-keygen -q -t ed25519 -N '' -f ssh_host_ed25519_key; systemctl restart ssh",
    )
    with pytest.raises(StokerError, match="host key"):
        client.refresh_node("n2")
    assert client.node("n2")["status"] != "online"
    assert "host key" in client.node("n2")["status_reason"]
    client.forget_host_key("n2")
    assert client.refresh_node("n2")["host_key"] not in {"", old}


def test_a_node_without_power_fails_and_the_others_go_on_within_the_tolerance(lab, client, environment):
    environment("powerless", ("touch", "echo x >>/root/powerless", {"timeout": 8}), on=("n1", "n2"), tolerance=1)
    plan = client.create_plan("powerless")
    lab.switch_off("n2")
    try:
        ended = finish(client, client.deploy("powerless", plan["id"]))
        states = {node["node"]: node["state"] for node in ended["nodes"]}
        assert (ended["state"], states["n1"], states["n2"]) == ("degraded", "done", "failed")
        assert log(lab, "n1", "/root/powerless") == ["x"]
    finally:
        lab.switch_on("n2")
    retried = finish(client, client.retry_deployment(ended["id"]))
    assert retried["state"] == "ready"
    assert log(lab, "n1", "/root/powerless") == log(lab, "n2", "/root/powerless") == ["x"]


def test_a_failing_command_is_reported_with_everything(client, environment):
    environment("failing", ("broken", "echo about to fail; exit 7", {}))
    _, ended = deploy(client, "failing", state="failed")
    (failure,) = ended["failures"]
    assert (failure["node"], failure["task"], failure["exit_status"]) == ("n1", "failing.broken", 7)
    assert "about to fail" in failure["output"]
    assert "exit 7" in failure["command"]


def test_a_hanging_command_is_killed_after_its_timeout(lab, client, environment):
    environment("hanging", ("hang", "echo still here; exec sleep 1234", {"timeout": 3}))
    _, ended = deploy(client, "hanging", state="failed", timeout=60)
    assert ended["failures"][0]["exit_status"] == 124
    assert "still here" in ended["failures"][0]["output"]
    assert lab.run("n1", "pgrep -f 'sleep [1]234' || true") == ""


def test_a_full_disk_fails_that_node_with_a_reason(lab, client, environment):
    environment("full", ("touch", "echo x >>/root/full", {}), on=("n1", "n2"), tolerance=1)
    plan = client.create_plan("full")
    lab.run("n2", "mount -t tmpfs -o size=64k none /var/lib/stoker && cat /dev/zero >/var/lib/stoker/ballast || true")
    try:
        ended = finish(client, client.deploy("full", plan["id"]))
    finally:
        lab.run("n2", "umount -l /var/lib/stoker")
    assert ended["state"] == "degraded"
    (failure,) = ended["failures"]
    assert (failure["node"], failure["task"]) == ("n2", "full.touch")
    assert "No space left" in failure["output"]
    assert log(lab, "n1", "/root/full") == ["x"]
    assert log(lab, "n2", "/root/full") == []


def test_a_dropped_connection_repeats_nothing(lab, client, environment):
    environment("dropped", ("slow", "echo start >>/root/dropped; sleep 4; echo end >>/root/dropped", {}))
    plan = client.create_plan("dropped")

    def cut():
        while "start" not in log(lab, "n1", "/root/dropped"):
            time.sleep(0.1)
        # every session of the server, not the daemon; the one that does it dies as well
        lab.run("n1", "nohup sh -c 'sleep 0.2; pkill -f \"sshd: root\"' >/dev/null 2>&1 &")

    thread = threading.Thread(target=cut)
    thread.start()
    ended = finish(client, client.deploy("dropped", plan["id"]))
    thread.join()
    assert ended["state"] == "ready", ended
    assert log(lab, "n1", "/root/dropped") == ["start", "end"]
    assert len(client.attempts(ended["id"])) == 1


def test_two_deployments_of_one_environment(client, environment):
    environment("twice", ("slow", "sleep 3", {}))
    running = client.deploy("twice")
    with pytest.raises(StokerError) as refused:
        client.deploy("twice")
    assert refused.value.status == 409
    assert finish(client, running)["state"] == "ready"


def test_a_stopped_deployment_finishes_what_runs_and_goes_on_later(lab, client, environment):
    environment(
        "stopping",
        ("first", "echo first >>/root/stopping; sleep 3", {}),
        ("second", "echo second >>/root/stopping", {"after": ["first"]}),
    )
    running = client.deploy("stopping")
    while "first" not in log(lab, "n1", "/root/stopping"):
        time.sleep(0.1)
    client.stop_deployment(running["id"])
    assert finish(client, running)["state"] == "stopped"
    assert log(lab, "n1", "/root/stopping") == ["first"]
    assert finish(client, client.retry_deployment(running["id"]))["state"] == "ready"
    assert log(lab, "n1", "/root/stopping") == ["first", "second"]

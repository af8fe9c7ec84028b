# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""From a bundle to real nodes and back: the tests of this file are one story and run in order."""

import hashlib
import re
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from sqlalchemy import func, select
from stoker.db import tables

from tests.acceptance.plugins.site import site_plugin as site
from tests.acceptance.server import add_nodes, deploy

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

PLANTED = "planted-Secret-7b1e9d"
OLD_BANNER = "what was here before\n"
ROLES = {"n1": ["first"], "n2": ["second"], "n3": ["second"]}


@pytest.fixture(scope="module")
def nodes(lab, lab_nodes):
    found = lab_nodes(3)
    lab.run("n1", f"rm -rf /etc/site && mkdir -p /etc/site && cat >{site.BANNER} && chmod 0604 {site.BANNER}", text=OLD_BANNER)
    for node in found:
        lab.run(node.name, f"rm -f {site.ORDER}")
    return found


def order(lab):
    """All stamps of all nodes by time; the nodes share one clock."""
    lines = []
    for node in ROLES:
        for line in lab.run(node, f"cat {site.ORDER} 2>/dev/null || true").splitlines():
            word, moment = line.split()
            lines.append((float(moment), node, word))
    return sorted(lines)


def sha256(lab, node, path):
    return lab.run(node, f"sha256sum {path}").split()[0]


def test_install_enable_and_plan(server, client, nodes, tmp_path):
    build = [Path(sys.executable).with_name("stoker-plugin"), "build", str(Path(site.__file__).parent), "--output", str(tmp_path)]
    subprocess.run(build, check=True, capture_output=True)
    server.cli("plugins", "install", tmp_path / "site-1.0.0.stoker")
    add_nodes(client, nodes)
    assert [node["status"] for node in client.nodes()] == ["online"] * 3
    client.create_environment("lab")
    client.enable_plugin("lab", "site", settings={"greeting": "good day", "password": PLANTED})
    for name, roles in ROLES.items():
        client.assign_node("lab", name, roles)
    plan = client.create_plan("lab")
    assert plan["counts"]["packages"] == 5
    assert "+greeting = good day" in server.cli("plan", "show", plan["id"])
    banner = next(file for file in client.plan_files(plan["id"], node="n1") if file["path"] == site.BANNER)
    assert banner["status"] == "change"
    assert "-what was here before" in banner["diff"]
    explained = client.explain(plan["id"], node="n1", path=site.CONF, line=2)
    assert explained["origins"][0]["plugin"] == "site"


def test_deploy_applies_exactly_the_plan_in_order(lab, client):
    plan, ended = deploy(client, "lab")
    assert ended["unknowns"] == []
    for node in ROLES:
        assert lab.run(node, "dpkg-query -W -f '${db:Status-Status}' figlet") == "installed"
        assert lab.run(node, f"cat {site.BANNER}") == f"Welcome: good day\nThis is {node}.\n"
    for node in ("n2", "n3"):
        assert lab.run(node, "dpkg-query -W -f '${db:Status-Status}' tree") == "installed"
        assert lab.run(node, f"cat {site.SECRET}") == PLANTED
        assert lab.run(node, f"stat -c %a {site.SECRET}").strip() == "600"
        assert lab.run(node, "systemctl is-active site").strip() == "active"
    for file in client.plan_files(plan["id"], everything=True):
        if file["status"] == "create" and file["path"] != site.SECRET:
            planned = "".join(line[1:] for line in file["diff"].splitlines(keepends=True)[2:] if line.startswith("+"))
            real = hashlib.sha256(planned.encode()).hexdigest()
            assert sha256(lab, file["node"], file["path"]) == real, file
    stamps = order(lab)
    assert [word for _, _, word in stamps] == ["one", "two", "two", "three"]
    assert {node for _, node, word in stamps if word == "two"} == {"n2", "n3"}


def test_a_second_deployment_changes_nothing_and_says_so(server, lab, client):
    before = order(lab)
    plan, ended = deploy(client, "lab")
    assert [plan["counts"][kind] for kind in ("files", "packages", "tasks", "drift")] == [0, 0, 0, 0]
    assert client.attempts(ended["id"]) == []
    assert order(lab) == before
    assert re.search("nothing", server.cli("deploy", "lab", "--yes"), re.IGNORECASE)


def test_drift_is_seen_exactly_and_mended_alone(lab, client):
    lab.run("n2", f"echo edited >>{site.BANNER}; apt-get remove -y -qq tree; systemctl stop site")
    plan = client.create_plan("lab")
    drifted = [(f["node"], f["path"]) for f in client.plan_files(plan["id"]) if f["status"] != "same"]
    assert drifted == [("n2", site.BANNER)]
    assert [(p["node"], p["name"]) for p in client.plan_packages(plan["id"]) if p["status"] == "drift"] == [("n2", "tree")]
    assert plan["counts"]["drift"] == 3
    before = order(lab)
    plan, ended = deploy(client, "lab")
    ran = {(attempt["node"], attempt["task"]) for attempt in client.attempts(ended["id"])}
    assert ran - {("n2", "site.check.up")} == {("n2", "site.packages"), ("n2", "site.files"), ("n2", "site.service.site")}
    assert lab.run("n2", f"cat {site.BANNER}") == "Welcome: good day\nThis is n2.\n"
    assert lab.run("n2", "systemctl is-active site").strip() == "active"
    assert lab.run("n2", "dpkg-query -W -f '${db:Status-Status}' tree") == "installed"
    assert order(lab) == before
    assert client.create_plan("lab")["counts"]["drift"] == 0


def test_checks_run_on_demand(client):
    found = client.run_checks("lab")
    assert {(check["node"], check["ok"]) for check in found} == {("n2", True), ("n3", True)}


def test_a_changed_setting_makes_a_small_plan(lab, client):
    client.enable_plugin("lab", "site", settings={"greeting": "good night", "password": {"$secret": True}})
    before = order(lab)
    pids = lab.run("n2", "systemctl show -p MainPID site")
    plan, _ = deploy(client, "lab")
    assert plan["counts"]["packages"] == 0
    assert "good night" in lab.run("n1", f"cat {site.CONF}")
    assert lab.run("n2", f"cat {site.SECRET}") == PLANTED
    assert lab.run("n2", "systemctl show -p MainPID site") != pids, "the service was not restarted"
    assert order(lab) == before


def test_a_plan_is_refused_when_its_inputs_changed(server, client):
    plan = client.create_plan("lab")
    client.enable_plugin("lab", "site", settings={"greeting": "good morning", "password": {"$secret": True}})
    assert "greeting" in server.cli("deploy", "lab", "--plan", plan["id"], "--yes", status=2)


def test_the_secret_is_nowhere_but_where_it_belongs(server, lab, client):
    deploy(client, "lab")
    holes = []
    holes += [str(path) for path in server.folder.rglob("*") if path.is_file() and PLANTED.encode() in path.read_bytes()]
    with server.reading() as connection:
        for row in connection.execute(select(tables.plans.c.body, tables.plans.c.snapshot)):
            holes += ["plans" for value in row if PLANTED.encode() in zlib.decompress(value)]
    plans = client.plans("lab")
    said = [repr(client.environment_plugins("lab")), repr(client.plugins()), repr(client.nodes())]
    for plan in plans:
        said += [repr(client.plan_files(plan["id"], everything=True)), repr(client.plan_tasks(plan["id"]))]
    for deployment in client.deployments("lab"):
        said += [repr(client.deployment(deployment["id"])), repr(client.attempts(deployment["id"]))]
        said += [repr(list(client.events(deployment["id"])))]
    holes += [text[:200] for text in said if PLANTED in text]
    for node in ("n1", "n2", "n3"):
        found = lab.run(node, f"grep -rlF {PLANTED} /var/lib/stoker /var/log /run /tmp /etc 2>/dev/null || true").split()
        holes += [f"{node}:{path}" for path in found if path != site.SECRET]
    assert holes == []
    assert any("the password is" in repr(client.attempts(deployment["id"])) for deployment in client.deployments("lab"))


def test_disable_takes_everything_away(lab, client):
    client.disable_plugin("lab", "site")
    plan = client.create_plan("lab")
    assert {"site.remove.packages", "site.remove.files"} <= {task["task"] for task in client.plan_tasks(plan["id"])}
    deploy(client, "lab")
    assert lab.run("n1", f"cat {site.BANNER}; stat -c %a {site.BANNER}") == f"{OLD_BANNER}604\n"
    for node in ("n2", "n3"):
        assert lab.run(node, "ls -A /etc/site 2>/dev/null || true") == ""
        assert lab.run(node, f"ls {site.UNIT} 2>/dev/null || true; systemctl is-active site || true").strip() in {
            "inactive",
            "unknown",
        }
        assert lab.run(node, "ls /root/site-removed").strip() == "/root/site-removed"
        for package in ("figlet", "tree"):
            status = lab.run(node, f"dpkg-query -W -f '${{db:Status-Status}}' {package} 2>/dev/null || true")
            assert status in {"", "not-installed", "config-files"}
    assert client.environment_plugins("lab") == []


def test_uninstall_leaves_no_row_and_no_file(server, client):
    for name in ROLES:
        client.unassign_node("lab", name)
    if client.environment("lab")["nodes"]:
        deploy(client, "lab")
    client.uninstall_plugin("site", "1.0.0")
    assert client.plugins() == []
    assert list((server.data / "plugins").rglob("*site*")) == []
    history = {"plans", "deployments", "deployment_events", "audit", "snapshots"}
    with server.reading() as connection:
        for name, table in tables.metadata.tables.items():
            if "plugin" in table.c and name not in history:
                count = connection.execute(select(func.count()).where(table.c.plugin == "site")).scalar_one()
                assert count == 0, f"{name} has {count} rows of the plugin"


def test_the_database_file_is_not_readable_by_others(server):
    listing = subprocess.run(["stat", "-c", "%a", server.data, server.data / "admin-token", server.data / "master.key"],
                             capture_output=True, text=True, check=True).stdout.split()  # fmt: skip
    assert listing == ["700", "600", "600"]

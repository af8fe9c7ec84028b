# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""A product from nothing, extended by two plugins, grown, shrunk and restarted under load: one story, run in order."""

import importlib
import itertools
import os

import pytest

from tests.acceptance.fetching import Fetcher
from tests.acceptance.server import Server, add_nodes, bundle, deploy

# The other stories run on SQLite in one process; this one on PostgreSQL in several, unless the environment says otherwise.
DATABASE = os.environ.get("STOKER_TEST_DATABASE", "postgresql")
pytestmark = [pytest.mark.lab, pytest.mark.timeout(600), pytest.mark.databases(DATABASE)]

PLUGINS = ["web-cluster", "web-cache", "web-timeouts"]
BALANCER, CACHE, FIRST, SECOND, THIRD = "n1", "n2", "n3", "n4", "n5"
ROLES = {BALANCER: ["balancer"], CACHE: ["cache"], FIRST: ["web"], SECOND: ["web"]}
CONFIG = "/etc/haproxy/haproxy.cfg"
PORT, ORIGIN = 80, 8091
RELOAD, RESTART = "web-cluster.service.haproxy", "web-cluster.service.nginx"
WRITE = "web-cache.files"  # of the plugins that add to the balancer's file, the first by name writes it
CHECKS = ("web-cluster.check.page", "web-cache.check.passes-pages-on")


@pytest.fixture(scope="module")
def nodes(lab_nodes):
    return {node.name: node for node in lab_nodes(5)}


def changes(client, plan):
    """What a plan touches: (node, path) of files, and (node, task) of tasks, checks left out."""
    files = {(item["node"], item["path"]) for item in client.plan_files(plan["id"]) if item["status"] != "same"}
    tasks = {(item["node"], item["task"]) for item in client.plan_tasks(plan["id"]) if item["task"] not in CHECKS}
    return files, tasks


def install(client, nodes, folder):
    """Plugins and nodes, as every server needs them before an environment."""
    for name in PLUGINS:
        plugin = importlib.import_module(f"stoker_plugin_{name.replace('-', '_')}").plugin
        client.install_plugin(bundle(plugin, folder))
    add_nodes(client, list(nodes.values()))


def planned(client):
    """What a new plan would do, whichever server says it."""
    plan = client.create_plan("site")["id"]
    return [list(client.plan_files(plan)), list(client.plan_packages(plan)), list(client.plan_tasks(plan))]


def test_an_environment_taken_to_an_empty_server_has_an_equal_plan(server, client, nodes, tmp_path):
    install(client, nodes, tmp_path)
    client.create_environment("site")
    for name in PLUGINS:
        client.enable_plugin("site", name, settings={"title": "Hello"} if name == "web-cluster" else None)
    for name, roles in ROLES.items():
        client.assign_node("site", name, roles)
    server.cli("env", "override", "set", "site", CONFIG, "defaults", "timeout connect", "3s")
    file = tmp_path / "site.yaml"
    file.write_text(server.cli("env", "export", "site"))
    (tmp_path / "empty").mkdir()
    empty = Server(tmp_path / "empty")
    try:
        with empty.start().client() as other:
            install(other, nodes, tmp_path)
            empty.cli("env", "apply", "-f", file, "--yes")
            assert empty.cli("env", "export", "site") == file.read_text()
            mine = planned(client)
            assert all(mine)
            assert planned(other) == mine
    finally:
        empty.stop()


def test_the_product_is_deployed_from_nothing_with_both_extensions(client, nodes):
    plan, _ = deploy(client, "site")
    status, body, served = Fetcher(nodes[BALANCER].address, PORT, ()).fetch()
    assert (status, "<h1>Hello</h1>" in body) == (200, True)
    assert served in {FIRST, SECOND}
    text = client.plan_files(plan["id"], node=BALANCER)
    diff = next(file["diff"] for file in text if file["path"] == CONFIG)
    assert "+    timeout client 60s" in diff
    number = [line for line in diff.splitlines() if line.startswith("+")].index("+    timeout client 60s")
    origins = client.explain(plan["id"], node=BALANCER, path=CONFIG, line=number)["origins"]
    assert [(item["plugin"], item["level"]) for item in origins] == [("web-timeouts", "set")]
    assert client.create_plan("site")["counts"]["tasks"] == 0


def test_pages_come_through_the_cache_and_without_it(lab, nodes):
    fetcher = Fetcher(nodes[BALANCER].address, PORT, ())
    lab.run(CACHE, "systemctl stop nginx")
    try:
        assert fetcher.fetch()[0] == 200
    finally:
        lab.run(CACHE, "systemctl start nginx")
    assert lab.run(CACHE, "ls -A /var/lib/nginx/web-cache").strip()


def test_a_web_server_more_touches_it_and_the_balancer_alone(lab, client, nodes):
    client.assign_node("site", THIRD, ["web"])
    plan = client.create_plan("site")
    files, tasks = changes(client, plan)
    assert {path for node, path in files if node != THIRD} == {CONFIG}
    assert {item for item in tasks if item[0] != THIRD} == {(BALANCER, WRITE), (BALANCER, RELOAD)}
    with Fetcher(nodes[BALANCER].address, PORT, ["Hello"]) as page, Fetcher(nodes[BALANCER].address, ORIGIN, ["Hello"]) as origin:
        deploy(client, "site")
    assert (page.failures, origin.failures) == ([], [])
    assert THIRD in Fetched(nodes, 12)


class Fetched(set):
    """Who serves the next pages."""

    def __init__(self, nodes, count):
        fetcher = Fetcher(nodes[BALANCER].address, ORIGIN, ())
        super().__init__(fetcher.fetch()[2] for _ in range(count))


def test_a_change_restarts_the_web_servers_one_by_one_and_loses_nothing(lab, client, nodes):
    before = {name: lab.run(name, "systemctl show -p MainPID nginx") for name in (FIRST, SECOND, THIRD)}
    client.enable_plugin("site", "web-cluster", settings={"title": "Hello again", "keepalive": 7})
    with Fetcher(nodes[BALANCER].address, PORT, ["Hello"]) as page, Fetcher(nodes[BALANCER].address, ORIGIN, ["Hello"]) as origin:
        plan, ended = deploy(client, "site")
    assert (page.failures, origin.failures) == ([], [])
    assert min(page.fetched, origin.fetched) > 50
    assert set(origin.served) == {FIRST, SECOND, THIRD}
    for name, pid in before.items():
        assert lab.run(name, "systemctl show -p MainPID nginx") != pid, f"nginx was not restarted on {name}"
    attempts = [item for item in client.attempts(ended["id"]) if item["task"] == RESTART]
    spans = sorted((item["started_at"], item["finished_at"]) for item in attempts)
    assert len(spans) == 3
    assert all(end <= begin for (_, end), (begin, _) in itertools.pairwise(spans)), spans
    assert {node for node, _ in changes(client, plan)[0]} == {FIRST, SECOND, THIRD}


def test_a_web_server_that_does_not_come_back_is_told_and_nobody_notices(lab, client, nodes):
    lab.run(SECOND, "echo 'nonsense;' >/etc/nginx/conf.d/by-hand.conf")
    client.enable_plugin("site", "web-cluster", settings={"title": "Hello again", "keepalive": 8})
    with Fetcher(nodes[BALANCER].address, ORIGIN, ["Hello"]) as origin:
        _, ended = deploy(client, "site", state="degraded")
    assert origin.failures == []
    assert [(item["node"], item["task"]) for item in ended["failures"]] == [(SECOND, RESTART)]
    lab.run(SECOND, "rm /etc/nginx/conf.d/by-hand.conf")
    plan, _ = deploy(client, "site")
    assert {node for node, _ in changes(client, plan)[1]} == {SECOND}


def test_a_web_server_less_touches_it_and_the_balancer_alone(lab, client, nodes):
    client.unassign_node("site", SECOND)
    plan = client.create_plan("site")
    files, tasks = changes(client, plan)
    assert {path for node, path in files if node != SECOND} == {CONFIG}
    assert {item for item in tasks if item[0] != SECOND} == {(BALANCER, WRITE), (BALANCER, RELOAD)}
    with Fetcher(nodes[BALANCER].address, PORT, ["Hello"]) as page, Fetcher(nodes[BALANCER].address, ORIGIN, ["Hello"]) as origin:
        deploy(client, "site")
    assert (page.failures, origin.failures) == ([], [])
    assert Fetched(nodes, 12) == {FIRST, THIRD}
    assert lab.run(SECOND, "ls /etc/nginx/conf.d/web-cluster.conf 2>/dev/null || true") == ""
    assert client.create_plan("site")["counts"]["tasks"] == 0

# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Operator's overrides from the command line to the node, and back."""

from __future__ import annotations

import json

import httpx
from stoker_sdk.extension_points import config_files

PATH = "/etc/app.ini"
FILE = config_files.ConfigFile(path=PATH, format="ini")


def test_an_override_reaches_the_node_is_explained_and_is_taken_back(simulation):
    lab = simulation.environment("ownvalue", FILE, config_files.Option(path=PATH, section="main", key="workers", value=2))
    simulation.deploy(lab)
    before = simulation.client.environment(lab)["revision"]
    simulation.cli("env", "override", "set", lab, PATH, "main", "workers", "8")
    assert simulation.client.environment(lab)["revision"] > before

    plan = simulation.client.create_plan(lab)
    [file] = simulation.client.plan_files(plan["id"])
    assert "-workers = 2\n+workers = 8" in file["diff"]
    line = len(file["diff"].split("@@")[-1].splitlines())
    told = simulation.client.explain(plan["id"], node="ownvalue1", path=PATH, line=line - 2)
    assert [(origin["plugin"], origin["level"]) for origin in told["origins"]] == [("operator override", "override")]
    assert told["origins"][0]["by"] == "server"
    simulation.deploy(lab)
    assert simulation.tasks(simulation.client.create_plan(lab)) == {}

    [listed] = json.loads(simulation.cli("env", "override", "list", lab, "--json"))["items"]
    assert (listed["value"], listed["by"], listed["roles"]) == (8, "server", ["*"])
    simulation.cli("env", "override", "unset", lab, PATH, "main", "workers")
    [file] = simulation.client.plan_files(simulation.client.create_plan(lab)["id"])
    assert "-workers = 8\n+workers = 2" in file["diff"]
    assert "has no override" in simulation.cli("env", "override", "unset", lab, PATH, "main", "workers", status=2)


def test_an_override_of_a_file_that_no_plugin_declares_is_refused_and_says_what_is_meant(simulation):
    lab = simulation.environment("meant", FILE, config_files.WholeFile(path="/etc/whole", content="x\n"))
    revision = simulation.client.environment(lab)["revision"]
    told = simulation.cli("env", "override", "set", lab, "/etc/ap.ini", "-", "k", "1", status=2)
    assert f"Did you mean {PATH}?" in told
    assert "as a whole" in simulation.cli("env", "override", "set", lab, "/etc/whole", "-", "k", "1", status=2)
    assert "nobody" in simulation.cli("env", "override", "set", lab, PATH, "-", "k", "1", "--role", "nobody", status=2)
    assert simulation.client.overrides(lab) == []
    assert simulation.client.environment(lab)["revision"] == revision


def test_a_plan_made_before_an_override_is_outdated_and_a_disabled_plugin_leaves_a_finding(simulation):
    lab = simulation.environment("toolate", FILE, config_files.Option(path=PATH, key="k", value=1))
    plan = simulation.client.create_plan(lab)
    simulation.cli("env", "override", "set", lab, PATH, "-", "k", "on")
    told = simulation.cli("deploy", lab, "--plan", plan["id"], "--yes", status=2)
    assert f"the operator's override of {PATH} k" in told
    simulation.client.disable_plugin(lab, "toolate")
    assert "no enabled plugin declares" in simulation.cli("plan", "create", lab, status=2)


def test_an_override_for_another_state_than_the_present_one_is_refused(simulation):
    lab = simulation.environment("edited", FILE, config_files.Option(path=PATH, key="k", value=1))
    headers = {"Authorization": f"Bearer {(simulation.data / 'admin-token').read_text().strip()}"}
    place = f"{simulation.url}/api/environments/{lab}/overrides"
    seen = httpx.get(place, headers=headers).headers["ETag"]
    simulation.client.set_override(lab, path=PATH, key="k", value=2)
    body = {"path": PATH, "key": "k", "value": 3}
    refused = httpx.put(place, headers={**headers, "If-Match": seen}, json=body, timeout=60)
    assert refused.status_code == 412
    now = httpx.get(place, headers=headers).headers["ETag"]
    assert httpx.put(place, headers={**headers, "If-Match": now}, json=body, timeout=60).status_code == 200
    assert httpx.delete(place, headers={**headers, "If-Match": now}, params={"path": PATH, "key": "k"}).status_code == 412
    assert [item["value"] for item in simulation.client.overrides(lab)] == [3]

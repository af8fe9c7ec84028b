# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The bundled plugin inventory the whole way: built, installed, used by API and command line, upgraded, taken back, removed."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
from simulation import Simulation, until
from sqlalchemy import select
from stoker.db import tables
from stoker.db.database import Database
from stoker.db.plugin_traces import STAYING
from stoker_sdk.source import build_bundle

TESTS = Path(__file__).parents[4] / "plugins/inventory/tests"


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    """Both versions, built as their author would."""
    spec = importlib.util.spec_from_file_location("inventory_versions", TESTS / "inventory_versions.py")
    versions = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(versions)
    folder = tmp_path_factory.mktemp("inventory")
    return [build_bundle(versions.project_of(version, folder), folder) for version in ("1.0.0", "2.0.0")]


@pytest.fixture
def lab(own_simulation, tmp_path, monkeypatch):
    """A server with an environment ``lab`` of two nodes."""
    own_simulation.environment("lab", nodes=2)
    return own_simulation


def stoker(lab, *words, status=0):
    return lab.cli(*words, status=status, XDG_CACHE_HOME=str(lab.folder / "cache"))


def asset(lab, node):
    """What is shown of a node, once it is fresh."""
    found = lab.client.node(node).get("ext", {}).get("inventory", {})
    return found.get("asset", found)


def file_of(lab, node):
    files = lab.client.plan_files(lab.client.plans("lab")[0]["id"], node=node, everything=True)
    return next((found["diff"] for found in files if found["path"] == "/etc/asset-label"), None)


@pytest.mark.timeout(240)
def test_the_whole_way(lab: Simulation, bundles) -> None:
    one, two = bundles
    labels_are_written_and_shown(lab, one)
    an_action_becomes_a_job(lab)
    version_2_comes_and_is_taken_back(lab, two)
    nothing_is_left(lab)


SET_LABEL = ("inventory", "set-label", "--env", "lab")
SHOWN = {"label": "AB-0001", "owner": "web team", "place": "r1/12"}


def labels_are_written_and_shown(lab, one):
    # Version 1 is installed and enabled; labels are written and shown.
    stoker(lab, "plugins", "install", one)
    refused = stoker(lab, "env", "enable", "lab", "inventory", "--set", "label_pattern=[A-Z", status=2)
    assert "not a regular expression" in refused
    stoker(lab, "env", "enable", "lab", "inventory")
    assert "inventory" in stoker(lab, "inventory", "--help")
    stoker(lab, *SET_LABEL, "lab1", "AB-0001", "--owner", "web team", "--place", "r1/12")
    assert "does not look like a label" in stoker(lab, *SET_LABEL, "lab2", "nonsense", status=2)
    assert "no node" in stoker(lab, *SET_LABEL, "lab9", "AB-0009", status=2)
    rows = json.loads(stoker(lab, "inventory", "labels", "--env", "lab", "--json"))["items"]
    assert [(row["node"], row["label"], row["place"]) for row in rows] == [("lab1", "AB-0001", "r1/12"), ("lab2", "", "")]
    until(lambda: asset(lab, "lab1") == SHOWN, "the label at the node")
    assert "inventory.write_labels" in stoker(lab, "plugins", "permissions")

    # The label comes to the node with the next deployment.
    lab.deploy("lab")
    assert "AB-0001" in file_of(lab, "lab1")
    assert file_of(lab, "lab2") is None


def an_action_becomes_a_job(lab):
    form = lab.folder / "labels.json"
    form.write_text(
        json.dumps({"labels": [{"node": "lab2", "label": "AB-0002", "place": "cellar"}, {"node": "x", "label": "AB-1"}]})
    )
    job = json.loads(
        stoker(lab, "actions", "start", "inventory.import_labels", "--env", "lab", "--form", form, "--yes", "--json")
    )
    assert (job["state"], job["result"]) == ("succeeded", {"imported": 1, "skipped": 1})
    assert "no such node" in stoker(lab, "jobs", "log", job["id"])
    done = stoker(lab, "actions", "start", "inventory.recount", "--env", "lab")
    assert '"labelled": 2' in done
    assert job["id"] in stoker(lab, "jobs", "list", "--plugin", "inventory")
    listed = json.loads(stoker(lab, "jobs", "list", "--plugin", "inventory", "--json"))["items"]
    assert [item["action"] for item in listed] == ["recount", "import_labels"]
    assert json.loads(stoker(lab, "jobs", "show", job["id"], "--json")) == job
    offered = json.loads(stoker(lab, "actions", "list", "--env", "lab", "--json"))["items"]
    assert {item["name"] for item in offered} == {"import_labels", "recount"}
    refused = stoker(lab, "actions", "start", "inventory.import_labels", "--env", "lab", "--yes", status=2)
    assert "remedy: Give it a value in the form." in refused


def version_2_comes_and_is_taken_back(lab, two):
    # It splits the place; it is shown first, and can be taken back.
    stoker(lab, "plugins", "install", two)
    assert "assets" in stoker(lab, "env", "plugin", "upgrade", "lab", "inventory", "--dry-run")
    stoker(lab, "env", "plugin", "upgrade", "lab", "inventory", "2.0.0", "--yes")
    moved = {"label": "AB-0001", "owner": "web team", "location": {"room": "r1", "rack": "12"}}
    until(lambda: asset(lab, "lab1") == moved, "the label in the new form")
    rows = json.loads(stoker(lab, "inventory", "labels", "--env", "lab", "--rack", "12", "--json"))["items"]
    assert [(row["node"], row["room"], row["rack"]) for row in rows] == [("lab1", "r1", "12")]
    lab.deploy("lab")
    assert "location: r1/12" in file_of(lab, "lab1")
    stoker(lab, *SET_LABEL, "lab2", "AB-0003", "--room", "r2")
    assert "written" in stoker(lab, "env", "plugin", "rollback", "lab", "inventory", "--yes", status=2)
    stoker(lab, "env", "plugin", "rollback", "lab", "inventory", "--yes", "--discard-records")
    assert json.loads(stoker(lab, "inventory", "labels", "--env", "lab", "--json"))["items"][1]["label"] == "AB-0002"
    until(lambda: asset(lab, "lab1") == SHOWN, "the label in the old form")


def nothing_is_left(lab):
    """No file, process or row of the plugin, but history."""
    stoker(lab, "env", "disable", "lab", "inventory")
    lab.deploy("lab")
    until(lambda: not asset(lab, "lab1"), "nothing at the node")
    for version in ("2.0.0", "1.0.0"):
        stoker(lab, "plugins", "uninstall", f"inventory={version}", "--delete-records")
    assert "inventory" not in stoker(lab, "plugins", "list")
    assert "No such command" in stoker(lab, "inventory", "labels", status=2)
    assert not [path for path in lab.data.rglob("*") if "inventory" in path.name]
    commands = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert not [line for line in commands if b"stoker_sdk.worker" in line and str(lab.data).encode() in line]
    database = Database(lab.server.database_url)
    with database.read() as connection:
        for table in tables.metadata.sorted_tables:
            column = table.c.get("plugin")
            if column is not None and table.name not in STAYING:
                assert not connection.execute(select(table).where(column == "inventory")).all(), table.name
    database.close()

# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The plugin holds together, with the SDK alone: manifest, schemas, migration, settings, hooks and jobs on records in memory."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import jsonschema_rs
import pytest
from stoker_plugin_inventory import assets, environment_nodes, hooks, jobs, plugin
from stoker_plugin_inventory.application import app
from stoker_plugin_inventory.label_settings import LabelSettings, check
from stoker_sdk.context import (
    ApiAnswer,
    Caller,
    Context,
    Environment,
    Event,
    Object,
    Page,
    PlanInput,
    PlanNode,
    Record,
    set_current,
)
from stoker_sdk.extension_points import all_points, config_files
from stoker_sdk.manifest import read_manifest, to_manifest
from stoker_sdk.model.expression import condition_source
from stoker_sdk.model.program import compile_expression
from stoker_sdk.validation import check_plugin

sys.path.insert(0, str(Path(__file__).parent))

from inventory_versions import PROJECT, project_of

NODES = {"id1": "web1", "id2": "web2", "id3": "db1"}


class Memory:
    """Records as the server keeps them, and its API as far as the plugin asks it."""

    def __init__(self, **kept):
        self.kept = kept

    def get(self, collection, key):
        return Record(key=key, value=self.kept[key], revision=1) if key in self.kept else None

    def get_many(self, collection, keys):
        return {key: self.get(collection, key) for key in keys if key in self.kept}

    def put(self, collection, key, value, *, revision=None):
        assert jsonschema_rs.is_valid(assets.SCHEMA, value)
        self.kept[key] = value

    def put_many(self, collection, values, *, revisions=None):
        for key, value in values.items():
            self.put(collection, key, value)

    def delete(self, collection, keys):
        return sum(self.kept.pop(key, None) is not None for key in keys)

    def find(self, collection, where=None, *, after="", limit=100):
        (rack,) = (where or {}).values()
        found = [key for key in self.kept if self.kept[key]["location"]["rack"] == rack]
        return Page(records=[self.get(collection, key) for key in found])

    def request(self, method, path, body=None):
        assert path.startswith("/api/environments/e1/nodes?")
        return ApiAnswer(status=200, body={"items": [{"id": key, "name": name} for key, name in NODES.items()]})


class Run:
    """A job as the server hands it to an action."""

    id, target, cancelled = "j1", None, False

    def __init__(self, form, state=None):
        self.form, self.state, self.lines, self.states, self.fractions = form, state, [], [], []

    def progress(self, fraction, message=""):
        self.fractions.append(fraction)

    def log(self, line):
        self.lines.append(line)

    def checkpoint(self, state):
        self.states.append(state)


def context_of(memory):
    made = Context(
        plugin="inventory",
        version=assets.VERSION,
        environment=Environment(id="e1", name="lab"),
        settings=LabelSettings().model_dump(),
        caller=Caller(kind="user", name="ann", access="operator", permissions=["write_labels"]),
        records=memory,
        api=memory,
    )
    set_current(made)
    return made


def asset(label, rack=""):
    return assets.document({"label": label, "rack": rack}, {})


def test_the_plugin_is_whole_and_uses_every_point_for_code():
    assert check_plugin(plugin) == []
    manifest = json.loads(json.dumps(to_manifest(plugin)))
    assert json.loads(json.dumps(to_manifest(read_manifest(manifest)))) == manifest
    used = {type(item) for item in plugin.contributions}
    assert not [
        point.name
        for point in all_points().values()
        if (point.needs_code or point.name in ("records", "permissions", "commands")) and not used & set(point.contributions)
    ]


@pytest.mark.parametrize("version", ["1.0.0", "2.0.0"])
def test_both_versions_are_valid_projects(tmp_path, version):
    project = project_of(version, tmp_path)
    done = subprocess.run(
        [Path(sys.executable).with_name("stoker-plugin"), "check", project], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"inventory {version} is valid" in done.stdout


def test_the_migration_keeps_what_version_1_knew():
    spec = importlib.util.spec_from_file_location("assets_1", PROJECT / "tests/version_1/assets.py")
    old = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(old)
    before = {
        "a": old.document({"label": "AB-0001", "owner": "web", "place": "r1/12"}, {}),
        "b": old.document({"label": "AB-0002", "place": "cellar"}, {}),
        "c": {"label": ""},
    }
    assert all(jsonschema_rs.is_valid(old.SCHEMA, document) for document in before.values())
    after = assets.split_place(before)
    assert all(jsonschema_rs.is_valid(assets.SCHEMA, document) for document in after.values())
    assert assets.row(after["a"]) == {"label": "AB-0001", "owner": "web", "room": "r1", "rack": "12"}
    assert assets.row(after["b"]) == {"label": "AB-0002", "owner": "", "room": "cellar", "rack": ""}
    assert after["c"]["label"] == ""


@pytest.mark.parametrize(
    ("pattern", "found"),
    [("[A-Z]{2}-[0-9]{4}", []), ("[A-Z", [("label_pattern", "error")]), (".*", [("label_pattern", "warning")])],
)
def test_settings_must_be_a_pattern(pattern, found):
    assert [(item.field, item.severity) for item in check({"label_pattern": pattern})] == found


def test_hooks_see_what_records_hold():
    memory = Memory(id1=asset("AB-0001", "12"), id2=asset(""))
    context = context_of(memory)
    shown = hooks.show_assets([Object(id=key) for key in NODES], context)
    assert shown == {"id1": {"label": "AB-0001", "owner": "", "location": {"room": "", "rack": "12"}}}
    hooks.come_and_gone(Event(id=1, name="node.created", at=1.0, object_id="id3"), context)
    hooks.come_and_gone(Event(id=2, name="node.created", at=1.0, object_id="id1"), context)
    assert (memory.kept["id3"]["label"], memory.kept["id1"]["label"]) == ("", "AB-0001")
    hooks.come_and_gone(Event(id=3, name="node.removed", at=1.0, object_id="id1"), context)
    assert "id1" not in memory.kept


def test_each_node_gets_its_own_file_in_few_contributions():
    count = 300
    memory = Memory(**{f"id{n:032}": asset(f"AB-{n:04}", '1"2\\ü') for n in range(count)})
    nodes = [PlanNode(id=key, name=key, address="192.0.2.1", roles=[], facts={}) for key in [*memory.kept, "bare"]]
    plan = PlanInput(environment=Environment(id="e1", name="lab"), settings=LabelSettings().model_dump(), nodes=nodes, plugins={})
    files = hooks.label_files(plan, context_of(memory))
    assert len(files) < count / 10
    assert all(isinstance(item, config_files.WholeFile) and not list(item.check()) for item in files)
    programs = [(compile_expression(condition_source(f.when)), compile_expression(f.content.source)) for f in files]
    for node in ("bare", f"id{7:032}", f"id{299:032}"):
        seen = {"node": {"id": node}}
        texts = [content.evaluate(seen) for when, content in programs if when.evaluate(seen)]
        assert texts == ([] if node == "bare" else [f'AB-{int(node[2:]):04}\nlocation: 1"2\\ü\n'])
    off = PlanInput(environment=plan.environment, settings={"write_file": False}, nodes=nodes, plugins={})
    assert hooks.label_files(off, context_of(memory)) == []


def test_labels_are_written_and_read_over_http():
    memory = Memory()
    context_of(memory)
    client = app.test_client()
    made = client.put("/labels/web1", json={"label": "AB-0001", "owner": "web team", "rack": "12"})
    assert (made.status_code, made.json["owner"]) == (200, "web team")
    assert client.put("/labels/web1", json={"room": "r1"}).json == {
        "node": "web1",
        "label": "AB-0001",
        "owner": "web team",
        "room": "r1",
        "rack": "12",
    }
    assert client.get("/labels/web1").json["room"] == "r1"
    assert [row["node"] for row in client.get("/labels").json["items"]] == ["db1", "web1", "web2"]
    assert [row["node"] for row in client.get("/labels?missing=true").json["items"]] == ["db1", "web2"]
    assert [row["node"] for row in client.get("/labels?rack=12").json["items"]] == ["web1"]
    for answer, status in (
        (client.put("/labels/web1", json={"label": "nonsense"}), 422),
        (client.put("/labels/web1", json={"colour": "red"}), 422),
        (client.put("/labels/web9", json={"label": "AB-0002"}), 404),
        (client.get("/labels/web2"), 404),
    ):
        assert (answer.status_code, answer.mimetype) == (status, "application/problem+json")
        assert answer.json["remedy"]
    assert client.delete("/labels/web1").json == {"node": "web1", "dropped": True}
    assert memory.kept == {}
    assert set(client.get("/openapi.json").json["paths"]) == {"/labels", "/labels/{node}"}


def test_jobs_go_on_where_they_were():
    memory = Memory()
    context = context_of(memory)
    labels = [{"node": "web1", "label": "AB-0001"}, {"node": "web9", "label": "AB-0002"}, {"node": "db1", "label": "?"}]
    assert jsonschema_rs.is_valid(jobs.IMPORT_FORM, {"labels": labels})
    run = Run({"labels": labels})
    assert jobs.import_labels(run, context) == {"imported": 1, "skipped": 2}
    assert len(run.lines) == 2
    assert run.states == [{"at": 3, "imported": 1, "skipped": 2}]
    assert run.fractions == [1.0]
    assert jobs.import_labels(Run({"labels": labels}, run.states[-1]), context) == {"imported": 1, "skipped": 2}
    counted = jobs.recount(Run({}), context)
    assert counted == {"labelled": 1, "missing": 2, "owners": {"nobody": 1}}
    assert jsonschema_rs.is_valid(jobs.COUNTED, counted)


def test_a_node_that_is_not_there_is_named():
    with pytest.raises(environment_nodes.UnknownNodeError, match="web9"):
        environment_nodes.identity(context_of(Memory()), "web9")

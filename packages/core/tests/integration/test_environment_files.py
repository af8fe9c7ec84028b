# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""An environment as a file: exported, compared, applied to an empty server, all or nothing, and twice the same."""

from __future__ import annotations

import json

import pytest
import yaml
from simulation import Simulation
from stoker_sdk import ref
from stoker_sdk.extension_points import components, config_files, node_packages, roles, settings, tasks

PATH = "/etc/app.ini"
SCHEMA = {
    "type": "object",
    "properties": {
        "workers": {"type": "integer", "default": 1},
        "password": {"type": "string", "x-secret": True},
        "key": {"type": "string", "x-secret": {"generator": "password"}},
        "tls": {"type": "object", "properties": {"key": {"type": "string", "x-secret": True}}},
    },
}
APP = (
    settings.Settings(json_schema=SCHEMA),
    roles.Role(name="extra"),
    node_packages.NodePackages(roles=["*"], packages=["app"]),
    config_files.ConfigFile(path=PATH, format="ini", mode="0600"),
    config_files.Option(path=PATH, key="workers", value=ref.settings.workers),
    config_files.Option(path=PATH, key="password", value=ref.settings.password),
    config_files.Option(path=PATH, key="key", value=ref.settings.key),
    tasks.Service(id="run", roles=["extra"], name="app", restart_on=[f"file:{PATH}"]),
)


@pytest.fixture(scope="module")
def other(tmp_path_factory, running_server_class):
    """A second server, with nodes and plugins, and no environment."""
    folder = tmp_path_factory.mktemp("other")
    made = Simulation(running_server_class(folder / "data"), folder)
    try:
        yield made.start()
    finally:
        made.end()


def filled(simulation, name="filed", nodes=2):
    simulation.environment(name, *APP, nodes=nodes)
    simulation.client.enable_plugin(name, name, settings={"workers": 3, "password": "hunter2"})
    simulation.client.assign_node(name, f"{name}1", [name, "extra"])
    simulation.client.set_override(name, path=PATH, key="tuned", section="main", value=[1, 2], roles=["extra"])
    return name


def exported(simulation, name, folder, *options):
    path = folder / f"{name}.yaml"
    path.write_text(simulation.cli("env", "export", name, *options))
    return path


def planned(simulation, name):
    plan = simulation.client.create_plan(name)
    return (
        simulation.client.plan_files(plan["id"], everything=True),
        simulation.client.plan_packages(plan["id"]),
        simulation.client.plan_tasks(plan["id"]),
    )


def test_export_and_apply_into_an_empty_server_give_an_equal_plan(simulation, other, tmp_path):
    lab = filled(simulation)
    path = exported(simulation, lab, tmp_path, "--with-nodes")
    text = path.read_text()
    assert "hunter2" not in text
    document = yaml.safe_load(text)
    assert document["plugins"][lab]["settings"] == {
        "workers": 3,
        "password": {"$secret": f"{lab}.password"},
        "key": {"$generated": True},
    }
    assert text == simulation.cli("env", "export", lab, "--with-nodes")

    other.install(lab, *APP)
    other.ask("add", data=(2, lab))
    told = other.cli("env", "apply", "-f", path, "--yes", status=2)
    assert f"the secret {lab}.password" in told
    assert other.client.environments() == []
    (tmp_path / "password").write_text("hunter2\n")
    other.cli("env", "apply", "-f", path, "--yes", "--secret", f"{lab}.password=@{tmp_path / 'password'}")
    assert planned(other, lab) == planned(simulation, lab)
    assert other.cli("env", "export", lab, "--with-nodes") == text

    again = json.loads(other.cli("env", "apply", "-f", path, "--yes", "--json"))
    assert (again["changes"], again["created"]) == ([], False)
    assert "is as" in other.cli("env", "diff", lab, path)


def test_a_file_changes_an_environment_to_exactly_what_it_says(simulation, tmp_path):
    lab = filled(simulation, "exact")
    path = exported(simulation, lab, tmp_path)
    document = yaml.safe_load(path.read_text())
    document["plugins"][lab]["settings"]["workers"] = 9
    document["overrides"] = [{"file": PATH, "key": "nice", "value": "on"}]
    document["nodes"] = {"exact2": {"roles": [lab, "extra"]}}
    path.write_text(yaml.safe_dump(document))
    before = simulation.client.environment(lab)["revision"]

    found = json.loads(simulation.cli("env", "diff", lab, path, "--json", status=1))
    places = {change["place"]: change["kind"] for change in found["changes"]}
    assert places == {
        f"plugins.{lab}.settings.workers": "change",
        "nodes.exact1": "remove",
        "nodes.exact2": "change",
        f"overrides.{PATH}.main.tuned.(extra)": "remove",
        f"overrides.{PATH}.-.nice": "add",
    }
    would = json.loads(simulation.cli("env", "apply", "-f", path, "--dry-run", "--json"))
    assert simulation.client.environment(lab)["revision"] == before
    done = json.loads(simulation.cli("env", "apply", "-f", path, "--yes", "--json"))
    assert done["changes"] == would["changes"] == found["changes"]
    assert [node["name"] for node in simulation.client.environment_nodes(lab)] == ["exact2"]
    assert [override["key"] for override in simulation.client.overrides(lab)] == ["nice"]
    simulation.cli("env", "diff", lab, path)
    revision = simulation.client.environment(lab)["revision"]
    simulation.cli("env", "apply", "-f", path, "--yes")
    assert simulation.client.environment(lab)["revision"] == revision


def test_every_fault_is_told_and_nothing_is_half_done(simulation, tmp_path):
    lab = filled(simulation, "faulty", nodes=1)
    path = exported(simulation, lab, tmp_path)
    document = yaml.safe_load(path.read_text())
    document["name"] = "faulty-copy"
    document["release"] = "grand"
    document["plugins"]["nobody"] = {"version": "9.9.9"}
    document["plugins"][lab]["settings"]["workers"] = "many"
    document["nodes"] = {"ghost": {"roles": ["king"]}, "faulty1": {"roles": [lab]}}
    document["overrides"].append({"file": "/etc/ap.ini", "key": "k", "value": 1})
    path.write_text(yaml.safe_dump(document))
    told = json.loads(
        simulation.cli("env", "apply", "-f", path, "--yes", "--json", "--secret", f"nix=@{path}", status=2).partition("\nerror")[
            0
        ]
    )
    rules = {finding["rule"] for finding in told["findings"]}
    assert {"J002", "J003", "J004", "J005", "J007", "J008", "O001"} <= rules
    assert any(rule.startswith("N") for rule in rules)
    assert "faulty-copy" not in {found["name"] for found in simulation.client.environments()}


def test_a_file_of_another_format_and_a_secret_in_the_clear_are_refused(simulation, tmp_path):
    lab = filled(simulation, "clear", nodes=1)
    path = exported(simulation, lab, tmp_path)
    document = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({**document, "format": 2, "stoker": "9.0"}))
    told = simulation.cli("env", "apply", "-f", path, "--yes", status=2)
    assert "format 2, written by Stoker 9.0" in told
    document["plugins"][lab]["settings"]["password"] = "in-the-clear"
    path.write_text(yaml.safe_dump(document))
    told = simulation.cli("env", "apply", "-f", path, "--yes", status=2)
    assert "in the clear" in told
    assert "in-the-clear" not in told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("format: 1\nname: x\nnonsense: 1\n", "line 3"),
        ("format: 1\nname: x\nplugins:\n  a:\n    verson: 1\n", "line 5"),
        ("format: 1\nname: x\nname: y\n", "there twice"),
        ("a: &a [1]\nb: *a\n", "aliases"),
        ("format: !!bool maybe\n", "no text, number"),
        ("format: !!timestamp soon\n", "no text, number"),
        ("- 1\n", "does not hold"),
        ("a: [\n", "is not YAML"),
        ("format: 1\nname: !!python/object:os.system x\n", "is not YAML"),
        ("[" * 200 + "]" * 200, "too deeply"),
        ("", "does not hold"),
    ],
)
def test_hostile_and_mistaken_files_are_told(simulation, tmp_path, text, told):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    assert told in simulation.cli("env", "apply", "-f", path, "--yes", status=2)


def test_an_environment_is_made_with_plugins_in_any_order_or_not_at_all(simulation):
    simulation.install("base-of-two", tasks.Shell(id="a", roles=["*"], run="true"))
    simulation.install("leans-on-it", tasks.Shell(id="b", roles=["*"], run="true", after=["base-of-two.a"]))
    made = json.loads(
        simulation.cli("env", "create", "chosen", "--plugin", "leans-on-it", "--plugin", "base-of-two=1.0.0", "--json")
    )
    assert {(plugin["name"], plugin["version"]) for plugin in made["plugins"]} == {
        ("base-of-two", "1.0.0"),
        ("leans-on-it", "1.0.0"),
    }
    told = simulation.cli("env", "create", "unmade", "--plugin", "base-of-two", "--plugin", "no-such=2", status=2)
    assert "no-such 2 is not installed" in told
    assert "unmade" not in {found["name"] for found in simulation.client.environments()}
    assert "there already" in simulation.cli("env", "create", "chosen", "--plugin", "base-of-two", status=2)
    assert "no-such" in simulation.cli("env", "create", "unmade", "--release", "no-such", status=2)


def test_a_component_brings_its_plugins_to_an_environment_that_is_made(simulation):
    simulation.install("compo", components.Component(name="backend:fast", title="Fast"))
    made = json.loads(simulation.cli("env", "create", "composed", "--component", "backend:fast", "--json"))
    assert [plugin["name"] for plugin in made["plugins"]] == ["compo"]
    assert "no component" in simulation.cli("env", "create", "composed2", "--component", "backend:slow", status=2)

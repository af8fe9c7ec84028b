# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""What a plugin took over is given back on the nodes, and what a bundle or a secret cannot give is told before anything runs."""

from __future__ import annotations

import pydantic
import pytest
import yaml
from stoker.domain.node import Observation, Watch
from stoker.errors import StokerError
from stoker_sdk import ref
from stoker_sdk.extension_points import config_files, settings, tasks
from stoker_sdk.extension_points.tasks import FileItem

MADE, TREE, REPLACED, TAKEN = "/srv/new/deep/made", "/srv/new/tree", "/etc/replaced", "/etc/taken"
SECRETS = "/etc/secrets.yaml"


class Key(pydantic.BaseModel):
    key: str = settings.field(title="Key", secret=True)


def look(simulation, node, *paths):
    return simulation.ask("observe", node, Watch(files=list(paths)), kind=Observation).files


def fates(simulation, plan):
    return {file["path"]: file["status"] for file in simulation.client.plan_files(plan["id"])}


def test_everything_is_given_back_and_the_plan_says_how(simulation):
    name = "back"
    items = [FileItem(path=TREE, state="directory"), FileItem(path=TAKEN, state="absent")]
    simulation.environment(
        name,
        config_files.WholeFile(path=MADE, roles=[name], content="x\n"),
        config_files.WholeFile(path=REPLACED, roles=[name], content="ours\n"),
        tasks.Files(id="tree", roles=[name], files=items),
    )
    simulation.change("back1", write={REPLACED: "theirs\n", TAKEN: "theirs\n"})
    plan = simulation.client.create_plan(name)
    assert fates(simulation, plan) == {MADE: "create", REPLACED: "change", TAKEN: "remove"}
    simulation.deploy(name)
    assert look(simulation, "back1", TAKEN)[TAKEN].kind == "absent"
    assert not simulation.client.create_plan(name)["counts"]["tasks"]
    simulation.client.disable_plugin(name, name)
    plan = simulation.client.create_plan(name)
    assert fates(simulation, plan) == {MADE: "remove", TREE: "remove", REPLACED: "restore", TAKEN: "restore"}
    simulation.deploy(name)
    found = look(simulation, "back1", MADE, TREE, "/srv/new/deep", "/srv/new", REPLACED, TAKEN)
    assert {path: file.content for path, file in found.items() if file.kind != "absent"} == dict.fromkeys(
        (REPLACED, TAKEN), "theirs\n"
    )


@pytest.mark.parametrize(
    ("files", "message"),
    [({"t.j2": b"gr\xfc\xdfe"}, r"template t\.j2 is not UTF-8"), ({}, r"the bundle has no template t\.j2")],
)
def test_a_template_that_cannot_be_read_is_a_finding(simulation, files, message):
    name = f"unread{len(files)}"
    simulation.install(name, config_files.WholeFile(path="/etc/t", template="t.j2"), files=files)
    simulation.client.create_environment(name)
    with pytest.raises(StokerError, match=message) as refused:
        simulation.client.enable_plugin(name, name)
    (finding,) = refused.value.data["findings"]
    assert (finding["plugin"], finding["file"]) == (name, "t.j2")


def test_a_missing_file_is_a_finding_beside_the_others(simulation):
    name = "lacking"
    simulation.install(
        name,
        tasks.Script(id="s", roles=[name], source="s.sh", environment={"X": ref("node.nothing")}),
        tasks.Upload(id="u", roles=[name], source="u.bin", path="/srv/u"),
    )
    simulation.client.create_environment(name)
    with pytest.raises(StokerError) as refused:
        simulation.client.enable_plugin(name, name)
    assert sorted(finding["file"] for finding in refused.value.data["findings"]) == ["", "s.sh", "u.bin"]


def test_a_secret_is_written_as_the_file_needs_it_and_shows_nowhere(simulation):
    name, value = "quoting", "pa'ss\"w\\ord: [x]\nadmin: true"
    simulation.install(
        name,
        settings.Settings.from_model(Key),
        config_files.ConfigFile(path=SECRETS, roles=[name], format="yaml"),
        config_files.Option(path=SECRETS, roles=[name], key="key", value=ref.settings.key),
        config_files.Option(path=SECRETS, roles=[name], key="text", value="plain"),
    )
    simulation.client.create_environment(name)
    simulation.client.enable_plugin(name, name, settings={"key": value})
    (node,) = simulation.ask("add", data=(1, name), kind=list[str])
    simulation.client.add_node(node, node, transport="simulated")
    simulation.client.assign_node(name, node, [name])
    simulation.deploy(name)
    written = look(simulation, node, SECRETS)[SECRETS].content
    assert yaml.safe_load(written) == {"key": value, "text": "plain"}
    plan = simulation.client.create_plan(name)
    assert not plan["counts"]["tasks"]
    shown = str(simulation.client.plan_files(plan["id"], everything=True))
    assert "admin" not in shown
    # The same value in a format of lines is refused, and nothing is written.
    simulation.install(
        name,
        settings.Settings.from_model(Key),
        config_files.ConfigFile(path=SECRETS, roles=[name], format="ini"),
        config_files.Option(path=SECRETS, roles=[name], key="key", value=ref.settings.key),
        version="2.0.0",
    )
    simulation.client.enable_plugin(name, name, version="2.0.0")
    with pytest.raises(StokerError, match="more than one line") as refused:
        simulation.client.create_plan(name)
    (finding,) = refused.value.data["findings"]
    assert (finding["plugin"], finding["field"], finding["file"]) == (name, "settings.key", SECRETS)
    assert "admin" not in str(refused.value.data)

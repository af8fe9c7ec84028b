# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""plugin.yaml: plain data only; what is refused is named with its line."""

from __future__ import annotations

from pathlib import Path

import pytest
from stoker_sdk.errors import InvalidPluginError
from stoker_sdk.extension_points.tasks import Shell
from stoker_sdk.plugin_yaml import read_yaml

HEAD = "name: hello\nversion: 1.0.0\ntitle: Hello\n"

HOSTILE = {
    "tag": ("description: !!python/object/apply:os.system [id]\n", "Y002", 4),
    "own tag": ("description: !thing x\n", "Y002", 4),
    "anchor": ("description: &a x\n", "Y002", 4),
    "alias": ("description: *a\n", "Y002", 4),
    "bomb": ("a: &a [x, x]\nb: &b [*a, *a]\n", "Y002", 4),
    "duplicate key": ("title: Other\n", "Y002", 4),
    "key that is no text": ("1: x\n", "Y002", 4),
    "syntax": ("description: [\n", "Y001", 5),
    "control character": ("description: \x00\n", "Y001", 0),
}


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "plugin.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_yaml_is_refused(case: str, tmp_path: Path) -> None:
    text, rule, line = HOSTILE[case]
    with pytest.raises(InvalidPluginError) as caught:
        read_yaml(write(tmp_path, HEAD + text))
    assert [(finding.rule, finding.line) for finding in caught.value.findings] == [(rule, line)]


def test_deep_nesting_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidPluginError):
        read_yaml(write(tmp_path, HEAD + "description: " + "[" * 100_000))


def test_on_is_a_key_and_not_a_boolean(tmp_path: Path) -> None:
    text = HEAD + "contributions:\n- {point: tasks.shell, id: bye, roles: ['*'], run: 'true', on: remove}\n"
    (task,) = read_yaml(write(tmp_path, text)).contributions
    assert isinstance(task, Shell)
    assert task.on == "remove"


def test_every_fault_is_found_at_once(tmp_path: Path) -> None:
    text = (
        HEAD + "colour: red\ncontributions:\n- {point: nothing}\n- {point: roles, name: 1}\n- {point: roles, name: x, sise: 1}\n"
    )
    with pytest.raises(InvalidPluginError) as caught:
        read_yaml(write(tmp_path, text))
    assert sorted(finding.rule for finding in caught.value.findings) == ["P013", "P014", "P014", "P014"]


WRONG = """\
name: Hello
version: one
titel: Hello
contributions:
- {point: roles, name: web}
- point: roles
  name: x
  sise: 1
- point: taks.shell
- point: tasks.shell
  id: a
  roles: "*"
  run: {$cel: settings.x}
  phase: instal
  environment: {A: {$cal: x}}
- point: tasks.files
  id: b
  roles: ["*"]
  files:
  - path: /x
  - path: /y
    mod: "0644"
- point: tasks.shell
  id: a b
  roles: ["*"]
  run: "true"
"""


def test_what_does_not_fit_is_told_with_its_line_and_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(InvalidPluginError) as caught:
        read_yaml(write(tmp_path, WRONG))
    found = {(finding.rule, finding.field, finding.line): finding for finding in caught.value.findings}
    assert set(found) == {
        ("P001", "name", 1),
        ("P002", "version", 2),
        ("P013", "titel", 3),
        ("P014", "", 1),
        ("P014", "sise", 8),
        ("P014", "point", 9),
        ("P014", "roles", 12),
        ("P014", "run", 13),
        ("P014", "phase", 14),
        ("P014", "environment.A", 15),
        ("P014", "files[1].mod", 22),
        ("T005", "id", 24),
    }
    assert {finding.file for finding in found.values()} == {"plugin.yaml"}
    assert "There are: conflicts, description, max" in found["P014", "sise", 8].remedy
    assert found["P014", "point", 9].remedy.startswith("Did you mean 'tasks.shell'? There are: actions, before_plan, ")
    assert found["P014", "run", 13].message == "an expression cannot stand here."
    assert found["P014", "phase", 14].remedy.startswith("Did you mean 'install'?")
    assert found["P014", "files[1].mod", 22].remedy.startswith("Did you mean 'mode'?")
    assert found["P013", "titel", 3].remedy.startswith("Did you mean 'title'?")

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

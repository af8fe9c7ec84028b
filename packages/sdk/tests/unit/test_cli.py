# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""stoker-plugin: what new writes is valid at once; bad input ends with 2."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from stoker_sdk.cli import main


@pytest.mark.parametrize("options", [[], ["--yaml"]])
def test_a_new_plugin_is_valid_and_builds_the_same_twice(options: list[str], tmp_path: Path) -> None:
    runner = CliRunner()
    assert runner.invoke(main, ["new", "my-array", "--output", str(tmp_path), *options]).exit_code == 0
    folder = tmp_path / "my-array"
    assert len([path for path in folder.rglob("*") if path.is_file()]) <= 5
    checked = runner.invoke(main, ["check", str(folder), "--json"])
    assert checked.exit_code == 0, checked.output
    sums = []
    for number in ("1", "2"):
        built = runner.invoke(main, ["build", str(folder), "--output", str(tmp_path / number), "--json"])
        assert built.exit_code == 0, built.output
        sums.append(json.loads(built.stdout)["sha256"])
    assert sums[0] == sums[1]


def test_a_wrong_plugin_ends_with_2_and_its_findings(tmp_path: Path) -> None:
    (tmp_path / "plugin.yaml").write_text("name: Hello\nversion: one\ntitle: Hello\n")
    result = CliRunner().invoke(main, ["check", str(tmp_path), "--json"])
    assert result.exit_code == 2
    assert [item["rule"] for item in json.loads(result.stdout)["findings"]] == ["P001", "P002"]


@pytest.mark.parametrize("arguments", [["new", "Not A Name"], ["check", "not-there"], ["check", "."]])
def test_bad_input_ends_with_2(arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(main, arguments).exit_code == 2


def test_the_schema_is_json() -> None:
    assert json.loads(CliRunner().invoke(main, ["schema"]).stdout)["$ref"] == "#/$defs/Plugin"

# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""stoker-plugin: what new writes is valid at once; bad input ends with 2."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from stoker_sdk.cli import main


@pytest.mark.parametrize("options", [[], ["--yaml"], ["--code"]])
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


def test_the_test_of_a_new_plugin_passes_where_it_was_made(tmp_path: Path) -> None:
    assert CliRunner().invoke(main, ["new", "greeting", "--output", str(tmp_path)]).exit_code == 0
    folder = tmp_path / "greeting"
    assert "    python -m pytest\n" in (folder / "README.md").read_text()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["new", "Not A Name"],
        ["new", "a", "--yaml", "--code"],
        ["check", "not-there"],
        ["check", "."],
        ["nothing"],
        ["check", "--no"],
    ],
)
def test_bad_input_ends_with_2_an_error_and_a_remedy(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert "\nremedy: " in result.stderr


@pytest.mark.parametrize("arguments", [["check", "not-there", "--json"], ["check", ".", "--json"], ["build", "--json", "--no"]])
def test_with_json_errors_are_json_on_standard_output(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, arguments)
    document = json.loads(result.stdout)
    assert (result.exit_code, result.stderr, document["ok"]) == (2, "", False)
    assert document["message"]
    assert document["remedy"]


def test_without_a_command_the_help_is_shown() -> None:
    result = CliRunner().invoke(main, [])
    assert result.exit_code == 2
    assert "Commands:" in result.output


@pytest.mark.parametrize("command", sorted(main.commands))
def test_examples_stand_on_lines_of_their_own(command: str) -> None:
    text = CliRunner().invoke(main, [command, "--help"]).output
    shown = text.partition("Examples:\n")[2].partition("\n\n")[0].splitlines()
    assert shown
    assert all("stoker-plugin" in line and line.count(f"stoker-plugin {command}") <= 1 for line in shown)
    assert "\b" not in text
    assert "\\b" not in text


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_printed_and_completes(shell: str) -> None:
    result = CliRunner().invoke(main, ["completion", shell])
    assert result.exit_code == 0
    assert "_STOKER_PLUGIN_COMPLETE" in result.stdout


def test_completion_completes_commands() -> None:
    variables = {"_STOKER_PLUGIN_COMPLETE": "bash_complete", "COMP_WORDS": "stoker-plugin ch", "COMP_CWORD": "1"}
    result = CliRunner().invoke(main, [], env=variables, prog_name="stoker-plugin")
    assert "check" in result.stdout


def test_warnings_are_shown_and_let_pass(tmp_path: Path) -> None:
    (tmp_path / "plugin.yaml").write_text(
        "name: hello\nversion: 1.0.0\ntitle: Hello\ncontributions:\n- {point: tasks.shell, id: a, roles: [web], run: 'true'}\n"
    )
    result = CliRunner().invoke(main, ["check", str(tmp_path)])
    assert result.exit_code == 0
    assert (
        "warning: plugin.yaml:5: S003 hello tasks.shell a roles[0]: this plugin does not bring the role 'web'." in result.stderr
    )
    findings = json.loads(CliRunner().invoke(main, ["check", str(tmp_path), "--json"]).stdout)["findings"]
    assert [(item["rule"], item["severity"]) for item in findings] == [("S003", "warning")]


def test_the_schema_is_json() -> None:
    assert json.loads(CliRunner().invoke(main, ["schema"]).stdout)["$ref"] == "#/$defs/Plugin"


def test_what_a_plugin_says_cannot_steer_the_terminal(tmp_path: Path) -> None:
    (tmp_path / "plugin.yaml").write_text('name: hello\nversion: 1.0.0\ntitle: Hello\n"a\\e[31m": 1\n')
    result = CliRunner().invoke(main, ["check", str(tmp_path)])
    assert result.exit_code == 2
    assert "\x1b" not in result.stderr

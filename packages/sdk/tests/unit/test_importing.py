# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""A Python plugin that cannot be imported: one finding, with the plugin's own file and line, and what was meant."""

from __future__ import annotations

from pathlib import Path

import pytest
from stoker_sdk.errors import Finding, InvalidPluginError
from stoker_sdk.scaffold.files import new_plugin
from stoker_sdk.source import load_folder

MODULE = "src/stoker_plugin_greeting/__init__.py"
TEXTS = new_plugin("greeting")


def finding_of(tmp_path: Path, changes: dict[str, tuple[str, str]]) -> Finding:
    for path, text in TEXTS.items():
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        old, new = changes.get(path, ("", ""))
        assert old in text
        target.write_text(text.replace(old, new, 1) if old else text)
    with pytest.raises(InvalidPluginError) as caught:
        load_folder(tmp_path)
    (finding,) = caught.value.findings
    assert finding.remedy
    assert "Traceback" not in str(finding)
    assert "stoker_sdk/" not in str(finding)
    return finding


def line_of(text: str) -> int:
    return next(number for number, line in enumerate(TEXTS[MODULE].splitlines(), 1) if text in line)


# what is written, what stands there instead, the line that is named, the message, part of the remedy
FAULTS = {
    "wrong keyword": (
        "roles.Role(name=",
        "roles.Role(nam=",
        line_of("roles.Role"),
        "TypeError: Unexpected keyword argument 'nam'.",
        "Did you mean 'name'?",
    ),
    "wrong limit": (
        'title="Text"',
        'title="Text", max_len=3',
        line_of("settings.field("),
        "TypeError: settings.field() has no limit 'max_len'.",
        "",
    ),
    "wrong import": (
        "import Plugin, ref",
        "import Plugn, ref",
        line_of("import Plugin"),
        "ImportError: cannot import name 'Plugn' from 'stoker_sdk'.",
        "Did you mean 'Plugin'?",
    ),
    "wrong module": (
        "from stoker_sdk.extension_points",
        "from stoker_sdk.extension_point",
        line_of("from stoker_sdk.ext"),
        "ModuleNotFoundError: No module named 'stoker_sdk.extension_point'.",
        "Did you mean 'extension_points'?",
    ),
    "wrong point": (
        "import config_files, roles",
        "import config_file, roles",
        line_of("import config_files"),
        "ImportError: cannot import name 'config_file' from 'stoker_sdk.extension_points'.",
        "Did you mean 'config_files'?",
    ),
    "syntax": ("plugin = Plugin(", "plugin = = Plugin(", line_of("plugin = "), "SyntaxError: invalid syntax.", ""),
    "unknown attribute": (
        "ref.settings",
        "ref.setings",
        line_of("ref.settings"),
        "AttributeError: 'Ref' object has no attribute 'setings'.",
        "Did you mean 'settings'?",
    ),
    "unknown class": (
        "config_files.WholeFile",
        "config_files.WholeFil",
        line_of("WholeFile"),
        "AttributeError: module 'stoker_sdk.extension_points.config_files' has no attribute 'WholeFil'.",
        "Did you mean 'WholeFile'?",
    ),
    "unknown name": (
        "plugin = Plugin(",
        "plugin = Plugni(",
        line_of("plugin = "),
        "NameError: name 'Plugni' is not defined.",
        "Did you mean 'Plugin'?",
    ),
    "f-string": (
        'ref.settings.text + "\\n"',
        'f"{ref.settings.text} x"',
        line_of("ref.settings"),
        "TypeError: the reference to settings.text has no text yet",
        "",
    ),
    "SystemExit": ("plugin = Plugin(", "raise SystemExit(3)\nplugin = Plugin(", line_of("plugin = "), "SystemExit: 3.", "import"),
    "empty message": ("plugin = Plugin(", "raise ValueError\nplugin = Plugin(", line_of("plugin = "), "ValueError.", ""),
}


@pytest.mark.parametrize("case", FAULTS)
def test_a_fault_is_told_with_its_line(case: str, tmp_path: Path) -> None:
    old, new, line, message, remedy = FAULTS[case]
    finding = finding_of(tmp_path, {MODULE: (old, new)})
    assert (finding.rule, finding.file, finding.line) == ("L014", MODULE, line)
    assert finding.message.startswith(message)
    assert remedy in finding.remedy


def test_a_plugin_that_is_named_otherwise_is_told_at_the_entry_point(tmp_path: Path) -> None:
    finding = finding_of(tmp_path, {MODULE: ("plugin = ", "plugn = ")})
    assert str(finding).startswith("pyproject.toml:9: L014 AttributeError: module 'stoker_plugin_greeting' has no attribute")
    assert "Did you mean 'plugn'?" in finding.remedy


def test_something_else_than_a_plugin_is_refused(tmp_path: Path) -> None:
    finding = finding_of(tmp_path, {MODULE: ("plugin = ", "plugin = 3; other = ")})
    assert finding.message == "TypeError: stoker_plugin_greeting:plugin is of type int, not a stoker_sdk.Plugin."


def test_a_module_that_is_not_there_is_told_at_the_entry_point(tmp_path: Path) -> None:
    finding = finding_of(tmp_path, {"pyproject.toml": ("_greeting:plugin", "_greting:plugin")})
    assert (finding.rule, finding.file, finding.line) == ("L014", "pyproject.toml", 9)


def test_a_module_that_ends_its_process_is_told(tmp_path: Path) -> None:
    finding = finding_of(tmp_path, {MODULE: ("plugin = Plugin(", "import os; os._exit(7)\nplugin = Plugin(")})
    assert (finding.rule, "status 7" in finding.message) == ("L016", True)


def test_what_a_module_prints_harms_nothing(tmp_path: Path) -> None:
    for path, text in TEXTS.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    file = tmp_path / MODULE
    file.write_text(file.read_text() + "\nimport os\nprint('hello')\nos.system('echo hello')\n")
    assert load_folder(tmp_path).name == "greeting"

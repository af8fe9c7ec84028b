# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Rules of the house that no linter can say."""

from __future__ import annotations

import ast
import configparser
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PRODUCT = sorted(
    path
    for pattern in ("packages/*/src/**/*.py", "plugins/*/src/**/*.py")
    for path in ROOT.glob(pattern)
    if "migrations/versions" not in path.as_posix()
)
ALL = sorted({*PRODUCT, *ROOT.glob("packages/*/tests/**/*.py"), *ROOT.glob("tests/**/*.py"), *ROOT.glob("benchmarks/*.py")})


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_there_is_something_to_look_at() -> None:
    assert len(PRODUCT) > 60


@pytest.mark.parametrize("path", ALL, ids=name)
def test_a_file_is_small_and_has_one_purpose(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= 500, "a file of more than 500 lines has more than one purpose"
    assert path.stem not in {"utils", "util", "common", "helpers", "misc"}, "the name does not say what the file is for"
    tree = ast.parse(text)
    long = [
        f"{node.name}:{node.lineno}"
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (node.end_lineno or 0) - node.lineno > 60
    ]
    assert not long, "functions of more than 60 lines"


@pytest.mark.parametrize("path", PRODUCT, ids=name)
def test_a_file_opens_with_licence_and_one_sentence(path: Path) -> None:
    text = path.read_text()
    head = text.splitlines()[:2]
    assert head == ["# SPDX-FileCopyrightText: The Stoker authors", "# SPDX-License-Identifier: Apache-2.0"]
    docstring = ast.get_docstring(ast.parse(text))
    assert docstring, "no sentence that says what the file is for"
    assert docstring.split("\n\n")[0].endswith((".", "?")), "the first paragraph is not a sentence"


def test_the_server_leaves_the_umask_alone() -> None:
    """It is the whole process's: what a thread starts meanwhile would make files that nobody may read."""
    alone = {"packages/core/src/stoker/transport/simulated/fleet.py"}  # a process of its own
    assert {name(path) for path in PRODUCT if "os.umask(" in path.read_text()} == alone


def test_the_core_cannot_name_a_product() -> None:
    words = re.compile(r"\b(ceph|rbd|nfs|cinder|neutron|ovn|nova|keystone)\b", re.IGNORECASE)
    rooms = [ROOT / "packages/core/src", ROOT / "packages/testkit/src"]
    found = [
        f"{name(path)}:{number}"
        for room in rooms
        for path in room.rglob("*")
        if path.is_file() and path.suffix not in {".pyc", ".so"}
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if words.search(line)
    ]
    assert not found


def test_the_import_contracts_know_every_plugin() -> None:
    contracts = configparser.ConfigParser()
    contracts.read(ROOT / ".importlinter")
    listed = {
        word
        for section, key in (("importlinter", "root_packages"), ("importlinter:contract:distributions", "layers"))
        for word in re.findall(r"stoker_plugin_\w+", contracts[section][key])
    }
    for section, key in (("importlinter", "root_packages"), ("importlinter:contract:distributions", "layers")):
        assert set(re.findall(r"stoker_plugin_\w+", contracts[section][key])) == listed
    present = {path.name for path in ROOT.glob("plugins/*/src/stoker_plugin_*")}
    assert listed == present


def test_import_contracts_have_no_exceptions() -> None:
    assert "ignore_imports" not in (ROOT / ".importlinter").read_text()


def test_nothing_of_this_machine_is_written_down() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert len(tracked) > 100
    forbidden = re.compile(r"files\.pythonhosted\.org|//pypi\.org/simple|registry\.npmjs\.org|/work/main|/opt/pypi")
    found = [
        file
        for file in tracked
        if file != name(Path(__file__))
        and (ROOT / file).is_file()
        and forbidden.search((ROOT / file).read_text(errors="replace"))
    ]
    assert not found


def test_each_decision_has_a_number_of_its_own() -> None:
    for path in (ROOT / "docs/adr").glob("0*.md"):
        number = path.name[:4]
        assert path.read_text().startswith(f"# {number}. "), f"{path.name} says another number"
        assert len(list(path.parent.glob(f"{number}-*.md"))) == 1, f"there are two decisions {number}"

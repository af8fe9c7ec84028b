# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Validation: each fault has its rule; all are found at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from stoker_sdk.manifest import read_manifest
from stoker_sdk.validation import check_plugin

SETTINGS = {
    "point": "settings",
    "schema": {"type": "object", "properties": {"text": {"type": "string"}, "key": {"type": "string", "x-secret": {}}}},
}
OPTION = {"point": "config_files.option", "path": "/etc/x", "key": "a", "value": 1}
SHELL = {"point": "tasks.shell", "id": "a", "roles": ["*"], "run": "true"}
SCRIPT = {"point": "tasks.script", "id": "s", "roles": ["*"], "source": "x.sh"}

FAULTS: dict[str, tuple[str, list[dict[str, object]]]] = {
    "syntax": ("X001", [{**OPTION, "value": {"$cel": "1 +"}}]),
    "unknown variable": ("X002", [{**OPTION, "value": {"$cel": "colour"}}]),
    "unknown setting": ("X003", [{**OPTION, "value": {"$cel": "settings.colour"}}]),
    "unknown setting in when": ("X003", [{**OPTION, "when": "settings.colour == 'red'"}]),
    "unknown public part": ("X003", [{**OPTION, "value": {"$cel": "public.key.public_key"}}]),
    "secret argument": ("X004", [{**SCRIPT, "arguments": [{"$cel": "settings.key"}]}]),
    "relative path": ("F001", [{**OPTION, "path": "etc/x"}]),
    "path with ..": ("F001", [{**OPTION, "path": "/etc/../x"}]),
    "no such file": ("F003", [{**SCRIPT, "source": "none.sh"}]),
    "escape": ("F002", [{**SCRIPT, "source": "../x.sh"}]),
    "constraint": ("F005", [{"point": "node_packages", "roles": ["*"], "packages": [{"name": "x", "version": "four"}]}]),
    "duplicate id": ("P006", [SHELL, SHELL]),
    "unknown own task": ("P007", [{**SHELL, "after": ["nothing"]}]),
    "several settings": ("V001", [SETTINGS]),
    "trigger": ("T003", [{**SHELL, "run_on": ["disk:/x"]}]),
    "role limits": ("R001", [{"point": "roles", "name": "x", "min": 2, "max": 1}]),
}


def rules(contributions: list[dict[str, object]], folder: Path) -> list[str]:
    document = {"name": "hello", "version": "1.0.0", "title": "Hello", "contributions": [SETTINGS, *contributions]}
    return [finding.rule for finding in check_plugin(read_manifest(document), folder)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "plugin").mkdir()
    (tmp_path / "plugin" / "x.sh").write_text("#!/bin/sh\n")
    (tmp_path / "x.sh").write_text("#!/bin/sh\n")
    return tmp_path / "plugin"


@pytest.mark.parametrize("case", FAULTS)
def test_each_fault_has_its_rule(case: str, folder: Path) -> None:
    rule, contributions = FAULTS[case]
    assert rules(contributions, folder) == [rule]


def test_a_right_plugin_has_no_findings(folder: Path) -> None:
    right = {**OPTION, "value": {"$cel": "settings.text + node.name"}, "when": "nodes.exists(n, n.name == 'a')"}
    assert rules([right, SHELL, SCRIPT], folder) == []


def test_all_faults_are_found_at_once(folder: Path) -> None:
    several = [item for case in ("syntax", "relative path", "trigger", "no such file") for item in FAULTS[case][1]]
    assert sorted(rules(several, folder)) == ["F001", "F003", "T003", "X001"]


def test_an_unknown_generator_is_refused_with_its_place(folder: Path) -> None:
    schema = {"type": "object", "properties": {"key": {"type": "string", "x-secret": {"generator": "dice"}}}}
    document = {"name": "hello", "version": "1.0.0", "title": "Hello", "contributions": [{"point": "settings", "schema": schema}]}
    (finding,) = check_plugin(read_manifest(document), folder)
    assert (finding.rule, finding.field) == ("V003", "schema.properties.key")


def test_a_public_part_is_known(folder: Path) -> None:
    schema = {"type": "object", "properties": {"key": {"type": "string", "x-secret": {"generator": "ssh_key"}}}}
    public = {**OPTION, "value": {"$cel": "public.key.public_key"}}
    contributions = [{"point": "settings", "schema": schema}, public]
    document = {"name": "hello", "version": "1.0.0", "title": "Hello", "contributions": contributions}
    assert check_plugin(read_manifest(document), folder) == []


def test_a_schema_that_is_none_is_refused(folder: Path) -> None:
    document = {
        "name": "hello",
        "version": "1",
        "title": "T",
        "contributions": [{"point": "settings", "schema": {"type": "thing"}}],
    }
    assert [finding.rule for finding in check_plugin(read_manifest(document), folder)] == ["V002"]

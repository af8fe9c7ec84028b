# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Validation: each fault has its rule; all are found at once."""

from __future__ import annotations

import inspect
from pathlib import Path

import pydantic
import pytest
from stoker_sdk.extension_points import settings, tasks
from stoker_sdk.manifest import read_manifest
from stoker_sdk.model.expression import ref
from stoker_sdk.plugin import Plugin
from stoker_sdk.plugin_yaml import read_yaml
from stoker_sdk.validation import check_plugin

SETTINGS = {
    "point": "settings",
    "schema": {"type": "object", "properties": {"text": {"type": "string"}, "key": {"type": "string", "x-secret": {}}}},
}
OPTION = {"point": "config_files.option", "path": "/etc/x", "key": "a", "value": 1}
SHELL = {"point": "tasks.shell", "id": "a", "roles": ["*"], "run": "true"}
SCRIPT = {"point": "tasks.script", "id": "s", "roles": ["*"], "source": "x.sh"}
CHECK = {"point": "health_checks", "id": "c", "roles": ["*"], "run": "true"}
PACKAGES = {"point": "node_packages", "roles": ["*"], "packages": ["libc6:i386", "g++", "NetworkManager"]}
WHOLE = {"point": "config_files.whole_file", "path": "/etc/w", "content": "x"}
UPLOAD = {"point": "tasks.upload", "id": "u", "roles": ["*"], "source": "x.sh", "path": "/x"}
KIND = {
    "point": "task_kinds",
    "name": "shape",
    "title": "Shape",
    "executable": "x.sh",
    "parameters": {"type": "object", "required": ["size"], "properties": {"size": {"type": "integer"}}},
}
COMPONENT = {"point": "components.component", "name": "storage:local", "title": "Local disks"}
CUSTOM = {"point": "tasks.custom", "id": "k", "roles": ["*"], "kind": "shape"}
INI = {"point": "config_files.file", "path": "/etc/x", "format": "ini"}

FAULTS: dict[str, tuple[str, list[dict[str, object]]]] = {
    "patch of nothing": ("H002", [{"point": "task_patches", "task": "other.a"}]),
    "patch without a plugin": ("H001", [{"point": "task_patches", "task": "a", "skip": True}]),
    "patch of a task that is skipped": (
        "H003",
        [{"point": "task_patches", "task": "o.a", "skip": True, "replace": {"run": "x"}}],
    ),
    "patch of an own task": ("H004", [SHELL, {"point": "task_patches", "task": "hello.a", "skip": True}]),
    "patch with a wrong trigger": ("T003", [{"point": "task_patches", "task": "o.a", "extend": {"run_on": ["disk:/x"]}}]),
    "patch with a relative path": ("F001", [{"point": "task_patches", "task": "o.a", "replace": {"creates": "x"}}]),
    "patch with an unknown setting": (
        "X003",
        [{"point": "task_patches", "task": "o.a", "extend": {"environment": {"A": {"$cel": "settings.colour"}}}}],
    ),
    "kind in capitals": ("Q001", [{**KIND, "name": "Shape"}]),
    "kind without a program": ("Q002", [{**KIND, "executable": ""}]),
    "kind with a condition": ("Q003", [{**KIND, "when": "true"}]),
    "kind twice": ("Q004", [KIND, KIND]),
    "kind with no schema": ("Q005", [{**KIND, "parameters": {"type": 5}}]),
    "kind with a schema of a list": ("Q005", [{**KIND, "parameters": {"type": "array"}}]),
    "kind without its program": ("F003", [{**KIND, "executable": "none.sh"}]),
    "unknown kind": ("Q006", [KIND, {**CUSTOM, "kind": "shap"}]),
    "kind of no plugin": ("Q001", [{**CUSTOM, "kind": "No Plugin.shape"}]),
    "parameter that does not fit": ("Q007", [KIND, {**CUSTOM, "parameters": {"size": "x"}}]),
    "parameter that is missing": ("Q007", [KIND, CUSTOM]),
    "parameter with an unknown setting": ("X003", [KIND, {**CUSTOM, "parameters": {"size": {"$cel": "settings.colour"}}}]),
    "component without a group": ("W001", [{**COMPONENT, "name": "local"}]),
    "component that requires no name": ("W001", [{**COMPONENT, "requires": ["a b"]}]),
    "component against itself": ("W002", [{**COMPONENT, "requires": ["storage:local"]}]),
    "component with a condition": ("W003", [{**COMPONENT, "when": "true"}]),
    "group in capitals": ("W001", [{"point": "components.group", "name": "Storage", "title": "Storage"}]),
    "component of no release": ("P009", [{**COMPONENT, "releases": [">=1"]}]),
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
    "packages that there are not": ("P007", [{**SHELL, "after": ["packages"]}]),
    "own task by its whole name": ("P007", [{**SHELL, "after": ["hello.nothing"]}]),
    "constraint": ("F005", [{"point": "node_packages", "roles": ["*"], "packages": [{"name": "x", "version": "four"}]}]),
    "duplicate id": ("P006", [SHELL, SHELL]),
    "unknown own task": ("P007", [{**SHELL, "after": ["nothing"]}]),
    "several settings": ("V001", [SETTINGS]),
    "trigger": ("T003", [{**SHELL, "run_on": ["disk:/x"]}]),
    "role limits": ("R001", [{"point": "roles", "name": "x", "min": 2, "max": 1}]),
    "role in capitals": ("R003", [{"point": "roles", "name": "Web"}]),
    "role for all": ("R003", [{"point": "roles", "name": "*"}]),
    "conflict that is no role": ("R003", [{"point": "roles", "name": "x", "conflicts": ["a b"]}]),
    "selector that is no role": ("R003", [{**SHELL, "roles": ["web server"]}]),
    "no roles": ("S002", [{**SHELL, "roles": []}]),
    "no roles of a check": ("S002", [{**CHECK, "roles": []}]),
    "no roles of packages": ("S002", [{**PACKAGES, "roles": []}]),
    "no roles of a file": ("S002", [{**OPTION, "roles": []}]),
    "role of nobody": ("S003", [{**SHELL, "roles": ["web"]}]),
    "role of nobody in an edge": ("S003", [SHELL, {**SHELL, "id": "b", "after": [{"task": "a", "role": "web"}]}]),
    "no command": ("T004", [{**SHELL, "run": " "}]),
    "no command in a check": ("T004", [{**CHECK, "run": ""}]),
    "id with a blank": ("T005", [{**SHELL, "id": "a b"}]),
    "empty id": ("T005", [{**SHELL, "id": ""}]),
    "check id with a slash": ("T005", [{**CHECK, "id": "a/b"}]),
    "unit with a blank": ("T006", [{"point": "tasks.service", "name": "my unit", "roles": ["*"]}]),
    "unit with a command": ("T006", [{"point": "tasks.service", "name": "x;reboot", "roles": ["*"]}]),
    "port 0": ("T007", [{"point": "tasks.wait_for", "id": "w", "roles": ["*"], "port": 0}]),
    "port and file": ("T008", [{"point": "tasks.wait_for", "id": "w", "roles": ["*"], "port": 1, "file": "/x"}]),
    "unknown setting in a port": (
        "X003",
        [{"point": "tasks.wait_for", "id": "w", "roles": ["*"], "port": {"$cel": "settings.prot"}}],
    ),
    "mode in letters": ("F006", [{**WHOLE, "mode": "rw-r--r--"}]),
    "mode of nine": ("F006", [{**WHOLE, "mode": "0999"}]),
    "mode of five digits": ("F006", [{**UPLOAD, "mode": "00644"}]),
    "mode of an item": ("F006", [{"point": "tasks.files", "id": "f", "roles": ["*"], "files": [{"path": "/x", "mode": "8"}]}]),
    "mode of a merged file": ("F006", [{"point": "config_files.file", "path": "/x", "format": "ini", "mode": ""}]),
    "owner with a colon": ("F007", [{**WHOLE, "owner": "a:b"}]),
    "group with a blank": ("F007", [{**UPLOAD, "group": "a b"}]),
    "package with a command": ("F008", [{**PACKAGES, "packages": ["bad; rm -rf"]}]),
    "package that is an option": ("F008", [{**PACKAGES, "packages": [{"name": "--force-yes"}]}]),
    "package of a task": ("F008", [{"point": "tasks.packages", "id": "p", "roles": ["*"], "packages": ["a b"]}]),
    "section with a line": ("C002", [{**OPTION, "section": "a\nb"}]),
    "key with a line": ("C002", [{**OPTION, "key": "a\nb = c"}]),
    "no key": ("C002", [{**OPTION, "key": ""}]),
    "section with a bracket": ("C003", [INI, {**OPTION, "section": "a]b"}]),
    "key with a sign": ("C003", [INI, {**OPTION, "key": "a = b"}]),
    "key that is a comment": ("C003", [INI, {**OPTION, "key": "# a"}]),
    "key of a list with a sign": (
        "C003",
        [INI, {"point": "config_files.list_item", "path": "/etc/x", "key": "a=", "items": "b"}],
    ),
    "cycle": ("P008", [{**SHELL, "after": ["b"]}, {**SHELL, "id": "b", "after": ["a"]}]),
    "cycle across nodes": (
        "P008",
        [
            {"point": "roles", "name": "x"},
            {**SHELL, "after": [{"task": "b", "role": "x"}]},
            {**SHELL, "id": "b", "before": ["install"], "after": ["a"]},
        ],
    ),
    "task that waits for itself": ("P008", [{**SHELL, "after": ["a"]}]),
    "cycle with an anchor": ("P008", [{**SHELL, "phase": "install", "after": ["start"]}]),
    "cycle in the removal": (
        "P008",
        [{**SHELL, "on": "remove", "after": ["b"]}, {**SHELL, "id": "b", "on": "remove", "before": ["b"]}],
    ),
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


RIGHT: dict[str, list[dict[str, object]]] = {
    "value and condition": [
        {**OPTION, "value": {"$cel": "settings.text + node.name"}, "when": "nodes.exists(n, n.name == 'a')"},
        SHELL,
        SCRIPT,
    ],
    "names": [
        PACKAGES,
        CHECK,
        {**UPLOAD, "owner": "_apt", "group": "1000", "mode": "4755"},
        {**WHOLE, "mode": "644", "owner": "www-data"},
        {"point": "tasks.service", "name": "getty@tty1.service", "roles": ["*"]},
        {"point": "roles", "name": "0-web", "conflicts": ["of-another"]},
        {**SHELL, "roles": ["0-web"]},
    ],
    "keys": [
        INI,
        {**OPTION, "section": "DEFAULT", "key": "a.b[c] d"},
        {"point": "config_files.file", "path": "/etc/y", "format": "yaml"},
        {**OPTION, "path": "/etc/y", "key": "a: b"},
        {**OPTION, "path": "/etc/of-another", "key": "a = b"},
    ],
    "order": [
        {**PACKAGES},
        WHOLE,
        {**SHELL, "phase": "configure", "after": ["packages", "files", "hello.b", "other.task"]},
        {**SHELL, "id": "b", "before": ["start"]},
        {**SHELL, "id": "away", "on": "remove", "after": ["configure"], "before": ["prepare"]},
    ],
    "port of a setting": [
        {"point": "tasks.wait_for", "id": "w", "roles": ["*"], "port": {"$cel": "int(settings.text)"}},
    ],
}


@pytest.mark.parametrize("case", RIGHT)
def test_a_right_plugin_has_no_findings(case: str, folder: Path) -> None:
    assert rules(RIGHT[case], folder) == []


def test_what_is_found_says_where_and_what_to_do(folder: Path) -> None:
    everything = [item for _, contributions in FAULTS.values() for item in contributions]
    document = {"name": "hello", "version": "1.0.0", "title": "Hello", "contributions": [SETTINGS, *everything]}
    findings = check_plugin(read_manifest(document), folder)
    assert {finding.rule for finding in findings} >= {rule for rule, _ in FAULTS.values()} - {"S003"}
    for finding in findings:
        assert finding.remedy, finding
        assert finding.contribution, finding
        assert finding.field or finding.file or finding.rule == "V001", finding
        assert finding.severity == ("warning" if finding.rule == "S003" else "error")


def test_a_role_of_a_plugin_that_is_required_is_not_doubted_unless_it_looks_mistyped(folder: Path) -> None:
    document = {
        "name": "hello",
        "version": "1.0.0",
        "title": "Hello",
        "requires_plugins": ["web>=1"],
        "contributions": [{"point": "roles", "name": "greeter"}, {**SHELL, "roles": ["proxy", "greter"]}],
    }
    (finding,) = check_plugin(read_manifest(document), folder)
    assert (finding.rule, finding.field) == ("S003", "roles[1]")
    assert finding.remedy.startswith("Did you mean 'greeter'?")


SCHEMAS = {
    "default of another type": ({"type": "integer", "default": "many"}, "V004", "schema.properties.a.default"),
    "default out of its limits": ({"type": "integer", "default": 0, "minimum": 1}, "V004", "schema.properties.a.default"),
    "default of a group": ({"$ref": "#/$defs/Group", "default": {"n": "x"}}, "V004", "schema.properties.a.default"),
    "unknown setting in a condition": ({"type": "string", "x-when": "settings.tsl"}, "X003", "schema.properties.a.x-when"),
    "condition that is not CEL": ({"type": "string", "x-when": "settings.tls =="}, "X001", "schema.properties.a.x-when"),
    "condition that is no text": ({"type": "string", "x-when": True}, "V005", "schema.properties.a.x-when"),
    "condition with a loop": (
        {"type": "string", "x-when": "[settings.tls].exists(x, x)"},
        "V006",
        "schema.properties.a.x-when",
    ),
    "condition over a node": ({"type": "string", "x-when": "node.name == 'a'"}, "X002", "schema.properties.a.x-when"),
    "unknown setting in names": (
        {"type": "string", "x-secret": {"generator": "x509", "names": "settings.hots"}},
        "X003",
        "schema.properties.a.x-secret.names",
    ),
    "names that are not CEL": (
        {"type": "string", "x-secret": {"generator": "x509", "names": "a b"}},
        "X001",
        "schema.properties.a.x-secret.names",
    ),
    "unknown generator": ({"type": "string", "x-secret": {"generator": "passwrd"}}, "V003", "schema.properties.a"),
    "pattern that looks ahead": ({"type": "string", "pattern": "(?=a)b"}, "V002", "schema"),
    "reference to elsewhere": ({"$ref": "https://example.org/schema"}, "V002", "schema"),
}


@pytest.mark.parametrize("case", SCHEMAS)
def test_each_fault_of_a_schema_has_its_rule_and_place(case: str) -> None:
    field, rule, place = SCHEMAS[case]
    (finding,) = check_plugin(with_field(field))
    assert (finding.rule, finding.contribution, finding.field) == (rule, "settings", place)


@pytest.mark.parametrize(
    "field",
    [
        {"type": "string", "default": "", "minLength": 8, "x-secret": {"generator": "password"}},
        {"type": "string", "default": "", "minLength": 8, "x-when": "settings.tls"},
        {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
        {"type": "string", "x-secret": {"generator": "x509", "names": "['a.example.org', settings.host]"}},
        {"$ref": "#/$defs/Group", "default": {"n": 1}},
    ],
)
def test_a_right_schema_has_no_findings(field: dict[str, object]) -> None:
    assert check_plugin(with_field(field)) == []


def with_field(field: dict[str, object]) -> Plugin:
    properties = {"a": field, "tls": {"type": "boolean", "default": False}, "host": {"type": "string"}}
    group = {"type": "object", "properties": {"n": {"type": "integer"}}}
    schema = {"type": "object", "properties": properties, "$defs": {"Group": group}}
    document = {"name": "hello", "version": "1.0.0", "title": "T", "contributions": [{"point": "settings", "schema": schema}]}
    return read_manifest(document)


def test_another_version_in_pyproject_is_a_warning(folder: Path) -> None:
    (folder / "pyproject.toml").write_text('[project]\nname = "x"\nversion = "1.1"\n')
    plugin = Plugin(name="hello", version="1.0.0", title="Hello")
    (finding,) = check_plugin(plugin, folder)
    assert (finding.rule, finding.severity, finding.file, finding.line) == ("L015", "warning", "pyproject.toml", 3)
    (folder / "pyproject.toml").write_text('[project]\nname = "x"\nversion = "1.0"\n')
    assert check_plugin(plugin, folder) == []


def test_values_of_wrong_types_are_told_and_not_asked_for_their_meaning() -> None:
    wrong = tasks.Shell(id="a", roles=["*"], run=ref.settings.text)  # type: ignore[arg-type]  # what a careless plugin does
    (finding,) = check_plugin(Plugin(name="hello", version="1.0.0", title="Hello", contributions=[wrong]))
    assert (finding.rule, finding.contribution, finding.field) == ("P014", "tasks.shell a", "run")
    assert finding.message == "an expression cannot stand here."


def test_an_unknown_limit_of_a_setting_is_refused() -> None:
    with pytest.raises(TypeError, match="no limit 'foo'"):
        settings.field(1, title="A", foo=1)


def test_every_limit_is_one_of_pydantic() -> None:
    assert set(inspect.signature(pydantic.Field).parameters) >= settings.LIMITS


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


def test_findings_of_a_plugin_in_yaml_have_their_lines(tmp_path: Path) -> None:
    file = tmp_path / "plugin.yaml"
    file.write_text(
        "name: Hello\nversion: 1.0.0\ntitle: Hello\ncontributions:\n"
        "- point: settings\n  schema:\n    type: object\n"
        "    properties:\n      n:\n        type: integer\n        default: many\n"
        "- point: node_packages\n  roles: ['*']\n  packages:\n  - figlet\n  - bad; rm -rf\n"
        "- point: tasks.shell\n  id: a\n  roles: [web]\n  run: 'true'\n  environment:\n    A: {$cel: settings.m}\n  after: [a]\n"
    )
    findings = check_plugin(read_yaml(file), tmp_path)
    assert {(finding.rule, finding.file, finding.line) for finding in findings} == {
        ("P001", "plugin.yaml", 1),
        ("V004", "plugin.yaml", 11),
        ("F008", "plugin.yaml", 16),
        ("S003", "plugin.yaml", 19),
        ("X003", "plugin.yaml", 22),
        ("P008", "plugin.yaml", 23),
    }

# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Code of a plugin: what is called is there and fits, and contributions that bring code fit together."""

from __future__ import annotations

from pathlib import Path

import pytest
from stoker_sdk.context.arguments import ARGUMENTS, CONTEXT
from stoker_sdk.errors import InvalidPluginError
from stoker_sdk.manifest import read_manifest
from stoker_sdk.source import load_folder
from stoker_sdk.validation import check_plugin
from stoker_sdk.worker.contracts import CONTRACTS

PROJECT = """
[project]
name = "stoker-plugin-hello"
version = "1.0.0"
[project.entry-points."stoker.plugins"]
hello = "hello:plugin"
"""
MODULE = """
from stoker_sdk import Plugin, RESTAPIPlugin, code
from stoker_sdk.extension_points.actions import Action
from stoker_sdk.extension_points.events import EventHandler
from stoker_sdk.extension_points.records import Collection, Migration
from stoker_sdk.extension_points.rest_api import RestApi
from stoker_sdk.extension_points.validate_settings import ValidateSettings


class Api(RESTAPIPlugin):
    @staticmethod
    def application(environ, start_response): ...

class Empty(RESTAPIPlugin): ...

def right(event, context): ...
def nothing(): ...
def more(event, added_later=None, **others): ...
def wrong(event, contxt): ...
def by_place(settings, /): ...
async def slow(event): ...
def batches(documents):
    yield documents

plugin = Plugin(name="hello", version="1.0.0", title="Hello", contributions=[
    EventHandler(name="a", events=["node.created"], call=code(right)),
    EventHandler(name="b", events=["node.created"], call=code(nothing)),
    EventHandler(name="c", events=["node.created"], call=code(more)),
    RestApi(call=code(Api)),
%s
])
"""

# a contribution -> rule, field, part of the message, part of the remedy
FUNCTIONS = {
    'EventHandler(name="z", events=["node.created"], call=code(wrong))': ("X088", "call", "wants 'contxt'", "mean 'context'"),
    "ValidateSettings(call=code(by_place))": ("X088", "call", "wants 'settings'", "by their names"),
    'EventHandler(name="z", events=["node.created"], call=code(slow))': ("X087", "call", "no plain function", "without 'async'"),
    'EventHandler(name="z", events=["node.created"], call=code(Api))': ("X087", "call", "no function", "plain function"),
    'Action(name="z", title="Z", call="hello:rigth")': ("X085", "call", "hello:rigth is not there", "mean 'right'"),
    'Action(name="z", title="Z", call="helo:right")': ("X085", "call", "No module named 'helo'", "a module of the plugin"),
    "RestApi(call=code(right))": ("X086", "call", "no application", "derives from RESTAPIPlugin"),
    "RestApi(call=code(Empty))": ("X086", "call", "no application", "'application'"),
    'Collection(name="c", schema={}, version=2, migrations=[Migration(version=2, call=code(batches))])'.replace(
        "schema=", "json_schema="
    ): ("X087", "migrations[0].call", "no plain function", "return"),
}


def test_what_is_called_must_be_there_and_fit_its_point(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    (tmp_path / "hello.py").write_text(MODULE % ",\n".join(FUNCTIONS))
    with pytest.raises(InvalidPluginError) as caught:
        load_folder(tmp_path)
    assert len(caught.value.findings) == len(FUNCTIONS)
    for found, (rule, field, message, remedy) in zip(caught.value.findings, FUNCTIONS.values(), strict=True):
        assert (found.rule, found.field) == (rule, field)
        assert message in found.message
        assert remedy in found.remedy
        assert found.contribution
    (tmp_path / "hello.py").write_text(MODULE % "")
    assert len(load_folder(tmp_path).contributions) == 4


def test_names_of_arguments_are_those_of_the_contracts() -> None:
    assert {point: {*one.arguments, *one.made, CONTEXT} for point, one in CONTRACTS.items()} == ARGUMENTS


API = {"point": "rest_api", "call": "m:Api"}
CHECK = {"point": "validate_settings", "call": "m:f"}
HOOK = {"point": "serializer_hooks", "name": "h", "target": "node", "call": "m:f", "schema": {}}
RECORDS = {"point": "records", "name": "labels", "schema": {}}
COMMAND = {"point": "commands", "name": "c", "title": "C", "path": "/c"}
ACTION = {"point": "actions", "name": "a", "title": "A", "call": "m:f"}
WRITE = {"point": "permissions", "name": "write", "title": "Write"}

PARTS = {
    "two applications": ([API, API], "X089", ""),
    "two checks of settings": ([CHECK, CHECK], "X089", ""),
    "a name twice": ([ACTION, ACTION], "X090", "name"),
    "a collection twice": ([RECORDS, RECORDS], "X090", "name"),
    "route with an unknown permission": (
        [WRITE, {**API, "routes": [{"path": "/", "permission": "wrte"}]}],
        "X091",
        "routes[0].permission",
    ),
    "hook with an unknown permission": ([{**HOOK, "permission": "read"}], "X091", "permission"),
    "action with an unknown permission": ([{**ACTION, "permission": "read"}], "X091", "permission"),
    "hook with an unknown collection": ([{**HOOK, "records": ["labels"]}], "X092", "records[0]"),
    "hook with a collection of other keys": ([RECORDS, {**HOOK, "records": ["labels"]}], "X092", "records[0]"),
    "command without an application": ([COMMAND], "X093", ""),
}


@pytest.mark.parametrize("case", PARTS)
def test_parts_that_do_not_fit_together_are_refused(case: str) -> None:
    contributions, rule, field = PARTS[case]
    document = {"name": "hello", "version": "1.0.0", "title": "Hello", "contributions": contributions}
    (finding,) = check_plugin(read_manifest(document))
    assert (finding.rule, finding.field) == (rule, field)
    assert finding.remedy


def test_parts_that_fit_have_no_finding(tmp_path: Path) -> None:
    hook = {**HOOK, "records": ["labels"], "permission": "write"}
    contributions = [
        API | {"routes": [{"path": "/", "permission": "write"}]},
        *(CHECK, WRITE, hook, RECORDS | {"key_of": "node"}, COMMAND, ACTION | {"permission": "write"}),
        {"point": "events", "name": "a", "events": ["node.created"], "call": "m:f"},  # another point: the same name is no other's
    ]
    document = {"name": "hello", "version": "1.0.0", "title": "Hello", "contributions": contributions}
    assert check_plugin(read_manifest(document)) == []
    (tmp_path / "plugin.yaml").write_text("name: hello")
    findings = check_plugin(read_manifest(document), tmp_path)
    assert {(finding.rule, finding.field) for finding in findings} == {("X094", "call")}
    assert len(findings) == 5


@pytest.mark.parametrize("path", ["/../../users", "/a/..", "/./a", "/a//b", "/a?b=c", "/a#b", "/a%2e", "/a\\b", "a", "/a\x1b"])
def test_a_command_stays_in_its_application(path: str) -> None:
    document = {"name": "hello", "version": "1.0.0", "title": "Hello", "contributions": [API, COMMAND | {"path": path}]}
    (finding,) = check_plugin(read_manifest(document))
    assert (finding.rule, finding.field) == ("X010", "path")

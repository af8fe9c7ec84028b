# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Errors at a terminal: told once, each finding by itself, and as a problem document where JSON was asked for."""

from __future__ import annotations

import json

import msgspec
import pytest
from stoker.cli.problems import exit_status, json_asked, show_error
from stoker.errors import ConfigurationError, ConflictError, InvalidInputError, PlanningError, StokerError
from stoker_sdk.errors import Finding

PORT = {
    "rule": "N003",
    "message": "setting port: it must be an integer.",
    "remedy": "Write a number.",
    "plugin": "mail",
    "contribution": "settings",
    "field": "port",
}
CLASH = Finding(rule="M001", plugin="a", contribution="options", field="x", message="b sets it, too.", remedy="Disable one.")


@pytest.fixture
def asked_for_json():
    before = json_asked.set(True)
    yield
    json_asked.reset(before)


def told(error, capsys):
    show_error(error)
    return capsys.readouterr()


def test_findings_are_told_once_and_in_parts(capsys):
    error = InvalidInputError(f"plugin mail: 1 setting does not fit: {PORT['message']}", remedy="Mend it.", findings=[PORT])
    assert told(error, capsys).err.splitlines() == [
        "error: plugin mail: 1 setting does not fit.",
        "  - N003  mail settings port",
        "    it must be an integer.",
        "    remedy: Write a number.",
        "remedy: Mend it.",
    ]


@pytest.mark.parametrize("between", [":\n", ": "])
def test_a_joined_finding_is_cut_off_however_it_is_joined(capsys, between):
    error = ConflictError(f"environment lab: enabling b is refused{between}{CLASH}", findings=[msgspec.to_builtins(CLASH)])
    said = told(error, capsys).err
    assert said.splitlines()[0] == "error: environment lab: enabling b is refused."
    assert said.count("b sets it, too.") == said.count("Disable one.") == 1


def test_a_detail_that_is_nothing_but_its_finding_leaves_the_kind(capsys):
    said = told(PlanningError("it is.", findings=[{"message": "it is.", "file": "a.yaml", "line": 3}]), capsys).err
    assert said.splitlines() == ["error: Planning failed.", "  - a.yaml:3", "    it is."]


def test_a_remedy_that_the_only_finding_has_is_told_once(capsys):
    said = told(
        InvalidInputError("bad: x.", remedy="Do.", findings=[{"rule": "R1", "message": "x.", "remedy": "Do."}]), capsys
    ).err
    assert said.count("Do.") == 1


def test_control_characters_are_shown_and_not_sent(capsys):
    assert "\\x1b" in told(StokerError("a\x1b[31mb"), capsys).err


def test_with_json_the_document_is_on_standard_output_and_the_text_where_it_was(capsys, asked_for_json):
    said = told(InvalidInputError("who: what.", remedy="Do.", findings=[PORT]), capsys)
    assert said.err.startswith("error: who: what.")
    assert json.loads(said.out) == {
        "type": "urn:stoker:problem:invalid-input",
        "title": "Invalid input",
        "status": 422,
        "detail": "who: what.",
        "remedy": "Do.",
        "findings": [PORT],
    }


def test_what_the_caller_can_mend_exits_2():
    assert [exit_status(error) for error in (InvalidInputError(""), ConfigurationError(""), StokerError(""))] == [2, 2, 1]

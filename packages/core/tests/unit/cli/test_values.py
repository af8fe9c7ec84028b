# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Settings on the command line: how values are read, and what is refused."""

from __future__ import annotations

import pytest
from stoker.cli import values
from stoker.errors import InvalidInputError

SCHEMA = {
    "$defs": {"Array": {"properties": {"host": {"type": "string"}, "token": {"type": "string", "x-secret": {}}}}},
    "properties": {
        "version": {"type": "string"},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "port": {"type": "integer"},
        "on": {"type": "boolean"},
        "words": {"type": "array", "items": {"type": "string"}},
        "password": {"type": "string", "x-secret": {"generator": "password"}},
        "arrays": {"type": "array", "items": {"$ref": "#/$defs/Array"}},
        "group": {"type": "object", "properties": {"token": {"type": "string", "x-secret": True}}},
    },
}
READ = {
    "version=1.10": {"version": "1.10"},
    "version=no": {"version": "no"},
    "version=a: b": {"version": "a: b"},
    "version=": {"version": ""},
    "note=12": {"note": "12"},
    "port=25": {"port": 25},
    "on=no": {"on": False},
    "words=[a, b]": {"words": ["a", "b"]},
    "password=": {"password": ""},
    "group.token=": {"group": {"token": ""}},
    "arrays=[{host: a}]": {"arrays": [{"host": "a"}]},
    "unknown=3": {"unknown": 3},
}


@pytest.mark.parametrize(("assignment", "found"), READ.items())
def test_a_text_is_taken_as_it_is_and_everything_else_is_yaml(assignment, found):
    assert values.apply({}, [assignment], SCHEMA) == found


@pytest.mark.parametrize(
    ("assignment", "place"),
    [
        ("password=geheim", "password"),
        ("group.token=geheim", "group.token"),
        ("group={token: geheim}", "group.token"),
        ("arrays=[{host: a}, {token: geheim}]", "arrays.1.token"),
    ],
)
def test_a_secret_on_the_command_line_is_refused_with_the_options_for_it(assignment, place):
    with pytest.raises(InvalidInputError) as caught:
        values.apply({}, [assignment], SCHEMA)
    assert f"--secret {place}" in caught.value.remedy
    assert f"--secret-file {place}=FILE" in caught.value.remedy
    assert "geheim" not in f"{caught.value}"


def test_a_secret_from_a_file_keeps_its_lines_and_a_single_one_loses_its_end(tmp_path):
    (tmp_path / "pem").write_text("-----BEGIN-----\nx\n-----END-----\n")
    (tmp_path / "word").write_text("geheim\n")
    given = {"arrays": [{"host": "a"}]}
    made = values.with_secrets(given, [], [f"password={tmp_path / 'pem'}", f"arrays.0.token={tmp_path / 'word'}"])
    assert made == {"arrays": [{"host": "a", "token": "geheim"}], "password": "-----BEGIN-----\nx\n-----END-----\n"}
    assert given == {"arrays": [{"host": "a"}]}


@pytest.mark.parametrize("given", ["password", "password=", "=x", "password=/nowhere/at/all"])
def test_a_secret_file_that_cannot_be_read_is_told(given):
    with pytest.raises(InvalidInputError, match="secret"):
        values.with_secrets({}, [], [given])


@pytest.mark.parametrize("assignment", ["port", "=3", "words.3=x", "port.x=1", "port=[", "group.token.x=1"])
def test_what_cannot_be_put_anywhere_is_told(assignment):
    with pytest.raises(InvalidInputError):
        values.apply({"port": 25, "words": ["a"], "group": {"token": {"$secret": "group.token", "version": 1}}}, [assignment], {})


def test_unset_reaches_into_groups_and_lists():
    given = {"group": {"a": 1, "b": 2}, "arrays": [{"host": "a", "token": "x"}]}
    assert values.without(given, ["group.a", "arrays.0.token"]) == {"group": {"b": 2}, "arrays": [{"host": "a"}]}
    with pytest.raises(InvalidInputError, match=r"group\.c"):
        values.without(given, ["group.c"])

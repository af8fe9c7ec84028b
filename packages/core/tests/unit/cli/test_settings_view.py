# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The table of settings: every field, where its value is from, secrets and conditions considered."""

from __future__ import annotations

from stoker.cli.settings_schema import names
from stoker.cli.settings_view import rows

SCHEMA = {
    "$defs": {
        "Array": {
            "properties": {"host": {"type": "string", "title": "Host"}, "token": {"type": "string", "x-secret": {}}},
            "required": ["host"],
        }
    },
    "properties": {
        "mode": {"enum": ["tcp", "tls"], "default": "tcp", "title": "Mode"},
        "port": {"type": "integer", "default": 25, "title": "Port"},
        "name": {"type": "string", "title": "Name"},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}], "title": "Note"},
        "pair": {"type": "string", "title": "Pair", "x-secret": {"generator": "x509"}, "x-when": "settings.mode == 'tls'"},
        "key": {"type": "string", "title": "Key", "x-secret": {"generator": "ssh_key"}},
        "own": {"type": "string", "title": "Own", "x-secret": {}},
        "words": {"type": "array", "items": {"type": "string"}, "title": "Words"},
        "arrays": {"type": "array", "items": {"$ref": "#/$defs/Array"}, "title": "Arrays"},
        "limits": {"type": "object", "properties": {"cpu": {"type": "number", "title": "CPU"}}, "x-when": "settings.port == 25"},
    },
    "required": ["name", "pair", "key", "own"],
}
KEY = {"$secret": "key", "version": 3}
GIVEN = {"port": 26, "key": KEY, "arrays": [{"host": "a"}], "words": ["x", "y"], "limits": {"cpu": 1.5}}
ENABLED = {
    "name": "mail",
    "version": "1.0.0",
    "settings": GIVEN,
    "effective_settings": {**GIVEN, "mode": "tcp"},
    "public": {"key": {"public_key": "ssh-ed25519 AAAA"}},
    "settings_schema": SCHEMA,
}


def test_every_field_is_told_with_value_origin_type_and_title():
    assert [tuple(row) for row in rows(ENABLED)] == [
        ("mode", "tcp", "default", "tcp | tls", "Mode"),
        ("port", "26", "set", "integer", "Port"),
        ("name", "(not set)", "missing", "text", "Name"),
        ("note", "(not set)", "not set", "text", "Note"),
        ("pair", "(not set)", "inactive", "secret text", "Pair (only if settings.mode == 'tls')"),
        ("key", "(secret, version 3)", "stored", "secret text", "Key"),
        ("key.public_key", "ssh-ed25519 AAAA", "public", "text", ""),
        ("own", "(not set)", "missing", "secret text", "Own"),
        ("words", "x, y", "set", "list of texts", "Words"),
        ("arrays.0.host", "a", "set", "text", "Host"),
        ("arrays.0.token", "(not set)", "not set", "secret text", ""),
        ("limits.cpu", "1.5", "inactive", "number", "CPU"),
    ]


def test_an_answer_without_a_schema_shows_what_is_set():
    assert [row[:3] for row in rows({"name": "mail", "settings": {"a": "one\ntwo"}})] == [("a", "one ... (2 lines)", "set")]


def test_names_go_into_groups():
    assert list(names(SCHEMA))[-3:] == ["words", "arrays", "limits.cpu"]


def test_a_schema_that_refers_to_itself_ends():
    schema = {"$defs": {"T": {"properties": {"t": {"$ref": "#/$defs/T"}}}}, "properties": {"t": {"$ref": "#/$defs/T"}}}
    assert len(list(names(schema))) == 1
    (row,) = rows({"name": "x", "settings": {"t": {}}, "settings_schema": schema})
    assert row.name.startswith("t.t")

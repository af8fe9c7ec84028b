# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The plugin holds together: manifest, expressions, settings and checks, with the SDK alone."""

import json
import subprocess

import jsonschema_rs
import pytest
from stoker_plugin_ntp import CLIENT, CONFIG, SERVER, plugin
from stoker_sdk.extension_points import config_files, health_checks, settings
from stoker_sdk.manifest import read_manifest, to_manifest
from stoker_sdk.model.expression import Expression, condition_source
from stoker_sdk.model.program import compile_expression

NODES = [
    {"name": "a", "address": "10.0.0.1", "roles": [SERVER]},
    {"name": "b", "address": "10.0.0.2", "roles": [CLIENT]},
]
SETTINGS = {"servers": [], "stratum": 10, "minpoll": 4, "maxpoll": 8, "allow": ["10.0.0.0/8"]}


def entries(role, values):
    """The plugin's lines of chrony.conf for one role, evaluated by the SDK's own expressions."""
    context = {"settings": values, "by_role": {SERVER: [NODES[0]], CLIENT: [NODES[1]]}, "nodes": NODES}
    lines = []
    for entry in plugin.contributions:
        if not isinstance(entry, config_files.Option | config_files.ListItem) or role not in entry.roles:
            continue
        condition = condition_source(entry.when)
        if condition and not compile_expression(condition).evaluate(context):
            continue
        value = entry.value if isinstance(entry, config_files.Option) else entry.items
        if isinstance(value, Expression):
            value = compile_expression(value.source).evaluate(context)
        lines += [f"{entry.key} {v}" for v in (value if isinstance(value, list) else [value])]
    return lines


def test_manifest_round_trip():
    manifest = json.loads(json.dumps(to_manifest(plugin)))
    assert json.loads(json.dumps(to_manifest(read_manifest(manifest)))) == manifest


def test_server_without_upstream_serves_its_own_clock():
    lines = entries(SERVER, SETTINGS)
    assert "local stratum 10" in lines
    assert not [line for line in lines if line.startswith("server ")]


def test_server_with_upstream_follows_it():
    lines = entries(SERVER, SETTINGS | {"servers": ["ntp.example.org"], "minpoll": 6})
    assert "server ntp.example.org iburst minpoll 6 maxpoll 8" in lines
    assert not [line for line in lines if line.startswith("local")]


def test_client_asks_the_server_nodes_alone():
    lines = entries(CLIENT, SETTINGS | {"servers": ["ntp.example.org"]})
    assert [line for line in lines if line.startswith("server ")] == ["server 10.0.0.1 iburst minpoll 4 maxpoll 8"]
    assert not [line for line in lines if line.startswith("allow")]


@pytest.mark.parametrize("bad", [{"servers": ["a\nallow all"]}, {"stratum": 16}, {"allow": ["all; x"]}, {"other": 1}])
def test_settings_refuse(bad):
    schema = next(c.json_schema for c in plugin.contributions if isinstance(c, settings.Settings))
    assert jsonschema_rs.validator_for(dict(schema)).is_valid({})
    assert not jsonschema_rs.validator_for(dict(schema)).is_valid(bad)


@pytest.mark.parametrize(
    ("check", "answer", "well"),
    [
        ("source-answers", "^,*,10.0.0.1,10,4,377,3,0.0,0.0,0.0", True),
        ("source-answers", "^,?,10.0.0.1,0,4,0,4294967295,0.0,0.0,0.0", False),
        ("source-answers", "", False),
        ("serves", "7F7F0101,,10,1700000000.0,0,0,0,0,0,0,0,0,0,Normal", True),
        ("serves", "00000000,,0,0.0,0,0,0,0,0,0,0,0,0,Not synchronised", False),
    ],
)
def test_checks_read_what_chronyc_writes(tmp_path, check, answer, well):
    (tmp_path / "chronyc").write_text(f"#!/bin/sh\nprintf '%s\\n' '{answer}'\n")
    (tmp_path / "chronyc").chmod(0o755)
    run = next(c.run for c in plugin.contributions if isinstance(c, health_checks.HealthCheck) and c.id == check)
    done = subprocess.run(["/bin/sh", "-ec", run], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, check=False)
    assert (done.returncode == 0) is well


def test_one_file_only():
    assert {c.path for c in plugin.contributions if hasattr(c, "path")} == {CONFIG}

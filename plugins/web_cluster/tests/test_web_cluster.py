# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The release holds together with the SDK alone: manifest, settings, and the check that reads the page."""

import json
import subprocess

import jsonschema_rs
import pytest
from stoker_plugin_web_cluster import plugin
from stoker_sdk.extension_points import config_files, health_checks, services, settings
from stoker_sdk.manifest import read_manifest, to_manifest
from stoker_sdk.validation import check_plugin


def test_it_is_valid_and_its_manifest_carries_all_of_it():
    assert check_plugin(plugin) == []
    manifest = json.loads(json.dumps(to_manifest(plugin)))
    assert json.loads(json.dumps(to_manifest(read_manifest(manifest)))) == manifest


def test_every_single_option_can_be_set_otherwise_by_others():
    levels = {item.level for item in plugin.contributions if isinstance(item, config_files.Option)}
    assert levels == {"default"}


def test_web_servers_restart_one_by_one_and_only_when_the_last_one_answers():
    web = next(item for item in plugin.contributions if isinstance(item, services.Service) and item.name == "web")
    assert (web.on_change, web.concurrency) == ("restart", 1)
    assert web.ready


@pytest.mark.parametrize(
    "bad", [{"title": "<b>"}, {"title": "a\nb"}, {"text": "{{ x }}"}, {"port": 0}, {"web_port": 70000}, {"x": 1}]
)
def test_settings_refuse(bad):
    schema = next(item.json_schema for item in plugin.contributions if isinstance(item, settings.Settings))
    assert jsonschema_rs.validator_for(dict(schema)).is_valid({})
    assert not jsonschema_rs.validator_for(dict(schema)).is_valid(bad)


@pytest.mark.parametrize(
    ("page", "well"),
    [
        ("<title>A $(x)</title>\n<h1>A $(x)</h1>\n<p>'B'</p>\n", True),
        ("<h1>A $(x)</h1>\n", False),
        ("<h1>other</h1>\n<p>'B'</p>\n", False),
        ("", False),
    ],
)
def test_the_check_reads_the_page(tmp_path, page, well):
    (tmp_path / "page").write_text(page)
    (tmp_path / "curl").write_text(f'#!/bin/sh\n[ "$4" = http://127.0.0.1:80/ ] && cat {tmp_path}/page\n')
    (tmp_path / "curl").chmod(0o755)
    check = next(item for item in plugin.contributions if isinstance(item, health_checks.HealthCheck))
    variables = {"PATH": f"{tmp_path}:/usr/bin:/bin", "PORT": "80", "TITLE": "A $(x)", "TEXT": "'B'"}
    done = subprocess.run(["/bin/sh", "-ec", check.run], env=variables, check=False)
    assert (done.returncode == 0) is well

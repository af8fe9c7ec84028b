# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The plugin holds together with the SDK alone, and changes the product through its services only."""

import json

from stoker_plugin_web_timeouts import plugin
from stoker_sdk.extension_points import config_files
from stoker_sdk.manifest import read_manifest, to_manifest
from stoker_sdk.validation import check_plugin


def test_it_is_valid_and_its_manifest_carries_all_of_it():
    assert check_plugin(plugin) == []
    manifest = json.loads(json.dumps(to_manifest(plugin)))
    assert json.loads(json.dumps(to_manifest(read_manifest(manifest)))) == manifest


def test_it_names_no_path_of_the_product():
    entries = [item for item in plugin.contributions if isinstance(item, config_files.Option | config_files.ListItem)]
    assert entries
    assert {(item.path, item.service) for item in entries} == {("", "balancer")}

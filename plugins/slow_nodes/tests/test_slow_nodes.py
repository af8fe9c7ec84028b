# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The plugin patches tasks that are there, and only gives them more."""

import json

from stoker_plugin_slow_nodes import plugin
from stoker_sdk.manifest import read_manifest, to_manifest
from stoker_sdk.validation import check_plugin


def test_manifest_round_trip():
    manifest = json.loads(json.dumps(to_manifest(plugin)))
    assert json.loads(json.dumps(to_manifest(read_manifest(manifest)))) == manifest


def test_it_has_no_faults_and_can_stand_alone():
    assert check_plugin(plugin) == []
    assert all(patch.optional and patch.reason for patch in plugin.contributions)

# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Bundled plugins that patch tasks name tasks that the other bundled plugins have, and patch them alike in any company."""

from __future__ import annotations

import msgspec
from making import plugin
from stoker.planning.checks import check_plugins
from stoker_plugin_ntp import plugin as ntp
from stoker_plugin_slow_nodes import plugin as slow_nodes
from stoker_plugin_web_cache import plugin as web_cache
from stoker_plugin_web_cluster import plugin as web_cluster


def made(*bundled):
    return [plugin(item.name, *item.contributions) for item in bundled]


def test_every_patch_names_a_task_of_a_bundled_plugin():
    certain = [msgspec.structs.replace(patch, optional=False) for patch in slow_nodes.contributions]
    assert check_plugins([plugin("slow-nodes", *certain), *made(ntp, web_cluster, web_cache)]) == []


def test_it_can_be_enabled_alone():
    assert check_plugins(made(slow_nodes)) == []

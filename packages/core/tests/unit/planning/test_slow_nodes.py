# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The bundled plugin slow-nodes names tasks that the other bundled plugins have."""

from __future__ import annotations

import msgspec
from making import plugin
from stoker.planning.checks import check_plugins
from stoker_plugin_ntp import plugin as ntp
from stoker_plugin_slow_nodes import plugin as slow_nodes


def test_every_patch_names_a_task_of_a_bundled_plugin():
    certain = [msgspec.structs.replace(patch, optional=False) for patch in slow_nodes.contributions]
    assert check_plugins([plugin("slow-nodes", *certain), plugin("ntp", *ntp.contributions)]) == []


def test_it_can_be_enabled_alone():
    assert check_plugins([plugin("slow-nodes", *slow_nodes.contributions)]) == []

# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Validation: everything that can be found wrong with a plugin before it is built, all at once."""

from __future__ import annotations

from pathlib import Path

import msgspec

from stoker_sdk.errors import InvalidPluginError
from stoker_sdk.manifest import read_manifest, to_manifest
from stoker_sdk.model.finding import Finding
from stoker_sdk.plugin import Plugin
from stoker_sdk.validation.expressions import check_expressions
from stoker_sdk.validation.options import check_options
from stoker_sdk.validation.places import check_files, check_paths
from stoker_sdk.validation.project import check_project
from stoker_sdk.validation.selectors import check_selectors
from stoker_sdk.validation.settings import check_settings
from stoker_sdk.validation.task_graph import check_tasks

__all__ = ["check_plugin"]


def check_plugin(plugin: Plugin, folder: Path | None = None) -> list[Finding]:
    """All findings of a plugin, in the order of its contributions; those with severity ``error`` refuse it.

    Args:
        plugin: as loaded.
        folder: its folder; without it, files are not looked for.
    """
    try:
        # What a type checker would have refused is not asked about its meaning.
        plugin = read_manifest(to_manifest(plugin))
    except InvalidPluginError as error:
        return list(error.findings)
    findings = [*plugin.check(), *check_settings(plugin)]
    for contribution in plugin.contributions:
        found = [*contribution.check(), *check_expressions(plugin, contribution), *check_paths(contribution)]
        findings += [msgspec.structs.replace(finding, contribution=contribution.label) for finding in found]
    findings += [*check_options(plugin), *check_tasks(plugin), *check_selectors(plugin)]
    if folder is not None:
        findings += [*check_files(plugin, folder), *check_project(plugin, folder)]
    return [msgspec.structs.replace(finding, plugin=plugin.name) for finding in findings]

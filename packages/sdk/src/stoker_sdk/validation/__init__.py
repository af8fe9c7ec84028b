# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Validation: everything that can be found wrong with a plugin before it is built, all at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from stoker_sdk.errors import InvalidPluginError
from stoker_sdk.manifest import read_manifest, steps_of, to_manifest
from stoker_sdk.model.finding import Finding
from stoker_sdk.plugin import Plugin
from stoker_sdk.plugin_yaml import line_finder
from stoker_sdk.validation.code import check_code_carried, check_code_parts
from stoker_sdk.validation.expressions import check_expressions
from stoker_sdk.validation.kinds import check_kinds
from stoker_sdk.validation.options import check_options
from stoker_sdk.validation.patches import check_patches
from stoker_sdk.validation.places import check_files, check_paths
from stoker_sdk.validation.project import check_project
from stoker_sdk.validation.repositories import check_repositories
from stoker_sdk.validation.selectors import check_selectors
from stoker_sdk.validation.services import check_services
from stoker_sdk.validation.settings import check_settings
from stoker_sdk.validation.task_graph import check_tasks

__all__ = ["check_plugin"]

YAML: Final = "plugin.yaml"


def check_plugin(plugin: Plugin, folder: Path | None = None, *, try_defaults: bool = True) -> list[Finding]:
    """All findings of a plugin, in the order of its contributions; those with severity ``error`` refuse it.

    Args:
        plugin: as loaded.
        folder: its folder; without it, files are not looked for.
        try_defaults: whether each default, and each task's constants, are tried on their schemas. A hostile schema can make
            that last for ever, so who does not know the plugin leaves it out.
    """
    try:
        # What a type checker would have refused is not asked about its meaning.
        plugin = read_manifest(to_manifest(plugin))
    except InvalidPluginError as error:
        return list(error.findings)
    findings = [*plugin.check(), *check_settings(plugin, try_defaults=try_defaults)]
    for contribution in plugin.contributions:
        found = [*contribution.check(), *check_expressions(plugin, contribution), *check_paths(contribution)]
        findings += [msgspec.structs.replace(finding, contribution=contribution.label) for finding in found]
    findings += [*check_options(plugin), *check_services(plugin), *check_tasks(plugin), *check_patches(plugin)]
    findings += [*check_kinds(plugin, try_values=try_defaults), *check_selectors(plugin), *check_repositories(plugin)]
    findings += check_code_parts(plugin)
    if folder is not None:
        findings += [*check_files(plugin, folder), *check_project(plugin, folder), *check_code_carried(plugin, folder)]
    if folder is not None and (folder / YAML).is_file():
        findings = _with_lines(plugin, folder / YAML, findings)
    return [msgspec.structs.replace(finding, plugin=plugin.name) for finding in findings]


def _with_lines(plugin: Plugin, file: Path, findings: Sequence[Finding]) -> list[Finding]:
    """The findings of a plugin in YAML, each with its line."""
    line_of = line_finder(file)
    places: dict[str, tuple[str | int, ...]] = {"": ()}
    for index, contribution in enumerate(plugin.contributions):
        places.setdefault(contribution.label, ("contributions", index))
    return [
        finding
        if finding.file
        else msgspec.structs.replace(
            finding, file=file.name, line=line_of((*places.get(finding.contribution, ()), *steps_of(finding.field)))
        )
        for finding in findings
    ]

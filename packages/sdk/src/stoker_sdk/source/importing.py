# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Importing: runs in a process of its own, imports a plugin's module and writes a report on standard output."""

from __future__ import annotations

import os
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import NoReturn

import msgspec
from stevedore import DriverManager
from stevedore.exception import MultipleMatches, NoMatches

from stoker_sdk.errors import InvalidPluginError
from stoker_sdk.manifest import to_manifest
from stoker_sdk.plugin import Plugin
from stoker_sdk.source.blame import blame
from stoker_sdk.source.functions import check_functions
from stoker_sdk.source.report import Report


def import_plugin(folder: Path, group: str, name: str, target: str) -> Report:
    """Import the module that an entry point names, and turn what stands there into a manifest."""
    sys.path[:0] = [str(path) for path in (folder / "src", folder) if path.is_dir()]
    try:
        plugin = _load(group, name, target)
        if not isinstance(plugin, Plugin):
            raise TypeError(f"{target} is of type {type(plugin).__name__}, not a stoker_sdk.Plugin")
        manifest = to_manifest(plugin)
        if faults := list(check_functions(plugin, folder)):
            return Report(faults=faults)
        return Report(manifest=manifest)
    except InvalidPluginError as error:
        return Report(faults=list(error.findings))
    except BaseException as error:  # noqa: BLE001  whatever a plugin raises, and be it SystemExit, is told
        return Report(faults=[blame(error, folder, target)])


def _load(group: str, name: str, target: str) -> object:
    """By stevedore where the plugin is installed, as at run time; else by what its project says."""
    try:
        manager: DriverManager[object] = DriverManager(
            group, name, warn_on_missing_entrypoint=False, on_load_failure_callback=_raise
        )
    except (NoMatches, MultipleMatches):
        return EntryPoint(name=name, value=target, group=group).load()
    entry: EntryPoint = manager[name].entry_point
    return manager.driver if entry.value == target else EntryPoint(name=name, value=target, group=group).load()


def _raise(_manager: object, _entry: EntryPoint, error: BaseException) -> NoReturn:
    raise error  # else stevedore would say no more than that it found nothing


def main() -> None:
    """Import, and write the report where nothing of the plugin can write."""
    folder, group, name, target = sys.argv[1:5]
    output = os.dup(1)
    os.dup2(2, 1)
    report = import_plugin(Path(folder), group, name, target)
    with os.fdopen(output, "wb") as stream:
        stream.write(msgspec.json.encode(report))


if __name__ == "__main__":
    main()

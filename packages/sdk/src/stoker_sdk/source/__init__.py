# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Sources: a plugin's folder, as Python or YAML, becomes a plugin and the files that travel with it."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Final

import msgspec

from stoker_sdk.bundle import write_bundle
from stoker_sdk.errors import InvalidBundleError, InvalidPluginError
from stoker_sdk.extension_points.config_files import WholeFile
from stoker_sdk.extension_points.node_packages import Repository
from stoker_sdk.extension_points.task_kinds import TaskKind
from stoker_sdk.extension_points.tasks import Script, Upload
from stoker_sdk.manifest import read_manifest, to_manifest
from stoker_sdk.model.finding import Finding
from stoker_sdk.plugin import Plugin
from stoker_sdk.plugin_yaml import read_yaml
from stoker_sdk.source.report import Report
from stoker_sdk.source.repositories import list_packages
from stoker_sdk.source.wheels import has_code, pack_code

GROUP: Final = "stoker.plugins"
"""The one entry-point group of plugins."""

_SECONDS: Final = 60
_SHIPPED_ALWAYS: Final = ("README.md", "LICENSE", "CHANGELOG.md")


def load_folder(folder: Path) -> Plugin:
    """The plugin in a folder: ``plugin.yaml``, or a ``pyproject.toml`` with one entry point in ``stoker.plugins``.

    Raises:
        InvalidPluginError: there is none, or it cannot be loaded; the reason is named.
    """
    if (folder / "plugin.yaml").is_file():
        return read_yaml(folder / "plugin.yaml")
    if (folder / "pyproject.toml").is_file():
        return _load_python(folder)
    raise _invalid(folder, "L010", "it has neither plugin.yaml nor pyproject.toml.", "Start one with 'stoker-plugin new NAME'.")


def _invalid(folder: Path, rule: str, message: str, remedy: str, file: str = "") -> InvalidPluginError:
    return InvalidPluginError(folder.name, [Finding(rule=rule, file=file, message=message, remedy=remedy)])


def entry_point(folder: Path) -> tuple[str, str]:
    """Name and target of the plugin's one entry point.

    Raises:
        InvalidPluginError: the project cannot be read, or has not just one.
    """
    try:
        project = tomllib.loads((folder / "pyproject.toml").read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise _invalid(folder, "L011", f"it is not TOML: {error}.", "Mend it.", "pyproject.toml") from error
    points = project.get("project", {}).get("entry-points", {}).get(GROUP, {})
    if len(points) != 1:
        message = f"it has {len(points)} entry points in {GROUP}; a plugin has one."
        raise _invalid(folder, "L012", message, f'Write [project.entry-points."{GROUP}"] with one line.', "pyproject.toml")
    ((name, target),) = points.items()
    return str(name), str(target)


def _load_python(folder: Path) -> Plugin:
    name, target = entry_point(folder)
    report = _report(folder, name, target)
    if report.faults:
        raise InvalidPluginError(folder.name, report.faults)
    return read_manifest(report.manifest)


def _report(folder: Path, name: str, target: str) -> Report:
    """What the importing process says; it is a process of its own, so that a plugin that loops or exits harms nobody."""
    try:
        child = subprocess.run(
            [sys.executable, "-P", "-m", "stoker_sdk.source.importing", str(folder.resolve()), GROUP, name, target],
            capture_output=True,
            timeout=_SECONDS,
            check=False,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired as error:
        raise _invalid(folder, "L013", f"importing {target} took more than {_SECONDS} s.", "Do no work on import.") from error
    try:
        return msgspec.json.decode(child.stdout, type=Report)
    except msgspec.DecodeError as error:
        message = f"{target} ended the process that imports it, with status {child.returncode}."
        raise _invalid(folder, "L016", message, "Do no work on import.") from error


def named_files(plugin: Plugin) -> dict[str, str]:
    """The files of the folder that contributions name: path -> label of the first that does."""
    found: dict[str, str] = {}
    for item in plugin.contributions:
        if isinstance(item, Script | Upload):
            found.setdefault(item.source, item.label)
        elif isinstance(item, TaskKind) and item.executable:
            found.setdefault(item.executable, item.label)
        elif isinstance(item, WholeFile) and item.template is not None:
            found.setdefault(item.template, item.label)
        elif isinstance(item, Repository):
            for package in item.packages:
                found.setdefault(f"{item.path}/{package.file}", item.label)
    return found


def shipped_files(plugin: Plugin, folder: Path) -> dict[str, tuple[bytes, bool]]:
    """Every file that travels with a plugin: path -> (bytes, whether it is executable).

    Raises:
        InvalidBundleError: a file is missing, or a link leaves the folder.
    """
    root = folder.resolve()
    names = {*named_files(plugin), *(name for name in _SHIPPED_ALWAYS if (folder / name).is_file())}
    names |= {path.relative_to(folder).as_posix() for path in (folder / "docs").rglob("*") if path.is_file()}
    files: dict[str, tuple[bytes, bool]] = {}
    for name in sorted(names):
        path = folder / name
        if not path.resolve().is_relative_to(root):
            raise InvalidBundleError(
                plugin.name, "B004", "it leads out of the plugin's folder", member=name, remedy="Copy the file into it."
            )
        if not path.is_file():
            raise InvalidBundleError(
                plugin.name, "B002", "a contribution names it, but it is not there", member=name, remedy="Add the file."
            )
        files[name] = (path.read_bytes(), bool(path.stat().st_mode & stat.S_IXUSR))
    return files


def build_bundle(folder: Path, output: Path) -> Path:
    """Build ``NAME-VERSION.stoker`` from a plugin's folder; the same folder gives the same bytes.

    Raises:
        InvalidPluginError: the plugin cannot be loaded, a package of a repository cannot be read, or a wheel cannot be had.
        InvalidBundleError: a file is missing or leaves the folder.
    """
    plugin, findings = list_packages(load_folder(folder), folder)
    if findings:
        raise InvalidPluginError(plugin.name, findings)
    files = shipped_files(plugin, folder)
    if has_code(plugin):
        code, wheels = pack_code(plugin, folder, entry_point(folder)[0])
        plugin = msgspec.structs.replace(plugin, code=code)
        files |= {path: (data, False) for path, data in wheels.items()}
    return write_bundle(to_manifest(plugin), files, output)

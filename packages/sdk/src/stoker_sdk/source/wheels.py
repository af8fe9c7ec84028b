# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Wheels: what a plugin with code takes along, its own wheel and those that it needs beside the SDK's."""

from __future__ import annotations

import importlib.util
import os
import sys
import sysconfig
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from stoker_sdk.errors import InvalidPluginError
from stoker_sdk.extension_points import all_points
from stoker_sdk.model.finding import Finding
from stoker_sdk.plugin import Code, Plugin, Wheel
from stoker_sdk.source.wheel_downloads import PLATFORM, download, fault, metadata_of, run

FOLDER: Final = "wheels"
"""Where wheels are in a bundle."""
SDK: Final = "stoker-sdk"


def has_code(plugin: Plugin) -> bool:
    """Whether a contribution needs a worker, or brings code for one (a collection with migrations)."""
    points = {kind: point for point in all_points().values() for kind in point.contributions}
    return any(points[type(item)].needs_code for item in plugin.contributions)


def pack_code(plugin: Plugin, folder: Path, entry_point: str) -> tuple[Code, dict[str, bytes]]:
    """The code of a plugin for its bundle: what the manifest says of it, and the wheels by their path.

    Args:
        plugin: as loaded from the folder.
        folder: a Python project with a build backend.
        entry_point: the name of its entry point.

    Raises:
        InvalidPluginError: it cannot be built, or a wheel is missing for a declared platform; what is missing is named.
    """
    platforms = _declared(folder, plugin.name)
    with tempfile.TemporaryDirectory() as name:
        own = _build(plugin.name, folder, Path(name))
        distribution_name, version, needed = metadata_of(own)
        found: dict[str, tuple[bytes, set[str]]] = {own.name: (own.read_bytes(), set())}
        wanted = [item for item in map(Requirement, needed) if canonicalize_name(item.name) != SDK]
        missing: list[Finding] = []
        for platform in platforms or [""]:
            try:
                wheels = download(plugin.name, wanted, platform, Path(name), provided_by_server())
            except InvalidPluginError as error:
                missing += error.findings
                continue
            for wheel in wheels:
                _, where = found.setdefault(wheel.name, (wheel.read_bytes(), set()))
                if not wheel.name.endswith("-none-any.whl"):
                    where.add(platform or present_platform())
        if missing:
            raise InvalidPluginError(plugin.name, missing)
        _refuse_other_platforms(plugin.name, own.name, platforms)
        if not own.name.endswith("-none-any.whl"):
            found[own.name][1].add(present_platform())
    bound = sorted({platform for _, where in found.values() for platform in where})
    code = Code(
        entry_point=entry_point,
        distribution=f"{distribution_name}=={version}",
        requires_python=_requires_python(folder),
        wheels=[Wheel(file=f"{FOLDER}/{file}", platforms=sorted(where)) for file, (_, where) in sorted(found.items())],
        platforms=(platforms or bound) if bound else [],
    )
    return code, {f"{FOLDER}/{file}": data for file, (data, _) in found.items()}


def present_platform() -> str:
    """The platform of this Python, e.g. ``cp311-manylinux_2_36_x86_64``."""
    system = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    if system.startswith("linux_"):
        libc, _, glibc = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
        kind = f"manylinux_{glibc.replace('.', '_')}" if libc == "glibc" else "musllinux_1_2"
        system = system.replace("linux", kind, 1)
    return f"cp{sys.version_info.major}{sys.version_info.minor}-{system}"


def _project(folder: Path) -> Mapping[str, object]:
    loaded: Mapping[str, object] = tomllib.loads((folder / "pyproject.toml").read_text())
    return loaded


def _section(folder: Path, *names: str) -> Mapping[str, object]:
    found: object = _project(folder)
    for name in names:
        found = found.get(name, {}) if isinstance(found, Mapping) else {}
    return found if isinstance(found, Mapping) else {}


def _declared(folder: Path, plugin: str) -> list[str]:
    given = _section(folder, "tool", "stoker").get("platforms", [])
    platforms = [str(item) for item in given] if isinstance(given, Sequence) and not isinstance(given, str) else [str(given)]
    for platform in platforms:
        if not PLATFORM.fullmatch(platform):
            message = f"{platform!r} is not a platform."
            raise fault(plugin, "X080", message, f"Write e.g. {present_platform()}.", "pyproject.toml")
    return sorted(set(platforms))


def _requires_python(folder: Path) -> str:
    return str(_section(folder, "project").get("requires-python", ">=3.11"))


def _build(plugin: str, folder: Path, into: Path) -> Path:
    """The plugin's own wheel; the same folder gives the same bytes."""
    requires = _section(folder, "build-system").get("requires", [])
    names = [Requirement(str(text)).name for text in requires] if isinstance(requires, Sequence) else []
    # What builds it is here already on most machines: then nothing is fetched.
    here = bool(names) and all(importlib.util.find_spec(name.replace("-", "_")) is not None for name in names)
    words = ["--no-build-isolation", "--python", sys.executable] if here else []
    command = [*_uv(plugin), "build", "-q", "--wheel", *words, "--out-dir", str(into / "own"), str(folder.resolve())]
    run(plugin, "X081", command, "it cannot be built", "Mend the project; 'uv build --wheel' in its folder shows more.")
    wheels = list((into / "own").glob("*.whl"))
    if len(wheels) != 1:
        raise fault(plugin, "X081", f"its build gives {len(wheels)} wheels.", "Let the build backend make one wheel.")
    return wheels[0]


def _refuse_other_platforms(plugin: str, own: str, platforms: Sequence[str]) -> None:
    """What is compiled here runs on platforms like this one alone."""
    here = PLATFORM.fullmatch(present_platform())
    for platform in platforms if not own.endswith("-none-any.whl") else ():
        there = PLATFORM.fullmatch(platform)
        if here is None or there is None or (here["python"], here["machine"]) != (there["python"], there["machine"]):
            message = f"its own wheel {own} is not for {platform}, which it declares."
            raise fault(plugin, "X084", message, "Build it on such a machine, or declare fewer platforms.", "pyproject.toml")


def provided_by_server() -> frozenset[str]:
    """The SDK and all that it needs, by canonical name: every server has them for plugins."""
    found: set[str] = set()
    waiting = [SDK]
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name in found:
            continue
        try:
            requires = distribution(name).requires or []
        except PackageNotFoundError:
            continue  # for another system
        found.add(name)
        for text in requires:
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
    return frozenset(found)


def _uv(plugin: str) -> list[str]:
    if importlib.util.find_spec("uv") is None:
        raise fault(plugin, "X083", "uv, which builds its wheel, is not installed.", "pip install 'stoker-sdk[build]'.")
    return [sys.executable, "-m", "uv"]

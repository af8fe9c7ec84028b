# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Wheels: what a plugin with code takes along, its own wheel and those that it needs beside the SDK's."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from email.parser import HeaderParser
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from stoker_sdk.errors import InvalidPluginError
from stoker_sdk.extension_points import all_points
from stoker_sdk.model.finding import Finding
from stoker_sdk.plugin import Code, Plugin, Wheel

FOLDER: Final = "wheels"
"""Where wheels are in a bundle."""
SDK: Final = "stoker-sdk"

_SECONDS: Final = 600
_EPOCH: Final = "315532800"
_PLATFORM = re.compile(r"cp3(\d+)-(manylinux_(\d+)_(\d+)|musllinux_\d+_\d+)_(\w+)")
_OLDEST_GLIBC: Final = 17


def has_code(plugin: Plugin) -> bool:
    """Whether a contribution needs a worker, or brings code for one (a collection with migrations)."""
    points = {kind: point for point in all_points().values() for kind in point.contributions}
    return any(points[type(item)].needs_code or getattr(item, "migrations", ()) for item in plugin.contributions)


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
        distribution_name, version, needed = _metadata(own)
        found: dict[str, tuple[bytes, set[str]]] = {own.name: (own.read_bytes(), set())}
        wanted = [text for text in needed if canonicalize_name(Requirement(text).name) != SDK]
        for platform in platforms or [""]:
            for wheel in _download(plugin.name, wanted, platform, Path(name)):
                _, where = found.setdefault(wheel.name, (wheel.read_bytes(), set()))
                if not wheel.name.endswith("-none-any.whl"):
                    where.add(platform or present_platform())
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


def _fault(plugin: str, rule: str, message: str, remedy: str, file: str = "") -> InvalidPluginError:
    return InvalidPluginError(plugin, [Finding(rule=rule, file=file, message=message, remedy=remedy)])


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
        if not _PLATFORM.fullmatch(platform):
            message = f"{platform!r} is not a platform."
            raise _fault(plugin, "X080", message, f"Write e.g. {present_platform()}.", "pyproject.toml")
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
    _run(plugin, "X081", [*_uv(plugin), "build", "-q", "--wheel", *words, "--out-dir", str(into / "own"), str(folder.resolve())])
    wheels = list((into / "own").glob("*.whl"))
    if len(wheels) != 1:
        raise _fault(plugin, "X081", f"its build gives {len(wheels)} wheels.", "Let the build backend make one wheel.")
    return wheels[0]


def _metadata(wheel: Path) -> tuple[str, str, list[str]]:
    """Name, version and requirements of a wheel, those of extras left out."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        headers = HeaderParser().parsestr(archive.read(name).decode())
    needed = [text for text in headers.get_all("Requires-Dist", []) if "extra ==" not in text]
    return str(headers["Name"]), str(headers["Version"]), needed


def _download(plugin: str, wanted: Sequence[str], platform: str, into: Path) -> Iterator[Path]:
    """The wheels that are needed for a platform, without those that a server has for every plugin."""
    if not wanted:
        return
    target = into / (platform or "present")
    words = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--only-binary", ":all:"]
    _run(plugin, "X082", [*words, *_tags(platform), "--dest", str(target), *wanted])
    own = {canonicalize_name(Requirement(text).name) for text in wanted}
    provided = provided_by_server()
    for wheel in sorted(target.glob("*.whl")):
        try:
            name = parse_wheel_filename(wheel.name)[0]
        except InvalidWheelFilename as error:
            raise _fault(plugin, "X082", f"{wheel.name} is not a wheel's name.", "Choose another version of it.") from error
        if name in own or name not in provided:
            yield wheel


def _tags(platform: str) -> Iterable[str]:
    if not (match := _PLATFORM.fullmatch(platform)):
        return
    yield from ("--python-version", f"3.{match[1]}", "--implementation", "cp")
    for abi in (f"cp3{match[1]}", "abi3", "none"):
        yield from ("--abi", abi)
    if match[3] is None:
        yield from ("--platform", f"{match[2]}_{match[5]}")
        return
    for minor in range(int(match[4]), _OLDEST_GLIBC - 1, -1):
        yield from ("--platform", f"manylinux_2_{minor}_{match[5]}")
    yield from ("--platform", f"manylinux2014_{match[5]}")


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
        raise _fault(plugin, "X083", "uv, which builds its wheel, is not installed.", "pip install 'stoker-sdk[build]'.")
    return [sys.executable, "-m", "uv"]


def _run(plugin: str, rule: str, words: Sequence[str]) -> None:
    try:
        done = subprocess.run(
            words,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "SOURCE_DATE_EPOCH": _EPOCH},
        )
    except subprocess.TimeoutExpired as error:
        raise _fault(plugin, rule, f"its wheels took more than {_SECONDS} s.", "Look at its dependencies.") from error
    if done.returncode:
        lines = [line for line in done.stderr.strip().splitlines() if line.strip()]
        shown = "; ".join(lines[-_LINES:]) or f"status {done.returncode}"
        what = "it cannot be built" if rule == "X081" else "a wheel that it needs is missing"
        raise _fault(plugin, rule, f"{what}: {shown}.", _REMEDY[rule])


_LINES: Final = 6
_REMEDY: Final = {
    "X081": "Mend the project; 'uv build --wheel' in its folder shows more.",
    "X082": "Pin a version that has wheels for every declared platform, or declare fewer platforms.",
}

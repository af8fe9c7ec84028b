# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Downloads: the wheels that a plugin needs on one platform, fetched by pip, and completed for platforms other than this one."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from email.parser import HeaderParser
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from stoker_sdk.errors import InvalidPluginError
from stoker_sdk.model.finding import Finding

PLATFORM: Final = re.compile(
    r"cp3(?P<python>\d+)-(?P<system>manylinux_2_(?P<glibc>\d+)|musllinux_\d+_\d+)_(?P<machine>x86_64|aarch64|ppc64le|s390x|armv7l|i686)"
)
"""A platform that wheels can be asked for, e.g. ``cp311-manylinux_2_28_x86_64``."""

_SECONDS: Final = 600
_EPOCH: Final = "315532800"
_OLDEST_GLIBC: Final = 17
_ROUNDS: Final = 8
_LINES: Final = 6


def download(plugin: str, wanted: Sequence[Requirement], platform: str, into: Path, provided: frozenset[str]) -> Iterable[Path]:
    """The wheels that are needed on a platform.

    Args:
        plugin: whose they are.
        wanted: what its project names.
        platform: as ``PLATFORM`` says; empty: the present one.
        into: a folder for them.
        provided: what every server has for all plugins: of that, only what is wanted itself is taken along.

    Raises:
        InvalidPluginError: some cannot be had as wheels for this platform.
    """
    target = into / (platform or "present")
    surroundings = _surroundings(platform)
    asked = {canonicalize_name(item.name): item for item in wanted if _applies(item, surroundings)}
    own = {*asked}
    for _ in range(_ROUNDS):
        if not asked:
            break
        _fetch(plugin, [_plain(item) for item in asked.values()], platform, target)
        # pip looks at the markers of the Python that runs it: what another platform needs besides is asked for by name.
        there = {canonicalize_name(parse_wheel_filename(path.name)[0]): path for path in _wheels(plugin, target)}
        more = [
            item for path in there.values() for item in map(Requirement, metadata_of(path)[2]) if _applies(item, surroundings)
        ]
        missing = {canonicalize_name(item.name): item for item in more} if platform else {}
        missing = {name: item for name, item in missing.items() if name not in there and name not in provided}
        if not missing:
            return [path for name, path in sorted(there.items()) if name in own or name not in provided]
        asked |= missing
    return []


def metadata_of(wheel: Path) -> tuple[str, str, list[str]]:
    """Name, version and requirements of a wheel, those of extras left out."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        headers = HeaderParser().parsestr(archive.read(name).decode())
    needed = [text for text in headers.get_all("Requires-Dist", []) if "extra ==" not in text]
    return str(headers["Name"]), str(headers["Version"]), needed


def fault(plugin: str, rule: str, message: str, remedy: str, file: str = "") -> InvalidPluginError:
    """One finding about a plugin's wheels, to be raised."""
    return InvalidPluginError(plugin, [Finding(rule=rule, file=file, message=message, remedy=remedy)])


def run(plugin: str, rule: str, words: Sequence[str], what: str, remedy: str) -> None:
    """Run a program that builds or fetches wheels; what it makes does not depend on the day.

    Raises:
        InvalidPluginError: it fails; its last words are told.
    """
    surroundings = {**os.environ, "SOURCE_DATE_EPOCH": _EPOCH}
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=_SECONDS, check=False, stdin=subprocess.DEVNULL, env=surroundings
        )
    except subprocess.TimeoutExpired as error:
        raise fault(plugin, rule, f"{what}: it took more than {_SECONDS} s.", remedy) from error
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise fault(plugin, rule, f"{what}: {'; '.join(lines[-_LINES:]) or f'status {done.returncode}'}.", remedy)


def _fetch(plugin: str, requirements: Sequence[str], platform: str, target: Path) -> None:
    if importlib.util.find_spec("pip") is None:
        raise fault(plugin, "X083", "pip, which fetches wheels, is not installed.", "pip install 'stoker-sdk[build]'.")
    words = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--only-binary", ":all:"]
    what = f"a wheel that it needs is missing for {platform}" if platform else "a wheel that it needs is missing"
    remedy = "Pin versions that have wheels for every declared platform, or declare fewer platforms."
    run(plugin, "X082", [*words, *_tags(platform), "--dest", str(target), *requirements], what, remedy)


def _wheels(plugin: str, target: Path) -> Iterator[Path]:
    for path in sorted(target.glob("*.whl")):
        try:
            parse_wheel_filename(path.name)
        except InvalidWheelFilename as error:
            raise fault(plugin, "X082", f"{path.name} is not a wheel's name.", "Choose another version of it.") from error
        yield path


def _surroundings(platform: str) -> Mapping[str, str]:
    """What markers are asked about on a platform."""
    if not (match := PLATFORM.fullmatch(platform)):
        return {"extra": ""}
    return {
        "extra": "",
        "python_version": f"3.{match['python']}",
        "python_full_version": f"3.{match['python']}.0",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "sys_platform": "linux",
        "os_name": "posix",
        "platform_system": "Linux",
        "platform_machine": match["machine"],
    }


def _applies(item: Requirement, surroundings: Mapping[str, str]) -> bool:
    return item.marker is None or item.marker.evaluate(dict(surroundings))


def _plain(item: Requirement) -> str:
    """A requirement without its marker."""
    return str(item).partition(";")[0].strip()


def _tags(platform: str) -> Iterable[str]:
    if not (match := PLATFORM.fullmatch(platform)):
        return
    yield from ("--python-version", f"3.{match['python']}", "--implementation", "cp")
    for abi in (f"cp3{match['python']}", "abi3", "none"):
        yield from ("--abi", abi)
    if match["glibc"] is None:
        yield from ("--platform", f"{match['system']}_{match['machine']}")
        return
    for minor in range(int(match["glibc"]), _OLDEST_GLIBC - 1, -1):
        yield from ("--platform", f"manylinux_2_{minor}_{match['machine']}")
    yield from ("--platform", f"manylinux2014_{match['machine']}")

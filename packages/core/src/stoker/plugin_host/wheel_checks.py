# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Checks of a bundle's wheels: nothing of them may run, or lie, outside of the plugin's own packages when they are installed."""

from __future__ import annotations

import csv
import stat
import zipfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Final, NoReturn

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from stoker_sdk.plugin import Plugin
from stoker_sdk.source.wheels import SDK

from stoker.errors import InvalidInputError

_RUN_AT_START: Final = frozenset({"sitecustomize", "usercustomize"})
_SDK_PACKAGE: Final = "stoker_sdk"
_MOST_BYTES: Final = 1024 * 1024 * 1024
_MOST_MEMBERS: Final = 50_000


def refuse_hostile(plugin: Plugin, wheel: Path) -> None:
    """Look at every member of a wheel.

    Raises:
        InvalidInputError: it is no wheel, or would do what no plugin needs; the member is named.
    """

    def refuse(reason: str, member: str = "") -> NoReturn:
        where = f"{wheel.name}{f' ({member[:120]!r})' if member else ''}"
        raise InvalidInputError(
            f"plugin {plugin.name} {plugin.version}: the wheel {where} is refused: {reason}.",
            remedy="Build the bundle again without it.",
        )

    try:
        name = parse_wheel_filename(wheel.name)[0]
    except InvalidWheelFilename:
        refuse("that is not a wheel's name")
    if canonicalize_name(name) == SDK:
        refuse("the server brings the SDK")
    try:
        with zipfile.ZipFile(wheel) as archive:
            infos = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError):
        refuse("it is not a whole zip archive")
    if len(infos) > _MOST_MEMBERS or sum(info.file_size for info in infos) > _MOST_BYTES:
        refuse("it unpacks to too much")
    names = [info.filename for info in infos]
    if len(set(names)) < len(names):
        refuse("a member stands in it twice", next(member for member in names if names.count(member) > 1))
    for info in infos:
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            refuse("only files may be in a wheel", info.filename)
        if reason := _reason(info.filename, canonicalize_name(name)):
            refuse(reason, info.filename)


def refuse_collisions(plugin: Plugin, wheels: Sequence[Path], packages: Path) -> None:
    """See that wheels replace no file of what every plugin is given, unless they bring another version of all of it.

    Raises:
        InvalidInputError: a wheel does; the file is named.
    """
    for wheel in wheels:
        own = canonicalize_name(parse_wheel_filename(wheel.name)[0])
        with zipfile.ZipFile(wheel) as archive:
            paths = {"/".join(_inner(PurePosixPath(name))) for name in archive.namelist() if not name.endswith("/")}
        taken = sorted(path for path in paths if (packages / path).is_file())
        if taken and not {*taken} <= _files_of(own, packages):
            path = next(path for path in taken if path not in _files_of(own, packages))
            raise InvalidInputError(
                f"plugin {plugin.name} {plugin.version}: the wheel {wheel.name} ({path[:120]!r}) is refused:"
                " it replaces a file of another distribution, which the SDK needs.",
                remedy="Build the bundle again without it; to bring another version, name that distribution in dependencies.",
            )


def _files_of(distribution: str, packages: Path) -> set[str]:
    """The files that an installed distribution says it has."""
    for record in packages.glob("*.dist-info/RECORD"):
        if canonicalize_name(record.parent.name.split("-")[0]) == distribution:
            return {row[0] for row in csv.reader(record.read_text().splitlines()) if row}
    return set()


def _inner(member: PurePosixPath) -> tuple[str, ...]:
    """A member's path below the packages."""
    return member.parts[2:] if member.parts and member.parts[0].endswith(".data") else member.parts


def _reason(filename: str, distribution: str) -> str:
    """Why a member cannot be in a distribution's wheel; empty if it can."""
    member = PurePosixPath(filename)
    if not member.parts or member.is_absolute() or ".." in member.parts or "\\" in filename or "\0" in filename:
        return "a path leaves the venv"
    first, inner = member.parts[0], _inner(member)
    if first.endswith(".data") and member.parts[1:2] not in (("purelib",), ("platlib",), ("scripts",)):
        return "it puts files beside the packages"
    if first.endswith((".dist-info", ".data")) and canonicalize_name(first.split("-")[0]) != distribution:
        return "it says that it is another distribution"
    if first.endswith(".egg-info"):
        return "it says that it is another distribution"
    top = inner[0].split(".")[0] if inner else ""
    if top in _RUN_AT_START or (len(inner) == 1 and inner[0].endswith(".pth")):
        return "it would run whenever Python starts"
    return "it replaces the SDK" if top == _SDK_PACKAGE else ""

# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Checks of a bundle's wheels: nothing of them may run, or lie, outside of the plugin's own packages when they are installed."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path, PurePosixPath
from typing import Final, NoReturn

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from stoker_sdk.plugin import Plugin
from stoker_sdk.source.wheels import SDK

from stoker.errors import InvalidInputError

_RUN_AT_START: Final = frozenset({"sitecustomize.py", "usercustomize.py"})
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
    for info in infos:
        member = PurePosixPath(info.filename)
        kind = stat.S_IFMT(info.external_attr >> 16)
        if member.is_absolute() or ".." in member.parts or "\\" in info.filename:
            refuse("a path leaves the venv", info.filename)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            refuse("only files may be in a wheel", info.filename)
        inner = member.parts[2:] if member.parts and member.parts[0].endswith(".data") else member.parts
        if (
            member.parts
            and member.parts[0].endswith(".data")
            and member.parts[1:2] not in (("purelib",), ("platlib",), ("scripts",))
        ):
            refuse("it puts files beside the packages", info.filename)
        if len(inner) == 1 and (inner[0].endswith(".pth") or inner[0] in _RUN_AT_START):
            refuse("it would run whenever Python starts", info.filename)
        if inner and inner[0].removesuffix(".py") == _SDK_PACKAGE:
            refuse("it replaces the SDK", info.filename)

# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The wheelhouse: the SDK and all that it needs, as wheels made without network of what the server is installed with."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import json
import os
import shutil
import sys
import zipfile
from collections.abc import Iterator
from email.parser import HeaderParser
from importlib.metadata import Distribution, distribution
from pathlib import Path, PurePosixPath
from typing import Final

from packaging.utils import canonicalize_name
from stoker_sdk.source.wheels import SDK, provided_by_server

from stoker.errors import StokerError

_NOT_PACKED: Final = frozenset({"RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json", "uv_build.json"})
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)


def distributions() -> list[Distribution]:
    """What goes into the wheelhouse, by name."""
    return [distribution(name) for name in sorted(provided_by_server())]


def identity() -> str:
    """A name for this Python and the contents of the wheelhouse: another one when either has changed."""
    found = hashlib.sha256(f"{sys.version} {sys.base_prefix}\n".encode())
    for item in distributions():
        found.update(f"{item.metadata['Name']} {item.version}\n".encode())
        if _is_editable(item):
            for path, file in _source_files(item):
                found.update(path.encode() + b"\0" + file.read_bytes())
    return found.hexdigest()[:16]


def make(folder: Path) -> None:
    """Write all wheels into a folder; complete or not at all.

    Raises:
        StokerError: the server is installed in a way that does not tell which files belong to what.
    """
    temporary = folder.with_name(f"{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    for item in distributions():
        _pack(item, temporary)
    os.replace(temporary, folder)  # noqa: PTH105  says that it replaces


def _pack(item: Distribution, folder: Path) -> None:
    name = canonicalize_name(item.metadata["Name"]).replace("-", "_")
    information = f"{name}-{item.version}.dist-info"
    lines: list[str] = []
    with zipfile.ZipFile(folder / f"{name}-{item.version}-{_tag(item)}.whl", "w") as archive:
        for path, file in _files(item, information):
            data = file.read_bytes()
            archive.writestr(zipfile.ZipInfo(path, _EPOCH), data)
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            lines.append(f"{path},sha256={digest},{len(data)}\n")
        lines.append(f"{information}/RECORD,,\n")
        archive.writestr(zipfile.ZipInfo(f"{information}/RECORD", _EPOCH), "".join(lines))


def _tag(item: Distribution) -> str:
    """The compressed tag of the wheel that it was installed from."""
    tags = HeaderParser().parsestr(item.read_text("WHEEL") or "").get_all("Tag", [])
    if not tags:
        raise StokerError(
            f"{item.metadata['Name']} {item.version} was not installed from a wheel, so plugins cannot be given it.",
            remedy="Install the server with pip or uv into a venv of its own.",
        )
    parts = [tag.split("-") for tag in tags]
    return "-".join(".".join(sorted({part[index] for part in parts})) for index in range(3))


def _files(item: Distribution, information: str) -> Iterator[tuple[str, Path]]:
    """Path in the wheel and file, sorted."""
    found: dict[str, Path] = {}
    for listed in item.files or ():
        pure = PurePosixPath(str(listed))
        if pure.is_absolute() or ".." in pure.parts or pure.suffix == ".pyc":
            continue  # programs, which a worker does not need, and what Python makes by itself
        if pure.parts[0].endswith(".dist-info"):
            if pure.name not in _NOT_PACKED:
                found[str(PurePosixPath(information, *pure.parts[1:]))] = Path(str(listed.locate()))
        elif pure.suffix != ".pth" and not pure.name.startswith("_editable_impl"):
            found[str(pure)] = Path(str(listed.locate()))
    if _is_editable(item):
        found.update(_source_files(item))
    yield from sorted(found.items())


def _is_editable(item: Distribution) -> bool:
    told = json.loads(item.read_text("direct_url.json") or "{}")
    return bool(told.get("dir_info", {}).get("editable"))


def _source_files(item: Distribution) -> Iterator[tuple[str, Path]]:
    """The files of a distribution that is used where it is developed; we develop the SDK alone."""
    package = SDK.replace("-", "_")
    spec = importlib.util.find_spec(package)
    if canonicalize_name(item.metadata["Name"]) != SDK or spec is None or spec.origin is None:
        raise StokerError(
            f"{item.metadata['Name']} is installed as editable, so plugins cannot be given it.", remedy="Install it as a wheel."
        )
    root = Path(spec.origin).parent
    for file in sorted(root.rglob("*")):
        if file.is_file() and "__pycache__" not in file.parts:
            yield f"{package}/{file.relative_to(root).as_posix()}", file

# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Descriptions of plugins' applications as they are kept: one file a plugin, which can be made again at any time."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import msgspec

from stoker.plugin_host.openapi_parts import Part
from stoker.services.context import ServerContext


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one plugin's description."""

    version: str
    digest: str
    """Of the bundle that it was asked of."""
    fault: str = ""
    """Why there is none; empty if there is."""
    passing: bool = False
    """Whether the fault may pass: the application could not be asked."""
    part: Part = Part()


def load(context: ServerContext, name: str) -> Kept | None:
    """What is kept of a plugin; ``None`` if nothing is."""
    try:
        return msgspec.json.decode(_file(context, name).read_bytes(), type=Kept)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def store(context: ServerContext, name: str, kept: Kept) -> None:
    """Keep this in place of what is kept."""
    folder = _folder(context)
    folder.mkdir(exist_ok=True, mode=0o700)
    number, made = tempfile.mkstemp(prefix=f".{name}-", dir=folder)
    with os.fdopen(number, "wb") as file:
        file.write(msgspec.json.encode(kept))
    Path(made).replace(_file(context, name))


def forget(context: ServerContext, name: str, version: str = "") -> None:
    """Keep nothing of a plugin, or of this version."""
    kept = load(context, name)
    if not version or (kept is not None and kept.version == version):
        _file(context, name).unlink(missing_ok=True)


def known(context: ServerContext) -> list[str]:
    """The plugins of which something is kept."""
    return [file.stem for file in _folder(context).glob("*.json")]


def fault(context: ServerContext, name: str, version: str) -> str:
    """What is wrong with the description of a version's application; empty if nothing is known to be."""
    kept = load(context, name)
    return kept.fault if kept is not None and kept.version == version else ""


def _folder(context: ServerContext) -> Path:
    return context.config.data_dir / "openapi"


def _file(context: ServerContext, name: str) -> Path:
    return _folder(context) / f"{name}.json"

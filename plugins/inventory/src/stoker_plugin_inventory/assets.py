# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""What is known of an asset: everything that differs between versions of this plugin is in this file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from stoker_sdk.extension_points.records import Migration
from stoker_sdk.model.code import code
from stoker_sdk.model.json_value import JSON

VERSION: Final = "2.0.0"
COLLECTION: Final = "assets"
SCHEMA_VERSION: Final = 2
INDEXES: Final = ("label", "location.rack")
FIELDS: Final = ("label", "owner", "room", "rack")
"""What a row has besides its node."""
OPTIONS: Final[Mapping[str, str]] = {"owner": "Whose it is.", "room": "The room in which it stands.", "rack": "The rack."}

_TEXT: Final[Mapping[str, object]] = {"type": "string", "maxLength": 200}
SCHEMA: Final[Mapping[str, object]] = {
    "type": "object",
    "properties": {
        "label": _TEXT,
        "owner": _TEXT,
        "location": {
            "type": "object",
            "properties": {"room": _TEXT, "rack": _TEXT},
            "required": ["room", "rack"],
            "additionalProperties": False,
        },
    },
    "required": ["label", "owner", "location"],
    "additionalProperties": False,
}
SHOWN: Final = SCHEMA
"""What the serializer hook adds to a node."""


def document(given: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, JSON]:
    """A document of what somebody gives; what they leave out stays as it was.

    Args:
        given: some of ``FIELDS``.
        before: the row that was there, or nothing.
    """
    whole = {name: str(given.get(name, before.get(name, ""))) for name in FIELDS}
    return {"label": whole["label"], "owner": whole["owner"], "location": {"room": whole["room"], "rack": whole["rack"]}}


def row(kept: Mapping[str, Any]) -> dict[str, JSON]:
    """A document as a row of ``FIELDS``."""
    return {"label": kept["label"], "owner": kept["owner"], **kept["location"]}


def text(kept: Mapping[str, Any]) -> str:
    """What the file on the node says."""
    place = "/".join(part for part in (kept["location"]["room"], kept["location"]["rack"]) if part)
    return f"{kept['label']}\n" + (f"location: {place}\n" if place else "")


def in_rack(rack: str) -> dict[str, JSON]:
    """The condition for records of one rack."""
    return {"location.rack": rack}


def split_place(documents: Mapping[str, Any]) -> dict[str, JSON]:
    """From version 1, which had ``place`` as ``ROOM/RACK``."""
    return {key: _split(old) for key, old in documents.items()}


def _split(old: Mapping[str, Any]) -> dict[str, JSON]:
    room, _, rack = str(old.get("place", "")).partition("/")
    return {"label": old["label"], "owner": old.get("owner", ""), "location": {"room": room, "rack": rack}}


MIGRATIONS: Final[Sequence[Migration]] = (Migration(version=2, call=code(split_place)),)

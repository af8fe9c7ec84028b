# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""What is known of an asset: version 1, which kept room and rack as one text; takes the place of the present ``assets.py``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from stoker_sdk.extension_points.records import Migration
from stoker_sdk.model.json_value import JSON

VERSION: Final = "1.0.0"
COLLECTION: Final = "assets"
SCHEMA_VERSION: Final = 1
INDEXES: Final = ("label", "place")
FIELDS: Final = ("label", "owner", "place")
OPTIONS: Final[Mapping[str, str]] = {"owner": "Whose it is.", "place": "ROOM/RACK"}
MIGRATIONS: Final[Sequence[Migration]] = ()

_TEXT: Final[Mapping[str, object]] = {"type": "string", "maxLength": 200}
SCHEMA: Final[Mapping[str, object]] = {
    "type": "object",
    "properties": {"label": _TEXT, "owner": _TEXT, "place": _TEXT},
    "required": ["label"],
    "additionalProperties": False,
}
SHOWN: Final = SCHEMA


def document(given: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, JSON]:
    """A document of what somebody gives; what they leave out stays as it was."""
    return {name: str(given.get(name, before.get(name, ""))) for name in FIELDS}


def row(kept: Mapping[str, Any]) -> dict[str, JSON]:
    """A document as a row of ``FIELDS``."""
    return {name: kept.get(name, "") for name in FIELDS}


def text(kept: Mapping[str, Any]) -> str:
    """What the file on the node says."""
    return f"{kept['label']}\n"


def in_rack(rack: str) -> dict[str, JSON]:
    """The condition for records of one rack."""
    return {"place": rack}

# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Where a secret stands in a planned text, and how it is written there: the place, never the value."""

from __future__ import annotations

import json
import re
from typing import Final, Literal, TypeAlias

import msgspec

Encoding: TypeAlias = Literal["raw", "line", "quoted", "variable"]
"""How a secret is written where it stands.

``raw``: as it is. ``line``: as it is, and it must be one line. ``quoted``: inside double quotes, as JSON and YAML write it.
``variable``: as it is, and it must fit an environment variable.
"""

_UNPRINTABLE: Final = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
"""What JSON leaves as it is and YAML takes for the end of a line, or refuses."""
_NOT_ONE_LINE: Final = re.compile("[\n\r\0]")


class SecretSlot(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A gap in a text that is filled when the text is applied."""

    plugin: str
    """The plugin whose setting it is."""
    name: str
    """The setting's dotted path, e.g. ``api_key`` or ``arrays.0.token``."""
    version: int
    """Which version of the secret."""
    encoding: Encoding = "raw"
    """How its value is written there."""

    def __str__(self) -> str:
        """What people see in its place."""
        return f"<secret {self.plugin}.{self.name} v{self.version}>"


Text: TypeAlias = str | list[str | SecretSlot]
"""A text, or its pieces with gaps where secrets go."""


def quoted(value: str) -> str:
    """A value as it stands between double quotes in JSON and YAML."""
    return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", json.dumps(value, ensure_ascii=False)[1:-1])


def unfit(slot: SecretSlot, value: str) -> str:
    """Why a value cannot stand in a place, or an empty text; says nothing of the value itself."""
    if slot.encoding == "line" and _NOT_ONE_LINE.search(value):
        return f"{slot} has more than one line, and one line is needed where it stands"
    if slot.encoding == "variable" and "\0" in value:
        return f"{slot} holds a null byte, which no environment variable can"
    return ""


def filled(slot: SecretSlot, value: str) -> str:
    """A value as it is written in its place; see :func:`unfit` first."""
    return quoted(value) if slot.encoding == "quoted" else value

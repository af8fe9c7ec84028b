# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Places of secrets: what stands for a secret while values are evaluated, and how it becomes a gap in the final text."""

from __future__ import annotations

import hashlib
import re
from typing import Final

import msgspec
from stoker_sdk.model.finding import Finding

from stoker.domain.secret import SecretSlot, Text

_PREFIX: Final = "__secret_"
_TOKEN = re.compile(r"(__secret_[0-9a-f]{40}__)")


class SecretPlaces:
    """Knows the token of each secret of a snapshot.

    A token is made from the environment's marker, which no plugin ever sees: a plugin that has a secret of its own cannot
    write down the token of another plugin's secret.
    """

    def __init__(self, marker: str) -> None:
        """Keep the marker to oneself."""
        self._marker = marker
        self._slots: dict[str, SecretSlot] = {}

    def token(self, plugin: str, name: str, version: int) -> str:
        """What stands for a secret."""
        seed = "\0".join((self._marker, plugin, name, str(version)))
        token = f"{_PREFIX}{hashlib.sha256(seed.encode()).hexdigest()[:40]}__"
        self._slots[token] = SecretSlot(plugin, name, version)
        return token

    def split(self, text: str) -> Text:
        """A text with its tokens turned into gaps; the text itself if there are none."""
        if _PREFIX not in text:
            return text
        pieces: list[str | SecretSlot] = [self._slots.get(piece, piece) for piece in _TOKEN.split(text) if piece]
        return pieces if any(isinstance(piece, SecretSlot) for piece in pieces) else text

    def in_words(self, finding: Finding) -> Finding:
        """A finding for people: where its message quotes a value, secrets stand by name."""
        return msgspec.structs.replace(finding, message=shown(self.split(finding.message)))


def holds_secret(text: str) -> bool:
    """Whether something in a text stands for a secret."""
    return _PREFIX in text and _TOKEN.search(text) is not None


def shown(text: Text) -> str:
    """A text as people see it: secrets by name."""
    return text if isinstance(text, str) else "".join(str(piece) for piece in text)

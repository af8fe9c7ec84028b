# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Places of secrets: what stands for a secret while values are evaluated, and how it becomes a gap in the final text."""

from __future__ import annotations

import hashlib
import re
from typing import Final

import msgspec
from stoker_sdk.model.finding import Finding

from stoker.domain.secret import Encoding, SecretSlot, Text

_PREFIX: Final = "__secret_"
_TOKEN = re.compile(r"(__secret_[0-9a-f]{40}(?:_line|_quoted|_variable)?__)")
_UNMARKED: Final = re.compile(r"(__secret_[0-9a-f]{40})__")
_BEGINNING: Final = re.compile(r"__secret_(?:([0-9a-f]{3,})|([0-9a-f]{0,2})(?![0-9a-z_]))")
_END: Final = re.compile(r"([0-9a-f]{4,})(?:_line|_quoted|_variable)?__")
_DIGITS: Final = re.compile(r"[0-9a-f]{12,}")
_WAYS: Final[tuple[Encoding, ...]] = ("line", "quoted", "variable")
_PIECE: Final = 12
"""So many hexadecimal digits in a row are no chance."""


class SecretPlaces:
    """Knows the token of each secret of a snapshot.

    A token is made from the environment's marker, which no plugin ever sees: a plugin that has a secret of its own cannot
    write down the token of another plugin's secret.
    """

    def __init__(self, marker: str) -> None:
        """Keep the marker to oneself."""
        self._marker = marker
        self._slots: dict[str, SecretSlot] = {}
        self._digits: set[str] = set()
        self._pieces: set[str] = set()

    def token(self, plugin: str, name: str, version: int) -> str:
        """What stands for a secret."""
        seed = "\0".join((self._marker, plugin, name, str(version)))
        digits = hashlib.sha256(seed.encode()).hexdigest()[:40]
        token = f"{_PREFIX}{digits}__"
        if digits not in self._digits:
            self._digits.add(digits)
            self._pieces.update(digits[start : start + _PIECE] for start in range(len(digits) - _PIECE + 1))
            self._slots[token] = SecretSlot(plugin, name, version)
            for encoding in _WAYS:
                self._slots[encoded(token, encoding)] = SecretSlot(plugin, name, version, encoding)
        return token

    def split(self, text: str) -> Text:
        """A text with its tokens turned into gaps; the text itself if there are none."""
        if _PREFIX not in text:
            return text
        pieces: list[str | SecretSlot] = [self._slots.get(piece, piece) for piece in _TOKEN.split(text) if piece]
        return pieces if any(isinstance(piece, SecretSlot) for piece in pieces) else text

    def is_broken(self, text: str) -> bool:
        """Whether a piece of a token stands in a text, though not the whole: something was done to it besides joining."""
        if not self._digits:
            return False
        rest = "".join(piece for piece in _TOKEN.split(text) if piece not in self._slots).lower()
        if _PREFIX in rest and any(self._begins(long or short) for long, short in _BEGINNING.findall(rest)):
            return True
        if "__" in rest and any(digits.endswith(found[-40:]) for found in _END.findall(rest) for digits in self._digits):
            return True
        return any(
            found[start : start + _PIECE] in self._pieces
            for found in _DIGITS.findall(rest)
            for start in range(len(found) - _PIECE + 1)
        )

    def _begins(self, found: str) -> bool:
        return any(digits.startswith(found[:40]) for digits in self._digits)

    def in_words(self, finding: Finding) -> Finding:
        """A finding for people: where its message quotes a value, secrets stand by name."""
        return msgspec.structs.replace(finding, message=shown(self.split(finding.message)))


def holds_secret(text: str) -> bool:
    """Whether something in a text stands for a secret."""
    return _PREFIX in text and _TOKEN.search(text) is not None


def encoded(text: str, encoding: str) -> str:
    """A text whose secrets are to be written in some way; a way that was chosen before stays."""
    return _UNMARKED.sub(rf"\1_{encoding}__", text) if _PREFIX in text else text


def shown(text: Text) -> str:
    """A text as people see it: secrets by name."""
    return text if isinstance(text, str) else "".join(str(piece) for piece in text)

# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Package versions of modelled nodes, compared as Debian compares them."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from itertools import zip_longest
from typing import Final

_PARTS: Final = re.compile(r"(\D*)(\d*)")
_CONSTRAINT: Final = re.compile(r"\s*(>=|<=|==|!=|>|<|=|)\s*(\S+)\s*")
_OPERATORS: Final[dict[str, Callable[[int, int], bool]]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "=": operator.eq,
    "": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}


def _weights(text: str) -> list[int]:
    """The order of characters: a tilde before the end, letters before the rest."""
    return [-1 if char == "~" else ord(char) if char.isalpha() else ord(char) + 256 for char in text]


def compare(one: str, other: str) -> int:
    """Below, at or above 0, as ``one`` is older than, equal to or newer than ``other``."""
    for (text_a, number_a), (text_b, number_b) in zip_longest(_PARTS.findall(one), _PARTS.findall(other), fillvalue=("", "")):
        for left, right in zip_longest(_weights(text_a), _weights(text_b), fillvalue=0):
            if left != right:
                return left - right
        if int(number_a or 0) != int(number_b or 0):
            return int(number_a or 0) - int(number_b or 0)
    return 0


def upstream(version: str) -> str:
    """A version without epoch and revision."""
    version = version.partition(":")[2] or version
    return version.rpartition("-")[0] or version


def fits(version: str, constraints: str) -> bool:
    """Whether the upstream part of a version keeps every constraint of a comma-separated list."""
    for part in filter(str.strip, constraints.split(",")):
        found = _CONSTRAINT.fullmatch(part)
        if found is None or not _OPERATORS[found[1]](compare(upstream(version), found[2]), 0):
            return False
    return True

# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Versions of operating-system packages, compared as the package managers of each family compare them."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from functools import lru_cache
from itertools import zip_longest
from typing import Final

_DEBIAN_PARTS: Final = re.compile(r"(\D*)(\d*)")
_RPM_PARTS: Final = re.compile(r"\d+|[A-Za-z]+|~|\^")
_CONSTRAINT: Final = re.compile(r"(>=|<=|==|!=|>|<|=|)([A-Za-z0-9][A-Za-z0-9.+~^_:-]*)")
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
    """Debian's order of characters: a tilde before the end, letters before the rest."""
    return [-1 if char == "~" else ord(char) if char.isalpha() else ord(char) + 256 for char in text]


def _compare_debian(one: str, other: str) -> int:
    pairs = zip_longest(_DEBIAN_PARTS.findall(one), _DEBIAN_PARTS.findall(other), fillvalue=("", ""))
    for (text_a, number_a), (text_b, number_b) in pairs:
        for left, right in zip_longest(_weights(text_a), _weights(text_b), fillvalue=0):
            if left != right:
                return left - right
        if int(number_a or 0) != int(number_b or 0):
            return int(number_a or 0) - int(number_b or 0)
    return 0


def _rpm_weight(part: str) -> tuple[int, int, str]:
    """RPM's order of parts: a tilde, the end, a caret, letters, numbers."""
    if part.isdigit():
        return (3, int(part), "")
    return {"~": (-1, 0, ""), "": (0, 0, ""), "^": (1, 0, "")}.get(part, (2, 0, part))


def _compare_rpm(one: str, other: str) -> int:
    for left, right in zip_longest(_RPM_PARTS.findall(one), _RPM_PARTS.findall(other), fillvalue=""):
        if left != right and _rpm_weight(left) != _rpm_weight(right):
            return 1 if _rpm_weight(left) > _rpm_weight(right) else -1
    return 0


def compare(one: str, other: str, family: str = "debian") -> int:
    """Below, at or above 0, as ``one`` is older than, equal to or newer than ``other``."""
    return _compare_rpm(one, other) if family == "redhat" else _compare_debian(one, other)


def compare_whole(one: str, other: str, family: str = "debian") -> int:
    """The same of versions with epoch and revision, which count before and after all else."""
    first, second = _parts(one), _parts(other)
    if first[0] != second[0]:
        return first[0] - second[0]
    return compare(first[1], second[1], family) or compare(first[2], second[2], family)


def _parts(version: str) -> tuple[int, str, str]:
    epoch, colon, rest = version.partition(":")
    if not colon or not epoch.isdecimal():
        epoch, rest = "0", version
    main, _, revision = rest.rpartition("-")
    return int(epoch), main or revision, revision if main else ""


def upstream(version: str) -> str:
    """A version without epoch and revision."""
    version = version.partition(":")[2] or version
    return version.rpartition("-")[0] or version


def read_constraints(constraints: str) -> list[tuple[str, str]]:
    """The operators and versions of a comma-separated list.

    Raises:
        ValueError: a part is no constraint; the part itself.
    """
    found: list[tuple[str, str]] = []
    for part in constraints.split(","):
        text = part.replace(" ", "")
        match = _CONSTRAINT.fullmatch(text)
        if match is not None and (match[1] or match[2][0].isdigit()):
            found.append((match[1], match[2]))
        elif text:
            raise ValueError(text)
    return found


@lru_cache(maxsize=4096)
def fits(version: str, constraints: str, family: str = "debian") -> bool:
    """Whether the upstream part of a version keeps every constraint, as ``fits`` in ``packages.sh`` says it on the node.

    Raises:
        ValueError: a part of the list is no constraint.
    """
    own = upstream(version)
    return all(_OPERATORS[sign](compare(own, wanted, family), 0) for sign, wanted in read_constraints(constraints))

# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Tolerance: how many nodes of each role may be missing, and whether too many are."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence

import msgspec


class Exceeded(msgspec.Struct, frozen=True):
    """A role of which too many nodes are missing."""

    role: str
    """Empty: nodes without a role."""
    missing: list[int]
    """The places of these nodes."""
    total: int
    allowed: int

    def __str__(self) -> str:
        """``role web: 2 of 3 nodes failed, 1 may``."""
        who = f"role {self.role}" if self.role else "nodes without a role"
        return f"{who}: {len(self.missing)} of {self.total} nodes failed, {self.allowed} may"


def allowed_failures(tolerance: int | str, nodes: int) -> int:
    """How many nodes of a role may fail: a number, or a percentage of them rounded down."""
    if isinstance(tolerance, int):
        return tolerance
    text = tolerance.strip()
    if text.endswith("%"):
        return math.floor(nodes * float(text[:-1]) / 100)
    return int(text)


def exceeded(roles: Sequence[Sequence[str]], missing: Collection[int], tolerance: Mapping[str, int | str]) -> Iterator[Exceeded]:
    """The roles of which more nodes are missing than may be, by name.

    Args:
        roles: for each node its roles.
        missing: the places of nodes that failed or cannot be reached.
        tolerance: role -> how many of its nodes may; none where a role is not in it.
    """
    if not missing:
        return
    total: dict[str, int] = {}
    gone: dict[str, list[int]] = {}
    for number, names in enumerate(roles):
        for role in names or [""]:
            total[role] = total.get(role, 0) + 1
            if number in missing:
                gone.setdefault(role, []).append(number)
    for role in sorted(gone):
        allowed = allowed_failures(tolerance.get(role, 0), total[role])
        if len(gone[role]) > allowed:
            yield Exceeded(role, gone[role], total[role], allowed)

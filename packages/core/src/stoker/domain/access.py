# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Access levels: what somebody may do; each level includes those below it."""

from __future__ import annotations

from enum import StrEnum


class AccessLevel(StrEnum):
    """What somebody may do; called access level because a role is what a node is for."""

    VIEWER = "viewer"
    """Look at everything but secrets, users and other people's tokens."""
    OPERATOR = "operator"
    """Also change environments, nodes and roles, and deploy."""
    ADMIN = "admin"
    """Also decide what gets root on nodes (plugins, credentials), and who may come in."""

    def covers(self, other: AccessLevel) -> bool:
        """Whether this level includes another."""
        return _ORDER.index(self) >= _ORDER.index(other)

    def at_most(self, other: AccessLevel) -> AccessLevel:
        """The lower of two levels."""
        return self if other.covers(self) else other


_ORDER = [AccessLevel.VIEWER, AccessLevel.OPERATOR, AccessLevel.ADMIN]

# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""An edge of the deployment graph as a plugin writes it."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec


class Dependency(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A task that must be finished first (in ``after``) or that must wait (in ``before``).

    A plain text is the short form for a task on the same node.
    """

    task: str
    """An anchor (``prepare install configure start verify``), a task of the same plugin (``greet``), or ``plugin.task``."""
    role: str | None = None
    """Across nodes: a selector (a role, ``*``, ...) of nodes that have the named task: in ``after`` they are waited for, in
    ``before`` the named task waits on them until this one is finished on all of its nodes. ``None`` means the same node."""
    wait: Literal["all", "any"] = "all"
    """Across nodes: wait for all of them, or for the first."""
    optional: bool = False
    """Whether the task may be missing; without it an unknown task is refused."""


Edge: TypeAlias = str | Dependency
"""A dependency in its long form, or the name of a task on the same node."""

ANCHORS = ("prepare", "install", "configure", "start", "verify")
"""The anchors that every environment has, in their order on each node."""

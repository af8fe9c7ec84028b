# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Attempts: one try of one task on one node, as the node's spool and the history know it."""

from __future__ import annotations

from typing import Literal

import msgspec


class Outcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How an attempt ended."""

    exit_status: int
    """0 for success; 124 if it was killed after its timeout."""
    output: str = ""
    """The last 16 KiB of standard output and error together, secrets redacted."""
    changed: bool = True
    """False if a guard said that there was nothing to do."""
    started_at: float = 0.0
    """Seconds since the epoch, the node's clock."""
    finished_at: float = 0.0
    simulated: bool = False
    """Whether a modelled node pretended: the command is not in its table."""

    @property
    def ok(self) -> bool:
        """Whether it succeeded."""
        return self.exit_status == 0


class SpoolEntry(msgspec.Struct, frozen=True, kw_only=True):
    """What the spool on a node says of an attempt."""

    state: Literal["missing", "claimed", "running", "finished"]
    """``missing``: never claimed (or the spool was lost). ``claimed``: the folder is there, but no process and no end.
    ``running``: its process lives. ``finished``: the exit status is there."""
    boot_id: str = ""
    """The boot in which it was claimed."""

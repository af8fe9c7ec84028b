# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Health checks: commands that prove that what was deployed works."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from stoker_sdk.model.contribution import Contribution, ExtensionPoint
from stoker_sdk.model.expression import Environment


class HealthCheck(Contribution, frozen=True, kw_only=True, tag="health_checks"):
    """A command that exits 0 when a node is well; it runs before or after a deployment and on demand."""

    id: str
    """The check's name inside the plugin."""
    roles: Sequence[str]
    """The roles whose nodes are checked; ``*`` for every node."""
    run: str
    """The shell text (POSIX sh)."""
    title: str = ""
    """What is proved, for a person: "chrony has a source that answers"."""
    moment: Literal["before", "after"] = "after"
    """``before``: in the anchor ``prepare``, before anything is changed. ``after``: in ``verify``."""
    environment: Environment = {}
    """Environment variables of the command."""
    timeout: int = 60
    """Seconds for one try."""
    retries: int = 0
    """How often it is tried again."""
    retry_interval: float = 2.0
    """Seconds between two tries."""

    @property
    def label(self) -> str:
        """``health_checks ID``."""
        return f"health_checks {self.id}"


POINT = ExtensionPoint(name="health_checks", combines="ordered set", contributions=(HealthCheck,))

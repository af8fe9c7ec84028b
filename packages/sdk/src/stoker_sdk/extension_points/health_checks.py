# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Health checks: commands that prove that what was deployed works."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from stoker_sdk.model.contribution import Contribution, ExtensionPoint
from stoker_sdk.model.expression import Environment
from stoker_sdk.model.finding import Finding
from stoker_sdk.model.naming import check_command, check_selector, check_task_id


class HealthCheck(Contribution, frozen=True, kw_only=True, tag="health_checks"):
    """A command that exits 0 when a node is well; it runs before or after a deployment and on demand."""

    id: str
    """The check's name inside the plugin."""
    roles: Sequence[str]
    """The nodes that are checked: roles, ``*`` for every node, ``primary(ROLE)``, ``once`` or ``service(NAME)``."""
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

    def check(self) -> Iterable[Finding]:
        """Id, selector and command."""
        yield from check_task_id(self.id)
        yield from check_selector(self.roles)
        yield from check_command(self.run)


POINT = ExtensionPoint(name="health_checks", combines="ordered set", contributions=(HealthCheck,))

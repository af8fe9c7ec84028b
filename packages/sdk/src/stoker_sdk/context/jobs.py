# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""A job as an action's function sees it: what was filled in, how far it is, whether it shall end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from stoker_sdk.context.values import Object
from stoker_sdk.model.json_value import JSON


class Job(Protocol):
    """One run of an action."""

    @property
    def id(self) -> str:
        """The job's id."""
        ...

    @property
    def target(self) -> Object | None:
        """The environment or node that it was started on."""
        ...

    @property
    def form(self) -> Mapping[str, JSON]:
        """What was filled in."""
        ...

    @property
    def state(self) -> JSON:
        """The last checkpoint; ``None`` at first."""
        ...

    @property
    def cancelled(self) -> bool:
        """Whether somebody wants it to end: return soon, having left things whole."""
        ...

    def progress(self, fraction: float, message: str = "") -> None:
        """Say how far it is, from 0 to 1, and what it does."""
        ...

    def log(self, line: str) -> None:
        """Add a line to the job's log."""
        ...

    def checkpoint(self, state: JSON) -> None:
        """Keep a state from which it can go on after a restart of the server."""
        ...

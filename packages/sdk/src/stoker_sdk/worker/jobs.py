# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""A job, as an action's function gets it: what it says goes to the server on the way back."""

from __future__ import annotations

from typing import Any

import msgspec

from stoker_sdk.context.jobs import Job
from stoker_sdk.context.values import Object
from stoker_sdk.model.json_value import JSON
from stoker_sdk.worker.channel import Channel


class _Started(msgspec.Struct, frozen=True):
    id: str
    target: Object | None = None
    form: dict[str, Any] = {}
    state: Any = None


def open_job(argument: bytes, channel: Channel) -> Job:
    """The job that a call's argument describes."""
    return RunningJob(msgspec.json.decode(argument, type=_Started), channel)


class RunningJob:
    """One run of an action."""

    def __init__(self, started: _Started, channel: Channel) -> None:
        self.id = started.id
        self.target = started.target
        self.form: dict[str, JSON] = started.form
        self.state: JSON = started.state
        self._channel = channel

    @property
    def cancelled(self) -> bool:
        """Whether somebody wants it to end."""
        return msgspec.json.decode(self._channel.ask("jobs.cancelled", {"job": self.id}), type=bool)

    def progress(self, fraction: float, message: str = "") -> None:
        """Say how far it is."""
        self._channel.ask("jobs.progress", {"job": self.id, "fraction": fraction, "message": message})

    def log(self, line: str) -> None:
        """Add a line to the job's log."""
        self._channel.ask("jobs.log", {"job": self.id, "line": line})

    def checkpoint(self, state: JSON) -> None:
        """Keep a state from which it can go on."""
        self._channel.ask("jobs.checkpoint", {"job": self.id, "state": state})

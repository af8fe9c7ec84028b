# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""A job while it runs: gathers what it says, so that however often it speaks, the database is written to now and then."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Row

from stoker.db import jobs

MOST_LOG: Final = 1024 * 1024
"""Characters that one job may log."""
MOST_LINE: Final = 4000
MOST_MESSAGE: Final = 500


class JobRow(msgspec.Struct, frozen=True, kw_only=True):
    """What the run of a job needs to know of it."""

    id: str
    plugin: str
    version: str
    action: str
    target: str
    object_id: str
    object: str
    environment_id: str
    environment: str
    form: str
    """JSON."""
    checkpoint: str | None
    """JSON."""
    caller: str
    """JSON of the actor that it works for."""
    restartable: bool
    deaths: int
    ran: float

    @classmethod
    def of(cls, row: Row[Any]) -> JobRow:
        """From the database."""
        return cls(**{name: getattr(row, name) for name in cls.__struct_fields__})

    def argument(self) -> bytes:
        """What the action's function gets as ``job``."""
        target = None if self.target == "server" else {"id": self.object_id, "columns": {"name": self.object}}
        state = msgspec.Raw(self.checkpoint.encode()) if self.checkpoint is not None else None
        return msgspec.json.encode({"id": self.id, "target": target, "form": msgspec.Raw(self.form.encode()), "state": state})


class RunningJob:
    """One run of a job; used in the event loop alone, but for ``write``."""

    def __init__(self, row: JobRow, logged: int) -> None:
        """It begins now.

        Args:
            row: the job.
            logged: how many characters it logged in earlier runs.
        """
        self.row = row
        self.cancelled = False
        """Whether somebody wants it to end."""
        self.ended = asyncio.Event()
        """Its function says nothing more."""
        self._begun = time.monotonic()
        self._logged = logged
        self._lines: list[tuple[float, str]] = []
        self._said: dict[str, object] = {}

    @property
    def ran(self) -> float:
        """Seconds, in all runs."""
        return self.row.ran + time.monotonic() - self._begun

    def progress(self, fraction: float, message: str) -> None:
        """How far it says that it is."""
        self._said = {"progress": min(1.0, max(0.0, fraction)), "message": _kept(message)[:MOST_MESSAGE]}

    def log(self, text: str) -> None:
        """Lines that it logs, as far as there is room."""
        for part in text.splitlines() or [""]:
            if self._logged > MOST_LOG:
                return
            line = _kept(part)[:MOST_LINE]
            self._logged += len(line) + 1
            if self._logged > MOST_LOG:
                line = f"The log is full: it holds {MOST_LOG} characters, and what comes later is not kept."
            self._lines.append((time.time(), line))

    def take(self) -> tuple[dict[str, object], list[tuple[float, str]]]:
        """What has to be written; the caller writes it."""
        said, lines = self._said, self._lines
        self._said, self._lines = {}, []
        return said, lines

    def give_back(self, said: dict[str, object], lines: list[tuple[float, str]]) -> None:
        """What could not be written: it is tried again with what was said since."""
        self._said, self._lines = {**said, **self._said}, [*lines, *self._lines]

    def write(self, connection: Connection, said: dict[str, object], lines: list[tuple[float, str]]) -> None:
        """Write what it said."""
        jobs.add_lines(connection, self.row.id, lines)
        jobs.put(connection, self.row.id, **said, ran=self.ran)


def _kept(text: str) -> str:
    """A text as every database takes it."""
    return text.replace("\0", "\\x00")

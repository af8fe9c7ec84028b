# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""How far the making of a plan is: looking at nodes, planning, storing; told in the log of changes while it goes on."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Final, Literal, TypeAlias

from sqlalchemy.exc import SQLAlchemyError

from stoker.db.changes import add_change
from stoker.db.database import Database
from stoker.errors import StokerError

Phase: TypeAlias = Literal["looking", "planning", "storing", "done", "failed"]
TELL_SECONDS: Final = 0.5
"""So often the number of nodes is told at most."""


class Progress:
    """The making of one plan."""

    def __init__(self, database: Database, environment_id: str) -> None:
        """Nothing is told yet."""
        self._database = database
        self._environment = environment_id
        self._making = uuid.uuid4().hex[:16]
        self._phase: Phase = "looking"
        self._total = 0
        self._done = 0
        self._told: tuple[Phase, int, int] | None = None
        self._ended = threading.Event()

    def begin(self, phase: Phase, total: int = 0) -> None:
        """A new phase, with so many nodes to come."""
        self._phase, self._total, self._done = phase, total, 0
        self._tell()

    def step(self) -> None:
        """One node more is done."""
        self._done += 1

    def run(self) -> None:
        """Tell the number of nodes now and then, in a thread of its own, until the end."""
        while not self._ended.wait(TELL_SECONDS):
            self._tell()

    def end(self, phase: Phase, **more: object) -> None:
        """The last word."""
        self._ended.set()
        self._phase = phase
        self._tell(**more)

    def _tell(self, **more: object) -> None:
        state = (self._phase, self._done, self._total)
        if state == self._told:
            return
        self._told = state
        data: dict[str, object] = {"phase": self._phase, **more}
        if self._total:
            data |= {"nodes": self._total, "looked_at": min(self._done, self._total)}
        # A plan does not fail because nobody could be told how far it is.
        with suppress(SQLAlchemyError), self._database.transaction() as connection:
            add_change(
                connection,
                "plan",
                "progress",
                identity=self._making,
                name=self._making,
                environment_id=self._environment,
                data=data,
            )


_present: ContextVar[Progress | None] = ContextVar("stoker_plan_progress", default=None)


@contextmanager
def told(database: Database, environment_id: str) -> Iterator[Progress]:
    """Tell how far the plan is that is made in the block; what it starts finds it with ``present``."""
    progress = Progress(database, environment_id)
    thread = threading.Thread(target=progress.run, name="plan progress", daemon=True)
    token = _present.set(progress)
    thread.start()
    try:
        yield progress
    except BaseException as error:
        progress.end("failed", reason=error.detail if isinstance(error, StokerError) else "the server made a mistake")
        raise
    finally:
        _present.reset(token)
        progress._ended.set()  # noqa: SLF001  its own module's class
        thread.join()


def present() -> Progress | None:
    """The plan that the present work is for, if it is one that is told of."""
    return _present.get()

# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""How far the records of a plugin that gets another version are; told in the log of changes while they are migrated."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from stoker.db.changes import add_change
from stoker.db.database import Database
from stoker.db.records import Place

TELL_SECONDS: Final = 0.5
"""So often it is told at most."""


class RecordProgress:
    """The migration of one collection."""

    def __init__(self, database: Database, place: Place) -> None:
        """Nothing is told before the first half second."""
        self._database, self._place = database, place
        self._told_at = time.monotonic()

    def tell(self, done: int, total: int) -> None:
        """So many of so many records are done; a migration does not fail because nobody could be told."""
        now = time.monotonic()
        if now - self._told_at < TELL_SECONDS:
            return
        self._told_at = now
        place = self._place
        with suppress(SQLAlchemyError), self._database.transaction() as connection:
            add_change(
                connection,
                "plugin",
                "progress",
                identity=place.plugin,
                name=place.plugin,
                environment_id=place.environment_id,
                data={"collection": place.collection, "records": total, "migrated": min(done, total)},
            )

# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Gates of record collections: who writes waits for the moment in which a migrated copy goes live."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from stoker.db.records import Place
from stoker.errors import ConflictError

WAIT: Final = 5.0
"""Seconds for which who writes waits."""


class RecordGates:
    """One gate for each collection; all writing is done by one process, so they are here and not in the database."""

    def __init__(self) -> None:
        """Begin with all gates open."""
        self._changed = threading.Condition()
        self._writers: Counter[Place] = Counter()
        self._closed: set[Place] = set()
        self._migrating: set[Place] = set()

    @contextmanager
    def writing(self, place: Place) -> Iterator[None]:
        """Write to a collection.

        Raises:
            ConflictError: its gate was closed for too long.
        """
        until = time.monotonic() + WAIT
        with self._changed:
            while place in self._closed:
                if not self._changed.wait(until - time.monotonic()) and place in self._closed:
                    raise ConflictError(
                        f"the records {place.collection} of plugin {place.plugin} are just being migrated.",
                        remedy="Write them again in a moment.",
                    )
            self._writers[place] += 1
        try:
            yield
        finally:
            with self._changed:
                self._writers[place] -= 1
                if not self._writers[place]:
                    del self._writers[place]
                self._changed.notify_all()

    @contextmanager
    def closed(self, places: Sequence[Place]) -> Iterator[None]:
        """Let nobody write to collections; those who do are waited for."""
        with self._changed:
            self._closed.update(places)
            self._changed.wait_for(lambda: not any(self._writers[place] for place in places))
        try:
            yield
        finally:
            with self._changed:
                self._closed.difference_update(places)
                self._changed.notify_all()

    @contextmanager
    def migrating(self, place: Place) -> Iterator[None]:
        """Migrate a collection, alone.

        Raises:
            ConflictError: somebody else does.
        """
        with self._changed:
            if place in self._migrating:
                raise ConflictError(
                    f"the records {place.collection} of plugin {place.plugin} are being migrated already.",
                    remedy="Wait until that has ended, and look at what the plugin's version is then.",
                )
            self._migrating.add(place)
        try:
            yield
        finally:
            with self._changed:
                self._migrating.discard(place)

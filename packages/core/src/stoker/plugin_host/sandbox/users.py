# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The users of workers: where the server is root, each worker runs as a user that nobody else is."""

from __future__ import annotations

import pwd
import threading
from contextlib import suppress
from typing import Final

from stoker.errors import StokerError

FIRST: Final = 61184
LAST: Final = 65519
"""The range that service managers take for such users, too: no person and no package has a user in it."""


class WorkerUsers:
    """Users that are free; safe for threads."""

    def __init__(self, begin: int = FIRST) -> None:
        """Begin to look at one of them, so that two servers do not meet at once."""
        self._next = begin
        self._taken: set[int] = set()
        self._lock = threading.Lock()

    def take(self) -> int:
        """A user that no other worker of this server is, and that this machine does not know.

        Raises:
            StokerError: all are taken.
        """
        with self._lock:
            for _ in range(LAST - FIRST + 1):
                found = self._next
                self._next = found + 1 if found < LAST else FIRST
                if found not in self._taken and not _known(found):
                    self._taken.add(found)
                    return found
        raise StokerError(f"all users from {FIRST} to {LAST} are taken.", remedy="Stop what uses them.")

    def give_back(self, user: int) -> None:
        """It may be taken again: nothing of it runs."""
        with self._lock, suppress(KeyError):
            self._taken.remove(user)


def _known(user: int) -> bool:
    try:
        pwd.getpwuid(user)
    except KeyError:
        return False
    return True

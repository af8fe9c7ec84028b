# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Records that move with their plugin's version: prepared before the one transaction that changes the version, live in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from sqlalchemy import Connection, Row
from stoker_sdk.context.values import Environment

from stoker.services import record_migrations, record_rollbacks
from stoker.services.context import ServerContext
from stoker.services.plugin_inputs import Candidate
from stoker.services.plugin_settings import masked
from stoker.services.record_migrations import Prepared, RecordMigrationView
from stoker.services.record_rollbacks import RecordRollbackView, Returning


class Moving:
    """What goes live together with a change of versions."""

    def __init__(self) -> None:
        """Nothing moves."""
        self.forward: list[Prepared] = []
        self.back: list[Returning] = []
        self.migrated: list[RecordMigrationView] = []
        """What was done, once it is live."""
        self.returned: list[RecordRollbackView] = []
        """The same of what went back."""

    def go_live(self, connection: Connection) -> None:
        """In the transaction that changes the versions."""
        self.migrated = [view for prepared in self.forward for view in prepared.go_live(connection)]
        self.returned = [view for returning in self.back for view in returning.go_live(connection)]


@contextmanager
def moving(
    context: ServerContext,
    home: Row[Any] | None,
    present: Sequence[Candidate],
    coming: Sequence[Candidate],
    *,
    back: bool = False,
    discard: bool = False,
) -> Iterator[Moving]:
    """Prepare the records of all plugins that get another version; the block is for the transaction.

    Args:
        context: the server.
        home: the environment; ``None`` for one that is not made yet.
        present: its plugins.
        coming: as they shall be.
        back: they go back to what was kept from before.
        discard: lose what was written since.

    Raises:
        RecordsInUseError: another environment uses records of the whole server that would not fit there.
        RecordMigrationError: a document cannot be migrated; nothing was changed.
        RecordsWrittenSinceError: going back would lose what was written since, and ``discard`` is not given.
    """
    environment = None if home is None else Environment(id=str(home.id), name=str(home.name))
    had = {candidate.plugin: candidate.version for candidate in present if not candidate.removing}
    found = Moving()
    with ExitStack() as stack:
        for candidate in coming:
            if had.get(candidate.plugin) == candidate.version or '"records"' not in candidate.manifest:
                continue
            plugin, version = candidate.plugin, candidate.version
            if back:
                found.back.append(
                    stack.enter_context(record_rollbacks.returning(context, environment, plugin, version, confirm=discard))
                )
            # Going back, too, a version may have a newer schema: that of an upgrade which is taken back by taking it again.
            settings = masked(candidate.looked)
            prepared = record_migrations.preparing(context, environment, plugin, version, settings, back=back)
            found.forward.append(stack.enter_context(prepared))
        yield found


def look(
    context: ServerContext, home: Row[Any], candidate: Candidate, *, back: bool
) -> tuple[list[RecordMigrationView], list[RecordRollbackView]]:
    """What would become of a plugin's records; the new version's functions are called, and nothing is written."""
    environment = Environment(id=str(home.id), name=str(home.name))
    if back:
        forward = record_migrations.try_out(context, environment, candidate.plugin, candidate.version, back=True)
        return forward, record_rollbacks.look(context, environment, candidate.plugin, candidate.version)
    return record_migrations.try_out(context, environment, candidate.plugin, candidate.version), []

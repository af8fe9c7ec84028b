# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Migrations: each brings the tables from one state to the next."""

from __future__ import annotations

from pathlib import Path

from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

FOLDER = Path(__file__).parent


def upgrade(connection: Connection) -> None:
    """Run the migrations that this database has not seen, in the connection's transaction."""
    scripts = ScriptDirectory(str(FOLDER))

    def steps(revision: object, _context: MigrationContext) -> list[object]:
        return list(scripts._upgrade_revs("head", revision))  # type: ignore[arg-type]

    context = MigrationContext.configure(connection, opts={"fn": steps, "script": scripts})
    with Operations.context(context):
        context.run_migrations()

# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""What an environment had of a plugin before it got another version: kept in the transaction of the change, for a rollback."""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection, Row

from stoker.db.plugin_history import forget_since, remember
from stoker.domain import actor


def keep_version_before(
    connection: Connection,
    home: Row[tuple[object, ...]],
    plugin: str,
    before: dict[str, object] | None,
    version: str,
    returning_to: int,
) -> str:
    """Keep the version that goes, so that a rollback can return to it; what the audit calls the change."""
    if before is None or before["version"] == version:
        return "plugin.enable"
    if returning_to:
        forget_since(connection, home.id, plugin, returning_to)
        return "plugin.rollback"
    kept = msgspec.json.encode(before["settings"]).decode()
    remember(connection, home.id, plugin, str(before["version"]), kept, replaced_by=version, who=actor.current().name)
    return "plugin.upgrade"

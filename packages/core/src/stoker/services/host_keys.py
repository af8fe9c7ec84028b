# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Host keys: the first one that a node shows is kept before anything is asked of it, whatever the connection was made for."""

from __future__ import annotations

import asyncio

from sqlalchemy import select

from stoker.db import tables
from stoker.db.database import Database
from stoker.db.nodes import keep_host_key
from stoker.domain.node import NodeTarget
from stoker.services import audit


class HostKeys:
    """What transports ask about nodes whose key they do not know yet, jump hosts included."""

    def __init__(self, database: Database) -> None:
        """Keep keys in this database."""
        self._database = database

    async def trust_first(self, target: NodeTarget, key: str) -> str:
        """Keep a node's key if it has none; answers the one that is kept: another connection may have been first."""
        return await asyncio.to_thread(self._keep, target.id, key)

    def _keep(self, node_id: str, key: str) -> str:
        with self._database.transaction() as connection:
            nodes = tables.nodes
            row = connection.execute(select(nodes.c.name, nodes.c.host_key).where(nodes.c.id == node_id)).first()
            kept = keep_host_key(connection, node_id, key)
            if row is not None and not row.host_key:
                audit.record(connection, "node.trust-host-key", node_id, row.name, after={"host_key": kept})
            return kept

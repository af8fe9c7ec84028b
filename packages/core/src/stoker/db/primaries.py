# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Rows of chosen nodes: which node ``primary(ROLE)`` or ``once`` means in an environment, from its first deployment on."""

from __future__ import annotations

from sqlalchemy import Connection, delete, insert, select

from stoker.db.tables import environment_primaries as table
from stoker.domain.plan import Plan


def read_primaries(connection: Connection, environment_id: str) -> dict[str, str]:
    """Selector -> id of the node that it means, ordered by selector."""
    rows = connection.execute(select(table.c.selector, table.c.node_id).where(table.c.environment_id == environment_id))
    return dict(sorted((str(selector), str(node)) for selector, node in rows))


def write_primaries(connection: Connection, plan: Plan) -> None:
    """Keep what a plan has chosen; what it does not use stays as it was."""
    if not plan.primaries:
        return
    connection.execute(
        delete(table).where(table.c.environment_id == plan.environment_id, table.c.selector.in_(list(plan.primaries)))
    )
    rows = [
        {"environment_id": plan.environment_id, "selector": selector, "node_id": plan.nodes[place].id}
        for selector, place in plan.primaries.items()
    ]
    connection.execute(insert(table), rows)

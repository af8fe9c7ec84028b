# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Counts of rows, as figures for metrics."""

from __future__ import annotations

import msgspec
from sqlalchemy import Column, Connection, Table, func, select

from stoker.db import tables
from stoker.db.deployments import UNFINISHED

DEPLOYMENT_STATES = (*UNFINISHED, "stopped", "ready", "degraded", "failed")
NODE_STATUSES = ("new", "online", "unreachable", "error")


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """How many there are of everything."""

    deployments: dict[str, int]
    nodes: dict[str, int]
    running: int
    environments: int
    plugins: int


def counts(connection: Connection) -> Counts:
    """Count; states of which there is nothing are 0, so that no series comes and goes."""
    deployments = _by(connection, tables.deployments.c.state, DEPLOYMENT_STATES)
    return Counts(
        deployments=deployments,
        nodes=_by(connection, tables.nodes.c.status, NODE_STATUSES),
        running=sum(deployments[state] for state in UNFINISHED),
        environments=_all(connection, tables.environments),
        plugins=_all(connection, tables.plugins),
    )


def _by(connection: Connection, column: Column[str], known: tuple[str, ...]) -> dict[str, int]:
    rows = connection.execute(select(column, func.count()).group_by(column))
    return dict.fromkeys(known, 0) | {str(value): int(count) for value, count in rows}


def _all(connection: Connection, table: Table) -> int:
    return int(connection.execute(select(func.count()).select_from(table)).scalar_one())

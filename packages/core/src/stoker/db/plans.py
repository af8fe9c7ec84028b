# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Rows of plans: complete and compressed, named by the hash of their content."""

from __future__ import annotations

import hashlib
import time
import uuid
import zlib
from typing import Any

import msgspec
from sqlalchemy import Connection, Select, insert, or_, select

from stoker.db import tables
from stoker.domain.plan import Plan
from stoker.domain.snapshot import Snapshot
from stoker.errors import NotFoundError

_LEVEL = 1


class StoredPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A plan with what the table says of it."""

    id: str
    environment_id: str
    digest: str
    revision: int
    """The environment's revision for which it was made."""
    created_at: float
    plan: Plan


def save_plan(
    connection: Connection, plan: Plan, snapshot: Snapshot, revision: int, summary: dict[str, object]
) -> tuple[str, str, float]:
    """Store a plan and the snapshot that it was made from.

    Returns:
        Its id, the hash of its content, and when it was stored.
    """
    body = msgspec.json.encode(plan)
    identity, digest, now = uuid.uuid4().hex[:16], hashlib.sha256(body).hexdigest(), time.time()
    connection.execute(
        insert(tables.plans).values(
            id=identity,
            environment_id=plan.environment_id,
            digest=digest,
            revision=revision,
            summary=msgspec.json.encode(summary).decode(),
            snapshot=zlib.compress(msgspec.json.encode(snapshot), _LEVEL),
            body=zlib.compress(body, _LEVEL),
            created_at=now,
        )
    )
    return identity, digest, now


def load_plan(connection: Connection, plan_id: str) -> StoredPlan:
    """A plan by its id or the hash of its content.

    Raises:
        NotFoundError: there is none.
    """
    table = tables.plans
    row = connection.execute(
        select(table.c.id, table.c.environment_id, table.c.digest, table.c.revision, table.c.created_at, table.c.body)
        .where(or_(table.c.id == plan_id, table.c.digest == plan_id))
        .order_by(table.c.created_at.desc())
    ).first()
    if row is None:
        raise NotFoundError(f"plan {plan_id!r} is not there.", remedy="'stoker plan list ENVIRONMENT' shows all.")
    return StoredPlan(
        id=row.id,
        environment_id=row.environment_id,
        digest=row.digest,
        revision=row.revision,
        created_at=row.created_at,
        plan=msgspec.json.decode(zlib.decompress(row.body), type=Plan),
    )


def load_snapshot(connection: Connection, plan_id: str) -> Snapshot:
    """The snapshot from which a plan was made."""
    table = tables.plans
    data = connection.execute(select(table.c.snapshot).where(table.c.id == plan_id)).scalar_one()
    return msgspec.json.decode(zlib.decompress(data), type=Snapshot)


def plan_summaries() -> Select[Any]:
    """Rows of plans without their bodies, in no order."""
    table = tables.plans
    return select(table.c.id, table.c.environment_id, table.c.digest, table.c.revision, table.c.summary, table.c.created_at)

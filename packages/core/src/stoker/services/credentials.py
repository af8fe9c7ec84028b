# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Credentials: SSH keys with which nodes are reached; the private part is encrypted and never shown."""

from __future__ import annotations

import time
import uuid

import msgspec
from sqlalchemy import delete, insert, or_, select

from stoker.db import tables
from stoker.errors import ConflictError, NotFoundError
from stoker.services import audit
from stoker.services.context import ServerContext
from stoker.services.environments import check_name
from stoker.services.keys import generate_ssh_key, read_ssh_key

DEFAULT = "default"
"""The credential that the first start makes and that nodes get when none is named."""


class CredentialView(msgspec.Struct, frozen=True, kw_only=True):
    """One credential; the private key is never part of an answer."""

    id: str
    name: str
    public_key: str
    """What belongs into ``authorized_keys`` on the nodes."""
    created_at: float
    nodes: list[str] = []
    """Names of the nodes that are reached with it."""


def add(context: ServerContext, name: str, private_key: str | None = None) -> CredentialView:
    """Keep a private key, or make one.

    Raises:
        InvalidInputError: the name or the key does not fit.
        ConflictError: the name is taken.
    """
    check_name("credential", name)
    pair = read_ssh_key(private_key, name, f"credential {name!r}") if private_key else generate_ssh_key(f"stoker-{name}")
    table = tables.credentials
    identity, now = uuid.uuid4().hex, time.time()
    with context.database.transaction() as connection:
        if connection.execute(select(table.c.id).where(table.c.name == name)).first():
            raise ConflictError(f"credential {name!r} is there already.", remedy="Choose another name, or remove it first.")
        connection.execute(
            insert(table).values(
                id=identity,
                name=name,
                private_key=context.vault.encrypt(pair.private_key.encode()),
                public_key=pair.public_key,
                created_at=now,
            )
        )
        audit.record(connection, "credential.add", identity, name, after={"public_key": pair.public_key})
    return CredentialView(id=identity, name=name, public_key=pair.public_key, created_at=now)


def list_all(context: ServerContext) -> list[CredentialView]:
    """All credentials, by name."""
    table, nodes = tables.credentials, tables.nodes
    with context.database.read() as connection:
        rows = connection.execute(
            select(table.c.id, table.c.name, table.c.public_key, table.c.created_at).order_by(table.c.name)
        ).all()
        users: dict[str, list[str]] = {}
        for node in connection.execute(select(nodes.c.name, nodes.c.credential_id).order_by(nodes.c.name)):
            users.setdefault(node.credential_id, []).append(node.name)
    return [
        CredentialView(
            id=row.id, name=row.name, public_key=row.public_key, created_at=row.created_at, nodes=users.get(row.id, [])
        )
        for row in rows
    ]


def remove(context: ServerContext, key: str) -> None:
    """Forget a credential.

    Raises:
        NotFoundError: there is none.
        ConflictError: nodes are reached with it.
    """
    table, nodes = tables.credentials, tables.nodes
    with context.database.transaction() as connection:
        row = connection.execute(
            select(table.c.id, table.c.name, table.c.public_key).where(or_(table.c.id == key, table.c.name == key))
        ).first()
        if row is None:
            raise NotFoundError(f"credential {key!r} is not there.", remedy="'stoker credentials list' shows all.")
        names = (
            connection.execute(select(nodes.c.name).where(nodes.c.credential_id == row.id).order_by(nodes.c.name)).scalars().all()
        )
        if names:
            raise ConflictError(
                f"credential {row.name} is used by nodes: {', '.join(names[:10])}.", remedy="Remove these nodes first."
            )
        connection.execute(delete(table).where(table.c.id == row.id))
        audit.record(connection, "credential.remove", row.id, row.name, before={"public_key": row.public_key})


def ensure_default(context: ServerContext) -> None:
    """Make the default credential at the first start."""
    table = tables.credentials
    with context.database.read() as connection:
        there = connection.execute(select(table.c.id).limit(1)).first()
    if there is None:
        add(context, DEFAULT)

# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""A deployment's end drops what leaves the environment, and nothing that somebody wants to keep."""

from __future__ import annotations

import pytest
from sqlalchemy import insert, select, update
from stoker.db import tables
from stoker.db.database import Database
from stoker.db.deployments import end_deployment
from stoker.db.environments import take_revision

pytestmark = pytest.mark.databases("sqlite", "postgresql")


@pytest.fixture
def database(database_url: str):
    opened = Database(database_url)
    opened.migrate()
    with opened.transaction() as connection:
        connection.execute(insert(tables.environments).values(id="e", name="e", created_at=0.0, revision=3))
        connection.execute(
            insert(tables.plans).values(
                id="p", environment_id="e", digest="d", revision=1, summary="{}", snapshot=b"", body=b"", created_at=0.0
            )
        )
        deployment = {"id": "d", "environment_id": "e", "plan_id": "p", "state": "running", "epoch": 2}
        connection.execute(insert(tables.deployments).values(**deployment, created_at=0.0))
        for name in ("stays", "goes"):
            connection.execute(
                insert(tables.environment_plugins).values(environment_id="e", plugin=name, version="1", state="removing")
            )
            connection.execute(
                insert(tables.secrets).values(environment_id="e", plugin=name, name="key", version=1, value=b"x", created_at=0.0)
            )
            connection.execute(
                insert(tables.nodes).values(
                    id=name,
                    name=name,
                    transport="ssh",
                    address=name,
                    environment_id="e",
                    removing=True,
                    facts="{}",
                    created_at=0.0,
                )
            )
            connection.execute(insert(tables.applied_tasks).values(node_id="stays", task=f"{name}.t", inputs="i"))
        connection.execute(
            update(tables.environment_plugins).where(tables.environment_plugins.c.plugin == "stays").values(state="enabled")
        )
        connection.execute(update(tables.nodes).where(tables.nodes.c.id == "stays").values(removing=False))
    yield opened
    opened.close()


def test_what_is_wanted_again_stays(database: Database) -> None:
    names = ("goes", "stays")
    with database.transaction() as connection:
        assert end_deployment(connection, "d", 2, state="ready", reason="", freed_nodes=names, removed_plugins=names)
    with database.read() as connection:
        for column in (tables.environment_plugins.c.plugin, tables.secrets.c.plugin):
            assert connection.execute(select(column)).scalars().all() == ["stays"]
        nodes = tables.nodes.c
        members = select(nodes.id).where(nodes.environment_id == "e")
        assert connection.execute(members).scalars().all() == ["stays"]
        assert connection.execute(select(tables.applied_tasks.c.task)).scalars().all() == ["stays.t"]


def test_who_lost_the_deployment_cannot_end_it(database: Database) -> None:
    with database.transaction() as connection:
        assert not end_deployment(connection, "d", 1, state="ready", reason="", removed_plugins=["goes"])
        assert connection.execute(select(tables.deployments.c.state)).scalar_one() == "running"


def test_of_two_who_looked_at_the_same_revision_one_gets_through(database: Database) -> None:
    with database.transaction() as connection:
        assert take_revision(connection, "e", 3)
        assert not take_revision(connection, "e", 3)
        assert take_revision(connection, "e", 4)

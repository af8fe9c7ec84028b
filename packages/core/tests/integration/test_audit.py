# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The audit of a cluster's life: every change with its object, and no secret anywhere in it."""

from __future__ import annotations

import pydantic
import pytest
from sqlalchemy import select
from stoker.db.database import Database
from stoker.db.tables import audit_log
from stoker_sdk import ref
from stoker_sdk.extension_points import config_files, health_checks, settings, tasks

PLANTED = "planted-secret-of-the-audit-5d1c"


class Key(pydantic.BaseModel):
    key: str = settings.field(title="Key", secret=True)
    text: str = settings.field("a", title="Text")
    made: str | None = settings.field(None, title="Made", secret=True, generator="password")


@pytest.fixture
def written(simulation):
    """The rows that a function adds to the audit."""

    def rows(after=0):
        database = Database(f"sqlite:///{simulation.data / 'stoker.db'}")
        with database.read() as connection:
            found = connection.execute(select(audit_log).where(audit_log.c.id > after).order_by(audit_log.c.id)).all()
        database.close()
        return found

    return rows


def test_a_life_is_told_without_its_secrets(simulation, written):
    name = "audited"
    simulation.install(
        name,
        settings.Settings.from_model(Key),
        config_files.WholeFile(path="/etc/audited", roles=[name], content="x\n"),
        tasks.Shell(id="step", roles=[name], run="step", environment={"KEY": ref.settings.key, "MADE": ref.settings.made}),
        health_checks.HealthCheck(id="fine", roles=[name], run="fine"),
    )
    client = simulation.client
    client.create_environment(name)
    client.enable_plugin(name, name, settings={"key": PLANTED})
    client.enable_plugin(name, name, settings={"key": PLANTED + "2", "text": "b"})
    (node,) = simulation.ask("add", data=(1, name), kind=list[str])
    client.add_node(node, node, transport="simulated")
    client.refresh_node(node)
    client.assign_node(name, node, [name])
    simulation.behave({"match": "step", "exit_status": 1})
    broken = simulation.deploy(name, "failed")
    simulation.behave()
    simulation.retry(broken)
    client.run_checks(name)
    client.disable_plugin(name, name)
    client.unassign_node(name, node)
    simulation.deploy(name)
    client.remove_node(node)
    client.delete_environment(name)
    client.uninstall_plugin(name, "1.0.0")
    rows = [row for row in written() if name in (row.environment, row.object) or row.object == node]
    assert [row.action for row in rows if row.actor_kind != "system"] == [
        "plugin.install",
        "environment.create",
        "plugin.enable",
        "plugin.enable",
        "node.add",
        "node.refresh",
        "node.assign",
        "plan.create",
        "deployment.start",
        "deployment.retry",
        "environment.check",
        "plugin.disable",
        "node.unassign",
        "plan.create",
        "deployment.start",
        "node.remove",
        "environment.delete",
        "plugin.uninstall",
    ]
    assert {(row.actor_kind, row.actor) for row in rows} <= {("server", "server"), ("system", "stoker")}
    assert all(row.request_id and row.address == "127.0.0.1" for row in rows if row.actor_kind == "server")
    changed = rows[3]
    assert '"text":"a"' not in changed.before
    assert '"key":{"$secret":"key","version":1}' in changed.before
    assert '"key":{"$secret":"key","version":2}' in changed.after
    assert '"text":"b"' in changed.after
    assert PLANTED not in repr(written())
    assert '"made":{"$secret":"made","version":1}' in changed.after


def test_what_is_refused_is_no_change(simulation, written):
    last = written()[-1].id
    simulation.cli("env", "create", "no/name", status=2)
    simulation.cli("nodes", "remove", "nobody", status=2)
    assert written(last) == []

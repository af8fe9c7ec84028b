# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Hooks in quarantine as people see them: kept with the server's data, listed, armed again, gone with their plugin."""

from __future__ import annotations

import asyncio

import pytest
from litestar.testing import TestClient
from sqlalchemy import select
from stoker.db.tables import audit_log
from stoker.domain.access import AccessLevel
from stoker.domain.actor import Actor, acting_as
from stoker.errors import ForbiddenError
from stoker.plugin_host.breaker import FAILURES
from stoker.plugin_host.quarantine import Guarded, HookQuarantinedError, Quarantine
from stoker.services import quarantine
from stoker.services.context import ServerContext
from stoker_sdk.extension_points import node_packages

PACKAGES = node_packages.NodePackages(roles=["*"], packages=["sl"])


def fail(context: ServerContext, hook: Guarded) -> None:
    assert context.quarantine is not None
    for _ in range(FAILURES):
        asyncio.run(context.quarantine.failed(context.quarantine.enter(hook, 10), "ValueError: no 12345", "Traceback\n  12345"))


def actions(context: ServerContext) -> list[str]:
    with context.database.read() as connection:
        return list(
            connection.execute(
                select(audit_log.c.action).where(audit_log.c.object_kind == "hook").order_by(audit_log.c.id)
            ).scalars()
        )


@pytest.mark.databases("sqlite", "postgresql")
def test_it_is_kept_shown_armed_again_and_goes_with_its_plugin(
    client: TestClient, server_context: ServerContext, make_bundle
) -> None:
    client.post("/api/plugins", content=make_bundle(PACKAGES))
    home = client.post("/api/environments", json={"name": "prod"}).json()["id"]
    here, everywhere = Guarded("motd", "1.0.0", "events", "told", home), Guarded("motd", "1.0.0", "validate_settings", "", "")
    fail(server_context, here)
    fail(server_context, everywhere)
    found = client.get("/api/quarantine").json()["items"]
    assert [(item["hook"], item["environment"], item["failures"]) for item in found] == [
        ("events told", "prod", FAILURES),
        ("validate_settings", "", FAILURES),
    ]
    assert found[0]["traceback"] == "Traceback\n  12345"
    assert found[0]["next_try"] > found[0]["since"]
    assert len(client.get("/api/quarantine", params={"environment": "prod"}).json()["items"]) == 1
    assert client.get("/api/quarantine", params={"environment": "none"}).status_code == 404

    again = Quarantine(quarantine.QuarantineRows(server_context.database))
    with pytest.raises(HookQuarantinedError):
        again.enter(here, 10)

    limited = Actor(kind="user", name="ann", access=AccessLevel.OPERATOR, environments=frozenset({"prod"}), token="t")
    with acting_as(limited):
        with pytest.raises(ForbiddenError, match="validate_settings of plugin motd works for the whole server"):
            quarantine.rearm(server_context, "motd")
        assert len(quarantine.rearm(server_context, "motd", hook="events told", environment="prod")) == 1
    server_context.quarantine.abandoned(server_context.quarantine.enter(here, 10))
    assert client.post("/api/quarantine/motd/rearm", params={"hook": "events told"}).status_code == 404
    assert len(client.post("/api/quarantine/motd/rearm").json()["items"]) == 1
    assert client.get("/api/quarantine").json()["items"] == []
    assert actions(server_context) == ["hook.quarantine"] * 2 + ["hook.rearm"] * 2

    fail(server_context, here)
    assert client.delete("/api/environments/prod").status_code == 204
    assert client.get("/api/quarantine").json()["items"] == []
    fail(server_context, everywhere)
    assert client.delete("/api/plugin-versions/motd/1.0.0").status_code == 204
    assert client.get("/api/quarantine").json()["items"] == []
    fail(server_context, Guarded("gone", "1.0.0", "events", "told", ""))  # what was uninstalled meanwhile is kept nowhere
    assert client.get("/api/quarantine").json()["items"] == []

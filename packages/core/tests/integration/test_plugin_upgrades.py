# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""An environment's plugin gets another version and goes back: what changes is shown, settings and secrets come along."""

from __future__ import annotations

from collections.abc import Callable

import pydantic
import pytest
from litestar.testing import TestClient
from sqlalchemy import select
from stoker.cli.main import run
from stoker.db import tables
from stoker.services.context import ServerContext
from stoker_sdk import ref
from stoker_sdk.extension_points import settings, tasks

MakeBundle = Callable[..., bytes]
UPGRADES, ROLLBACKS = "/api/environments/e/plugin-upgrades", "/api/environments/e/plugin-rollbacks"


class One(pydantic.BaseModel):
    """Settings of the first version."""

    text: str = settings.field("hello", title="Text")
    size: int = settings.field(3, title="Size")
    old: str = settings.field("", title="Old")
    password: str = settings.field(title="Password", generator="password")


class Two(pydantic.BaseModel):
    """Of the second: one field less, one more, one of another kind."""

    text: str = settings.field("hello", title="Text")
    size: bool = settings.field(False, title="Size")
    new: str = settings.field("fresh", title="New")
    password: str = settings.field(title="Password", generator="password")


def greet(run: str = 'echo "$TEXT"') -> tasks.Shell:
    return tasks.Shell(id="greet", roles=["*"], run=run, environment={"TEXT": ref.settings.text})


@pytest.fixture
def upgraded(client: TestClient, make_bundle: MakeBundle) -> TestClient:
    """A client of a server with two versions, the first of which environment ``e`` has."""
    first = make_bundle(greet(), tasks.Shell(id="gone", roles=["*"], run="true"), settings.Settings.from_model(One))
    second = make_bundle(
        greet("true"), tasks.Shell(id="come", roles=["*"], run="true"), settings.Settings.from_model(Two), version="2.0.0"
    )
    for bundle in (first, second):
        assert client.post("/api/plugins", content=bundle).status_code == 201
    client.post("/api/environments", json={"name": "e"})
    made = client.put(
        "/api/environments/e/plugins/motd", json={"version": "1.0.0", "settings": {"text": "hi", "size": 5, "old": "x"}}
    )
    assert made.status_code == 200, made.text
    return client


@pytest.mark.databases("sqlite", "postgresql")
def test_an_upgrade_is_shown_then_done_and_taken_back(upgraded: TestClient, server_context: ServerContext) -> None:
    client = upgraded
    before = client.get("/api/environments/e/plugins/motd").json()
    would = client.post(UPGRADES, json={"plugin": "motd", "dry_run": True})
    assert would.status_code == 200, would.text
    view = would.json()
    assert (view["before"], view["after"], view["dry_run"]) == ("1.0.0", "2.0.0", True)
    shown = {(item["kind"], item["label"]): item.get("fields") for item in view["contributions"]}
    assert shown["change", "tasks.shell greet"] == ["run"]
    assert ("add", "tasks.shell come") in shown
    assert ("remove", "tasks.shell gone") in shown
    changed = {item["setting"]: (item["kind"], item["before"], item["after"]) for item in view["settings"]}
    assert changed == {"old": ("drop", "x", None), "size": ("drop", 5, None), "new": ("add", None, "fresh")}
    refused = client.post(UPGRADES, json={"plugin": "motd"})
    assert refused.status_code == 422
    assert {finding["field"] for finding in refused.json()["findings"]} == {"old", "size"}
    assert "old" in refused.json()["detail"]
    assert client.get("/api/environments/e/plugins/motd").json() == before
    assert client.post(ROLLBACKS, json={"plugin": "motd"}).status_code == 409  # there is nothing to go back to
    done = client.post(UPGRADES, json={"plugin": "motd", "drop_settings": True})
    assert done.json() == {**view, "dry_run": False}
    after = client.get("/api/environments/e/plugins/motd").json()
    assert (after["version"], after["settings"]["text"], after["effective_settings"]["size"]) == ("2.0.0", "hi", False)
    assert after["settings"]["password"] == before["settings"]["password"]
    assert server_context.registry.read().environments[client.get("/api/environments/e").json()["id"]].plugins == {
        "motd": "2.0.0"
    }
    client.put("/api/environments/e/plugins/motd", json={"settings": {**after["settings"], "text": "bye"}})
    back = client.post(ROLLBACKS, json={"plugin": "motd", "dry_run": True}).json()
    assert {item["setting"]: item["after"] for item in back["settings"]} == {"text": "hi", "old": "x", "size": 5, "new": None}
    assert client.post(ROLLBACKS, json={"plugin": "motd"}).json()["after"] == "1.0.0"
    assert client.get("/api/environments/e/plugins/motd").json() == before
    assert client.post(ROLLBACKS, json={"plugin": "motd"}).status_code == 409
    actions = [item["action"] for item in client.get("/api/audit").json()["items"]]
    assert actions[0] == "plugin.rollback"
    assert actions.count("plugin.upgrade") == 1


def test_what_is_no_step_or_is_gone_is_refused(upgraded: TestClient, server_context: ServerContext) -> None:
    client = upgraded
    dropping = {"plugin": "motd", "drop_settings": True}
    assert client.post(UPGRADES, json={**dropping, "version": "1.0.0"}).status_code == 409
    assert client.post(UPGRADES, json={**dropping, "version": "3"}).status_code == 404
    assert client.post(UPGRADES, json={"plugin": "other"}).status_code == 404
    assert client.post(UPGRADES, json=dropping).status_code == 200
    assert "already" in client.post(UPGRADES, json=dropping).json()["detail"]
    client.put("/api/plugin-defaults/motd", json={"version": "1.0.0"})
    assert "newer than the server's default" in client.post(UPGRADES, json=dropping).json()["detail"]
    client.post("/api/plugin-denials", json={"name": "motd", "versions": "<2", "reason": "it bites"})
    assert "it bites" in client.post(ROLLBACKS, json={"plugin": "motd"}).json()["detail"]
    client.delete("/api/plugin-denials/motd", params={"versions": "<2"})
    assert client.delete("/api/plugin-versions/motd/1.0.0").status_code == 204
    assert client.post(ROLLBACKS, json={"plugin": "motd"}).status_code == 409
    client.delete("/api/environments/e/plugins/motd")
    with server_context.database.read() as connection:
        assert connection.execute(select(tables.plugin_versions_before)).all() == []


def test_enabling_another_version_can_be_rolled_back_too(upgraded: TestClient) -> None:
    client = upgraded
    for version in ("2.0.0", "1.0.0", "2.0.0"):
        made = client.put("/api/environments/e/plugins/motd", json={"version": version, "settings": {"text": version}})
        assert made.status_code == 200, made.text
    seen = [client.post(ROLLBACKS, json={"plugin": "motd"}).json()["after"] for _ in range(3)]
    assert seen == ["1.0.0", "2.0.0", "1.0.0"]
    assert client.get("/api/environments/e/plugins/motd").json()["settings"]["text"] == "hi"


def test_the_command_line_shows_asks_and_does(
    running_server, make_bundle: MakeBundle, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--server", running_server.config.url, "--data", str(running_server.data_dir), "env"]
    with running_server.client() as client:
        for version, run_text in (("1.0.0", "true"), ("2.0.0", "false")):
            bundle = make_bundle(greet(run_text), settings.Settings.from_model(One), version=version)
            assert client.post("/api/plugins", content=bundle).status_code == 201
        assert run([*words, "create", "e", "--plugin", "motd=1.0.0"]) == 0
        assert run([*words, "plugin", "upgrade", "e", "motd", "--dry-run"]) == 0
        told = capsys.readouterr().out
        assert "~ tasks.shell greet: run" in told
        assert "motd 1.0.0 -> 2.0.0 in e: nothing was changed" in told
        assert run([*words, "plugin", "upgrade", "e", "motd"]) == 2  # there is nobody to ask
        assert run([*words, "plugin", "upgrade", "e", "motd", "--yes"]) == 0
        assert client.get("/api/environments/e/plugins/motd").json()["version"] == "2.0.0"
        assert run([*words, "plugin", "rollback", "e", "motd", "--yes", "--json"]) == 0
        assert client.get("/api/environments/e/plugins/motd").json()["version"] == "1.0.0"

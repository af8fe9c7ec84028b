# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Plugins in the running server: installed, enabled, changed, disabled, uninstalled; refused as a whole or not at all."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pydantic
import pytest
from litestar.testing import TestClient
from sqlalchemy import func, insert, select
from stoker.db import tables
from stoker.services.context import ServerContext
from stoker_sdk import ref
from stoker_sdk.extension_points import config_files, node_packages, settings, tasks

MakeBundle = Callable[..., bytes]
PLANTED = "planted-secret-7f3a9c"


class Motd(pydantic.BaseModel):
    """Settings of the plugin in these tests."""

    text: str = settings.field(title="Text")
    size: int = settings.field(3, title="Size", ge=1)
    token: str | None = settings.field(None, title="Token", secret=True)
    password: str = settings.field(title="Password", generator="password")


GREET = tasks.Shell(id="greet", roles=["*"], run='echo "$TEXT" > /etc/motd', environment={"TEXT": ref.settings.text})
SETTINGS = settings.Settings.from_model(Motd)


def files_of(context: ServerContext) -> list[Path]:
    root = context.config.data_dir / "plugins"
    return sorted(root.rglob("*")) if root.exists() else []


def rows_of(context: ServerContext) -> int:
    with context.database.read() as connection:
        return connection.execute(select(func.count()).select_from(tables.plugins)).scalar_one()


def changed(data: bytes, member: str, content: bytes | None) -> bytes:
    """The same bundle with one member changed, added or taken away; its sums stay as they were."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        for info in old.infolist():
            if info.filename != member:
                new.writestr(info, old.read(info))
        if content is not None:
            new.writestr(member, content)
    return out.getvalue()


@pytest.fixture
def motd(make_bundle: MakeBundle) -> bytes:
    return make_bundle(GREET, SETTINGS, files={"files/a.txt": b"some text\n"})


@pytest.fixture
def enabled(client: TestClient, motd: bytes) -> TestClient:
    """A client of a server on which environment ``e`` has motd enabled."""
    assert client.post("/api/plugins", content=motd).status_code == 201
    client.post("/api/environments", json={"name": "e"})
    answer = client.put("/api/environments/e/plugins/motd", json={"settings": {"text": "hello"}})
    assert answer.status_code == 200, answer.text
    return client


def test_a_plugin_is_installed_shown_and_leaves_nothing(client: TestClient, server_context: ServerContext, motd: bytes) -> None:
    made = client.post("/api/plugins", content=motd)
    assert made.status_code == 201, made.text
    assert (made.json()["name"], made.json()["version"]) == ("motd", "1.0.0")
    assert [item["point"] for item in made.json()["contributions"]] == ["tasks.shell", "settings"]
    assert client.get("/api/plugins").json()["items"] == [made.json()]
    assert client.get("/api/plugin-versions/motd/1.0.0").json() == made.json()
    assert server_context.store.blob("motd", "1.0.0", "files/a.txt") == b"some text\n"
    again = client.post("/api/plugins", content=motd)
    assert (again.status_code, again.json()) == (200, made.json())
    assert client.delete("/api/plugin-versions/motd/1.0.0").status_code == 204
    assert (rows_of(server_context), files_of(server_context)) == (0, [])
    assert client.delete("/api/plugin-versions/motd/1.0.0").status_code == 404


def test_another_content_under_the_same_version_is_refused(client: TestClient, motd: bytes, make_bundle: MakeBundle) -> None:
    client.post("/api/plugins", content=motd)
    refused = client.post("/api/plugins", content=make_bundle(SETTINGS))
    assert refused.status_code == 409
    assert client.get("/api/plugin-versions/motd/1.0.0").json()["contributions"][1]["point"] == "settings"


BROKEN: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "no zip": lambda _: b"#!/bin/sh\nreboot\n",
    "truncated": lambda data: data[: len(data) // 2],
    "changed": lambda data: changed(data, "files/files/a.txt", b"other text\n"),
    "missing": lambda data: changed(data, "files/files/a.txt", None),
    "extra": lambda data: changed(data, "files/extra", b"x"),
    "escape": lambda data: changed(data, "../../escaped", b"x"),
    "absolute": lambda data: changed(data, "/etc/escaped", b"x"),
    "no manifest": lambda data: changed(data, "manifest.json", None),
    "bad manifest": lambda data: changed(data, "manifest.json", b'{"name": "../x"}'),
    "bomb": lambda data: changed(data, "files/zeros", b"\0" * 3_000_000) if data else data,
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_or_hostile_bundle_installs_nothing(
    client: TestClient, server_context: ServerContext, motd: bytes, fault: str, tmp_path: Path
) -> None:
    refused = client.post("/api/plugins", content=BROKEN[fault](motd))
    assert refused.status_code == 422, refused.text
    assert refused.json()["type"] == "urn:stoker:problem:invalid-bundle"
    assert refused.json()["findings"][0]["rule"].startswith("B")
    assert refused.json()["remedy"]
    assert (rows_of(server_context), files_of(server_context)) == (0, [])
    assert not list(tmp_path.rglob("escaped"))


def packed(manifest: bytes, files: dict[str, bytes] | None = None) -> bytes:
    """A bundle as ``stoker-plugin build`` would never make it, with right sums."""
    members = {"manifest.json": manifest, **{f"files/{path}": data for path, data in (files or {}).items()}}
    sums = "".join(f"{hashlib.sha256(data).hexdigest()}  {path}\n" for path, data in members.items())
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in {**members, "SHA256SUMS": sums.encode()}.items():
            archive.writestr(path, data)
    return out.getvalue()


def described(version: str = "1.0.0", **schema: object) -> bytes:
    contributions = [{"point": "settings", "schema": {"type": "object", **schema}}] if schema else []
    return json.dumps({"format": 1, "name": "odd", "version": version, "title": "t", "contributions": contributions}).encode()


ODD: dict[str, bytes] = {
    "version abc": packed(described("abc")),
    "version like a leftover": packed(described("1.0.tmp")),
    "file and folder": packed(described(), {"a": b"x", "a/b": b"y"}),
    "long name": packed(described(), {"n" * 300: b"x"}),
    "half a character": packed(described().replace(b'"t"', b'"t\\ud800"')),
    "key twice": packed(described().replace(b'"title"', b'"name": "odd2", "title"')),
    "no number": packed(described(properties={"a": {"default": float("nan")}})),
    "large number": packed(described(properties={"a": {"default": 10**30}})),
    "circle": packed(described(**{"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}})),
    "many": packed(described(), {str(number): bytes(1024 * 1024) for number in range(40)}),
}


@pytest.mark.parametrize("fault", ODD)
def test_an_odd_bundle_is_refused_or_taken_and_nothing_stays_of_a_refused_one(
    client: TestClient, server_context: ServerContext, fault: str
) -> None:
    answer = client.post("/api/plugins", content=ODD[fault])
    assert client.get("/api/plugins").status_code == 200
    assert answer.status_code in (201, 422), answer.text
    if fault != "circle":
        assert answer.status_code == 422, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["remedy"]
        assert (rows_of(server_context), files_of(server_context)) == (0, [])


def test_a_schema_that_is_only_true_or_false_is_taken(client: TestClient) -> None:
    answer = client.post("/api/plugins", content=packed(described(properties={"a": True, "b": {"anyOf": [True, False]}})))
    assert answer.status_code == 201, answer.text
    client.post("/api/environments", json={"name": "e"})
    assert client.put("/api/environments/e/plugins/odd", json={"settings": {"a": 1}}).status_code == 200


def test_a_plugin_that_check_refuses_is_not_installed(
    client: TestClient, server_context: ServerContext, make_bundle: MakeBundle
) -> None:
    bad = node_packages.NodePackages(roles=["*"], packages=["bad; rm -rf"])
    refused = client.post("/api/plugins", content=make_bundle(bad, tasks.Shell(id="a b", roles=["web"], run="true")))
    assert refused.status_code == 422
    # A role of another plugin is only a warning, and no reason to refuse.
    assert [(item["rule"], item["field"]) for item in refused.json()["findings"]] == [("F008", "packages[0]"), ("T005", "id")]
    assert (rows_of(server_context), files_of(server_context)) == (0, [])


def test_an_upload_that_is_too_large_is_refused(client: TestClient, server_context: ServerContext) -> None:
    refused = client.post("/api/plugins", content=b"x" * (server_context.config.max_upload_bytes + 1))
    assert refused.status_code == 413
    assert refused.headers["content-type"] == "application/problem+json"


def test_a_plugin_for_another_stoker_is_refused(client: TestClient, make_bundle: MakeBundle) -> None:
    refused = client.post("/api/plugins", content=make_bundle(GREET, requires_stoker=">=99"))
    assert refused.status_code == 422
    assert ">=99" in refused.json()["detail"]


def test_settings_are_completed_and_problems_listed(client: TestClient, motd: bytes) -> None:
    client.post("/api/plugins", content=motd)
    client.post("/api/environments", json={"name": "e"})
    view = client.put("/api/environments/e/plugins/motd", json={}).json()
    assert [problem["field"] for problem in view["problems"]] == ["text"]
    assert view["effective_settings"]["size"] == 3
    view = client.put("/api/environments/e/plugins/motd", json={"settings": {**view["settings"], "text": "hi"}}).json()
    assert view["problems"] == []
    assert view["settings"]["password"] == {"$secret": "password", "version": 1}
    assert client.get("/api/environments/e/plugins").json()["items"] == [view]


def test_settings_that_do_not_fit_change_nothing(enabled: TestClient) -> None:
    before = enabled.get("/api/environments/e").json(), enabled.get("/api/environments/e/plugins/motd").json()
    refused = enabled.put("/api/environments/e/plugins/motd", json={"settings": {"text": 1, "size": 0, "tpyo": 1, "token": 5}})
    assert refused.status_code == 422
    assert sorted(finding["field"] for finding in refused.json()["findings"]) == ["size", "text", "token", "tpyo"]
    assert before == (enabled.get("/api/environments/e").json(), enabled.get("/api/environments/e/plugins/motd").json())


@pytest.mark.databases("sqlite")
def test_a_planted_secret_is_nowhere_in_the_clear(
    enabled: TestClient, server_context: ServerContext, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    answers = [enabled.put("/api/environments/e/plugins/motd", json={"settings": {"text": "hello", "token": PLANTED}})]
    assert answers[0].json()["settings"]["token"] == {"$secret": "token", "version": 1}
    kept = answers[0].json()["settings"]
    answers.append(
        enabled.put("/api/environments/e/plugins/motd", json={"settings": {**kept, "text": "bye", "token": {"$secret": True}}})
    )
    assert answers[1].json()["settings"]["token"] == {"$secret": "token", "version": 1}
    answers.append(enabled.put("/api/environments/e/plugins/motd", json={"settings": {**kept, "size": 0, "token": PLANTED}}))
    answers += [enabled.get(path) for path in ("/api/environments/e/plugins", "/api/environments/e", "/api/plugins")]
    assert not [answer.text for answer in answers if PLANTED in answer.text]
    stored = [path for path in server_context.config.data_dir.rglob("*") if path.is_file()]
    assert {"stoker.db", "stoker.db-wal"} <= {path.name for path in stored}
    assert not [path for path in stored if PLANTED.encode() in path.read_bytes()]
    assert PLANTED not in caplog.text
    with server_context.database.read() as connection:
        environment = enabled.get("/api/environments/e").json()["id"]
        assert server_context.vault.all_secrets(connection, environment)["motd", "token", 1] == PLANTED


def test_two_plugins_that_set_one_option_differently_are_refused_both_named(client: TestClient, make_bundle: MakeBundle) -> None:
    client.post("/api/environments", json={"name": "e"})
    for name, value in (("alpha", "1"), ("beta", "2")):
        bundle = make_bundle(
            config_files.ConfigFile(path="/etc/x.conf", format="ini"),
            config_files.Option(path="/etc/x.conf", section="main", key="k", value=value),
            name=name,
        )
        assert client.post("/api/plugins", content=bundle).status_code == 201
    assert client.put("/api/environments/e/plugins/alpha", json={}).status_code == 200
    before = client.get("/api/environments/e").json()
    refused = client.put("/api/environments/e/plugins/beta", json={})
    assert refused.status_code == 409, refused.text
    text = str(refused.json()["findings"])
    assert "alpha" in text
    assert "beta" in text
    assert "/etc/x.conf" in text
    assert all(finding["remedy"] for finding in refused.json()["findings"])
    assert client.get("/api/environments/e").json() == before


def test_versions_stand_side_by_side_and_settings_survive_the_change(enabled: TestClient, make_bundle: MakeBundle) -> None:
    assert enabled.post("/api/plugins", content=make_bundle(GREET, SETTINGS, version="1.1.0")).status_code == 201
    assert [item["version"] for item in enabled.get("/api/plugins").json()["items"]] == ["1.0.0", "1.1.0"]
    before = enabled.get("/api/environments/e/plugins/motd").json()
    after = enabled.put("/api/environments/e/plugins/motd", json={"version": "1.1.0"}).json()
    assert after["version"] == "1.1.0"
    assert after["settings"] == before["settings"]
    assert enabled.get("/api/plugin-versions/motd/1.0.0").json()["environments"] == []
    assert enabled.delete("/api/plugin-versions/motd/1.0.0").status_code == 204
    refused = enabled.delete("/api/plugin-versions/motd/1.1.0")
    assert refused.status_code == 409
    assert refused.json()["environments"] == ["e"]


def test_disabling_what_was_never_deployed_leaves_nothing(enabled: TestClient, server_context: ServerContext) -> None:
    assert enabled.delete("/api/environments/e/plugins/motd").json() == {"state": "gone"}
    with server_context.database.read() as connection:
        for table in (tables.environment_plugins, tables.secrets):
            assert connection.execute(select(table)).all() == []
    assert enabled.delete("/api/plugin-versions/motd/1.0.0").status_code == 204
    assert (rows_of(server_context), files_of(server_context)) == (0, [])


def test_disabling_what_was_deployed_waits_for_the_next_deployment(enabled: TestClient, server_context: ServerContext) -> None:
    node = enabled.post("/api/nodes", json={"name": "n1", "address": "n1"}).json()
    enabled.put("/api/environments/e/nodes/n1", json={"roles": []})
    with server_context.database.transaction() as connection:
        connection.execute(insert(tables.applied_tasks).values(node_id=node["id"], task="motd.greet", inputs="x"))
    assert enabled.delete("/api/environments/e/plugins/motd").json() == {"state": "removing"}
    assert enabled.delete("/api/plugin-versions/motd/1.0.0").status_code == 409
    assert enabled.delete("/api/environments/e/nodes/n1").json()["removing"] is True
    again = enabled.put("/api/environments/e/plugins/motd", json={})
    assert again.json()["state"] == "enabled"
    assert again.json()["settings"]["text"] == "hello"


def test_every_change_is_a_new_revision(enabled: TestClient) -> None:
    def revision() -> int:
        return int(enabled.get("/api/environments/e").json()["revision"])

    seen = [revision()]
    enabled.put("/api/environments/e/plugins/motd", json={"settings": {"text": "other"}})
    seen.append(revision())
    enabled.post("/api/nodes", json={"name": "n1", "address": "n1"})
    enabled.put("/api/environments/e/nodes/n1", json={"roles": []})
    seen.append(revision())
    enabled.delete("/api/environments/e/plugins/motd")
    seen.append(revision())
    assert seen == sorted(set(seen))


def test_what_an_interrupted_installation_left_is_swept_at_the_next_start(running_server, make_bundle: MakeBundle) -> None:
    with running_server.client() as client:
        assert client.post("/api/plugins", content=make_bundle(GREET, SETTINGS)).status_code == 201
    running_server.kill()
    left = running_server.data_dir / "plugins" / "ghost" / "1.0.0.tmp"
    left.mkdir(parents=True)
    (left / "manifest.json").write_text("{}")
    running_server.start()
    assert not left.parent.exists()
    with running_server.client() as client:
        assert [item["name"] for item in client.get("/api/plugins").json()["items"]] == ["motd"]

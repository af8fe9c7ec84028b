# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The doctor finds what is wrong with a plugin, says how to mend it, and finds nothing where nothing is wrong."""

from __future__ import annotations

import io
import json
import shutil
import time
from collections.abc import Callable
from contextlib import redirect_stdout

import code_plugins
import pytest
from litestar.testing import TestClient
from sqlalchemy import insert, select, update
from stoker.cli.main import run
from stoker.db import tables
from stoker.services.context import ServerContext
from stoker_sdk.extension_points import tasks

MakeBundle = Callable[..., bytes]
SOURCE = """
    def heard(event, context):
        pass


    def moved(documents):
        return documents
"""
CONTRIBUTIONS = [
    'events.EventHandler(name="heard", events=["node.created"], call=code(heard))',
    'records.Collection(name="things", json_schema={}, version=2, migrations=[records.Migration(version=2, call=code(moved))])',
]


def found(client: TestClient, name: str = "") -> list[tuple[str, str, str]]:
    items = client.get("/api/plugin-diagnosis", params={"name": name} if name else {}).json()["items"]
    assert all(item["remedy"] and item["message"] for item in items)
    return [(item["problem"], item["severity"], item["environment"]) for item in items]


def plain(make_bundle: MakeBundle, name: str = "motd", **fields: object) -> bytes:
    return make_bundle(tasks.Shell(id="greet", roles=["*"], run="true"), name=name, files={"files/a.txt": b"a\n"}, **fields)


@pytest.mark.databases("sqlite", "postgresql")
def test_what_fits_is_well_and_what_does_not_is_told(
    client: TestClient, server_context: ServerContext, make_bundle: MakeBundle
) -> None:
    client.post("/api/plugins", content=plain(make_bundle))
    client.post("/api/environments", json={"name": "e"})
    client.put("/api/environments/e/plugins/motd", json={})
    assert found(client) == []
    client.post("/api/plugins", content=plain(make_bundle, "needy", requires_plugins=["base>=2"]))
    assert found(client) == [("requires", "warning", "")]
    client.post("/api/plugin-denials", json={"name": "motd", "reason": "it bites"})
    assert found(client, "motd") == [("denied", "error", "")]
    assert client.get("/api/plugin-diagnosis", params={"name": "none"}).status_code == 404
    assert client.get("/api/plugin-logs/none").status_code == 404
    assert client.get("/api/plugin-logs/motd").json()["items"] == []
    client.delete("/api/plugin-denials/motd")
    with server_context.database.transaction() as connection:  # as after another version of Stoker came
        manifest = json.loads(
            connection.execute(select(tables.plugins.c.manifest).where(tables.plugins.c.name == "motd")).scalar()
        )
        manifest |= {"requires_stoker": ">=99", "requires_plugins": ["needy>=9"]}
        connection.execute(update(tables.plugins).where(tables.plugins.c.name == "motd").values(manifest=json.dumps(manifest)))
    assert found(client, "motd") == [("stoker", "error", ""), ("requires", "error", "e")]


def test_files_that_are_not_what_was_installed(
    client: TestClient, server_context: ServerContext, make_bundle: MakeBundle
) -> None:
    client.post("/api/plugins", content=plain(make_bundle))
    folder = server_context.store.folder("motd", "1.0.0")
    (folder / "files/files/a.txt").write_text("changed\n")
    (item,) = client.get("/api/plugin-diagnosis").json()["items"]
    assert (item["problem"], "files/a.txt" in item["message"]) == ("files", True)
    (folder / "bundle.stoker").write_bytes(b"none")
    assert found(client) == [("files", "error", "")]
    shutil.rmtree(folder)
    (folder.parent / "9.0").mkdir(parents=True)
    assert found(client) == [("files", "error", ""), ("left-over", "warning", "")]


@pytest.mark.databases("sqlite", "postgresql")
def test_what_keeps_code_from_its_work(client: TestClient, server_context: ServerContext, tmp_path, monkeypatch) -> None:
    bundle = code_plugins.build(
        tmp_path, source=SOURCE, contributions=CONTRIBUTIONS, fields='outbound_network="asks for the weather", '
    )
    client.post("/api/plugins", content=bundle.read_bytes(), params={"allow_network": "true"})
    client.post("/api/environments", json={"name": "e"})
    client.put("/api/environments/e/plugins/hello", json={})
    monkeypatch.setattr("stoker.services.plugin_diagnosis.sandbox_of", lambda _: "bubblewrap")
    assert found(client) == []
    identity = client.get("/api/environments/e").json()["id"]
    hook = {"plugin": "hello", "version": "1.0.0", "point": "events", "hook": "heard", "environment_id": identity}
    times = {"failures": 3, "openings": 1, "since": time.time(), "next_try": time.time() + 60}
    with server_context.database.transaction() as connection:
        connection.execute(update(tables.plugins).values(network_agreed=False))
        connection.execute(insert(tables.hook_quarantine).values(**hook, **times, reason="it raised", traceback=""))
        connection.execute(update(tables.record_collections).values(schema_version=1))
    shutil.rmtree(server_context.venvs.folder("hello", "1.0.0"))
    told = [("venv", "error", ""), ("network", "error", ""), ("quarantine", "error", "e"), ("records", "error", "e")]
    assert found(client) == told
    for sandbox, severity in (("none", "error"), ("unconfined", "warning")):
        monkeypatch.setattr("stoker.services.plugin_diagnosis.sandbox_of", lambda _, kind=sandbox: kind)
        assert ("sandbox", severity, "") in found(client)


def test_the_command_line_ends_with_1_if_something_is_wrong(running_server, make_bundle: MakeBundle) -> None:
    words = ["--server", running_server.config.url, "--data", str(running_server.data_dir), "plugins"]
    with running_server.client() as client:
        assert client.post("/api/plugins", content=plain(make_bundle)).status_code == 201
        assert run([*words, "doctor"]) == 0
        (running_server.data_dir / "plugins/motd/1.0.0/files/files/a.txt").unlink()
        with redirect_stdout(io.StringIO()) as out:
            assert run([*words, "doctor"]) == 1
        assert ".." not in out.getvalue()
        with redirect_stdout(io.StringIO()) as out:
            assert run([*words, "doctor", "motd", "--json"]) == 1
        assert [item["problem"] for item in json.loads(out.getvalue())["items"]] == ["files"]
        assert run([*words, "uninstall", "motd", "--dry-run"]) == 0
        assert run([*words, "default", "motd", "1.0.0"]) == 0
        assert run([*words, "deny", "motd", "<1", "--reason", "old"]) == 0
        assert run([*words, "denied"]) == 0
        assert run([*words, "allow", "motd", "<1"]) == 0
        assert run([*words, "uninstall", "motd"]) == 0

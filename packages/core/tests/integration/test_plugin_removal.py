# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""What a plugin with code leaves when it is uninstalled: nothing, whatever its code does and whatever is broken."""

from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path

import code_plugins
import httpx
import pytest
from sqlalchemy import create_engine, select
from stoker.db import plugin_traces, tables

SOURCE = """
    import os
    import time

    from stoker_sdk.context import current


    def app(environ, start_response):
        path = environ["PATH_INFO"]
        if path == "/write":
            current().records.put("things", "one", {"n": 1})
        while path == "/hang":
            pass
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [str(os.getpid()).encode()]


    class App(rest_api.RESTAPIPlugin):
        application = app


    def last_words(event, context):
        while True:
            pass
"""
CONTRIBUTIONS = [
    "rest_api.RestApi(call=code(App))",
    'records.Collection(name="things", scope="server", json_schema={})',
    'events.EventHandler(name="last", events=["plugin.uninstalled", "plugin.disabled"], call=code(last_words), deadline=1)',
]
SILENT = {"audit_log", "changes", "idempotency_keys", "server_state"}
"""What tells of the past."""


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    folder = tmp_path_factory.mktemp("bundles")
    made = [
        code_plugins.build(folder, "leaving", version, source=SOURCE, contributions=CONTRIBUTIONS) for version in ("1.0", "2.0")
    ]
    return [bundle.read_bytes() for bundle in made]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, running_server_class):
    folder = tmp_path_factory.mktemp("removal")
    started = running_server_class(folder / "data", plugin_drain_seconds=1, allow_unconfined_plugins=True)
    started.start()
    yield started
    started.kill()


@pytest.fixture
def client(server):
    with server.client() as opened:
        yield opened
        for item in opened.get("/api/plugins").json()["items"]:
            opened.delete(f"/api/plugin-versions/{item['name']}/{item['version']}", params={"delete_records": "true"})


def traces(server) -> list[str]:
    """Everything that bears the plugin's name: rows, files, processes."""
    found = [str(path) for path in server.data_dir.rglob("leaving*")]
    engine = create_engine(server.database_url)
    with engine.connect() as connection:
        for table in tables.metadata.sorted_tables:
            if table.name not in SILENT:
                found += [f"{table.name}: {row}" for row in connection.execute(select(table)) if "leaving" in str(row)]
    engine.dispose()
    for process in Path("/proc").iterdir():
        try:
            words = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if str(server.data_dir).encode() in words and b"--entry\0leaving" in words:
            found.append(words.decode())
    return found


def install(client: httpx.Client, bundle: bytes) -> None:
    made = client.post("/api/plugins", content=bundle)
    assert made.status_code == 201, made.text


def test_the_ledger_says_what_goes_and_all_of_it_goes(server, client, bundles) -> None:
    for bundle in bundles:
        install(client, bundle)
    answer = client.get("/api/plugins/leaving/write")
    assert answer.status_code == 200, answer.text
    versions = "/api/plugin-versions/leaving"
    shown = client.get(f"{versions}/2.0/ledger").json()
    kinds = {item["kind"] for item in shown["items"]}
    assert kinds >= {"rows", "files", "venv", "process", "socket"}, shown
    assert (shown["last"], shown["documents"]) == (False, {})
    assert client.delete(f"{versions}/2.0").status_code == 204  # the other version keeps the records
    assert not [line for line in traces(server) if "2.0" in line and "registry" not in line]
    shown = client.get(f"{versions}/1.0/ledger").json()
    assert (shown["last"], shown["documents"]) == (True, {"things": 1})
    refused = client.delete(f"{versions}/1.0")
    assert (refused.status_code, refused.json()["documents"]) == (409, {"things": 1})
    assert client.delete(f"{versions}/1.0", params={"delete_records": "true"}).status_code == 204
    assert traces(server) == []
    told = client.get("/api/audit").json()["items"][0]
    assert (told["action"], told["before"]["records"]) == ("plugin.uninstall", {"things": 1})
    gone = client.get("/api/plugins/leaving/")
    assert (gone.status_code, "uninstalled" in gone.text) == (404, True)


@pytest.mark.parametrize("broken", ["hanging", "no venv", "no files", "neither"])
def test_a_broken_plugin_goes_all_the_same(server, client, bundles, broken: str) -> None:
    install(client, bundles[0])
    hanging = threading.Thread(target=lambda: client.get("/api/plugins/leaving/hang"))
    if broken == "hanging":
        hanging.start()
        until = time.monotonic() + 20
        while not any("entry" in line for line in traces(server)) and time.monotonic() < until:
            time.sleep(0.05)
    if broken in ("no venv", "neither"):
        shutil.rmtree(server.data_dir / "venvs" / "leaving" / "1.0")
    if broken in ("no files", "neither"):
        shutil.rmtree(server.data_dir / "plugins" / "leaving" / "1.0")
    begun = time.monotonic()
    with server.client() as other:
        assert other.delete("/api/plugin-versions/leaving/1.0").status_code == 204
    assert time.monotonic() - begun < 15
    assert traces(server) == []
    if broken == "hanging":
        hanging.join(20)
        assert not hanging.is_alive()


def test_every_table_with_a_plugins_name_is_in_the_ledger() -> None:
    """A new table with a column for a plugin's name belongs to one of the three lists."""
    known = {*plugin_traces.WITH_VERSION, *plugin_traces.WITH_PLUGIN, *plugin_traces.STAYING}
    named = {table.name for table in tables.metadata.sorted_tables if "plugin" in table.columns}
    assert named - known == set()

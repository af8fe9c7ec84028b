# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Plugins' records read with the objects that they are about, over the objects alone: as lists have them, and joined."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection, Select, Text, and_, cast, insert, select, text
from stoker.db import records as rows
from stoker.db import tables
from stoker.db.database import Database
from stoker.db.records import Place
from stoker.db.serializer_hooks import publish, settle
from stoker.services.ext import ALL, Shown
from stoker.services.nodes import ALL_NODES, WITH_EXT
from stoker_lab.database_server import DatabaseServer
from stoker_sdk import Plugin
from stoker_sdk.extension_points.serializer_hooks import SerializerHook
from stoker_sdk.manifest import to_manifest

from benchmarks.bench_server import _facts
from benchmarks.result import Result

NAMES = ("records-read-sqlite", "records-read-postgresql", "records-join-sqlite", "records-join-postgresql")

_NODES = 10_000
_PLUGINS = [f"plugin-{number}" for number in range(10)]
_HOME = "e" * 32
_ROUNDS = 7


def _fill(database: Database) -> None:
    """10,000 nodes with facts, and a record of each of 10 plugins for each of them."""
    with database.transaction() as connection:
        connection.execute(insert(tables.environments).values(id=_HOME, name="fleet", created_at=0.0, revision=1))
        nodes = [
            {
                "id": f"{number:032x}",
                "name": f"compute-{number}",
                "address": f"10.0.{number >> 8}.{number & 255}",
                "environment_id": _HOME,
                "status": "online",
                "facts": msgspec.json.encode(_facts(number)).decode(),
                "facts_at": 0.0,
                "created_at": 0.0,
            }
            for number in range(_NODES)
        ]
        connection.execute(insert(tables.nodes), nodes)
        for plugin in _PLUGINS:
            place = _place(plugin)
            rows.begin_collection(connection, place, 1)
            written = [(node["id"], _record(plugin, str(node["name"])), 1) for node in nodes]
            rows.write(connection, place, 1, written, key_of="node")  # type: ignore[arg-type]
    with database.engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").execute(text("ANALYZE"))


def _place(plugin: str) -> Place:
    return Place(plugin=plugin, environment_id=_HOME, collection="assets")


def _record(plugin: str, node: str) -> str:
    return msgspec.json.encode({"label": f"{plugin} of {node}", "rack": 17, "checked": True}).decode()


def _show(connection: Connection) -> None:
    """What serializer hooks of these plugins, which show their records, leave beside each node."""
    for plugin in _PLUGINS:
        hook = SerializerHook(name="asset", target="node", call="code:show", json_schema={"type": "object"}, records=["assets"])
        manifest = to_manifest(Plugin(name=plugin, version="1.0.0", title=plugin, contributions=[hook]))
        values = {"name": plugin, "version": "1.0.0", "digest": plugin, "title": plugin, "path": plugin, "installed_at": 0.0}
        connection.execute(insert(tables.plugins).values(manifest=msgspec.json.encode(manifest).decode(), **values))
        used = {"environment_id": _HOME, "plugin": plugin, "version": "1.0.0", "settings": "{}"}
        connection.execute(insert(tables.environment_plugins).values(used))
        settle(connection, _HOME, plugin)
    given: dict[str, dict[tuple[str, str], Any]] = {}
    stored = select(tables.plugin_records.c.plugin, tables.plugin_records.c.key, cast(tables.plugin_records.c.value, Text))
    for plugin, key, value in connection.execute(stored).all():
        given.setdefault(key, {})[plugin, "asset"] = msgspec.Raw(value.encode())
    publish(connection, _HOME, "node", given)
    connection.execute(tables.refresh_queue.delete())


def _joined() -> Select[Any]:
    """All nodes with the records of each plugin, from where plugins' code reads and writes them."""
    nodes = tables.nodes
    together, joined = select(nodes), nodes.join(tables.environments, tables.environments.c.id == nodes.c.environment_id)
    for plugin in _PLUGINS:
        collection, record = tables.record_collections.alias(), tables.plugin_records.alias()
        joined = joined.outerjoin(collection, _place(plugin).where(collection)).outerjoin(
            record,
            and_(_place(plugin).where(record), record.c.generation == collection.c.generation, record.c.key == nodes.c.id),
        )
        together = together.add_columns(cast(record.c.value, Text).label(plugin))
    return together.select_from(joined).order_by(nodes.c.name)


def _spent(connection: Connection, query: Select[Any], server: int) -> float:
    """Seconds of the processor, here and in the database's process, if it has one."""
    before, there = time.process_time(), _server_seconds(server)
    found = connection.execute(query).all()
    assert len(found) == _NODES
    return time.process_time() - before + _server_seconds(server) - there


def _server_seconds(pid: int) -> float:
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9 if pid else 0.0


def _measure(kind: str, database: Database) -> Iterator[Result]:
    database.migrate()
    _fill(database)
    with database.transaction() as connection:
        _show(connection)
    with database.read() as connection:
        shown = Shown(connection, "node", ALL)
        assert shown.there
        name = tables.nodes.c.name
        queries = [ALL_NODES.order_by(name), WITH_EXT[shown.columns].order_by(name), _joined()]
        pid = int(connection.execute(text("SELECT pg_backend_pid()")).scalar_one()) if kind == "postgresql" else 0
        rounds = [[_spent(connection, query, pid) for query in queries] for _ in range(_ROUNDS)][1:]
    alone, beside, joined = (statistics.median(times) * 1000 for times in zip(*rounds, strict=True))
    ratios = [statistics.median(times[index] / times[0] for times in rounds) for index in (1, 2)]
    what = f"{_NODES:,} nodes alone {alone:.0f} ms, with {len(_PLUGINS)} records each"
    note = f"{what} as lists have them {beside:.0f} ms"
    yield Result(name=f"records-read-{kind}", value=round(ratios[0], 2), unit="x", bound=2.5, aim=2.0, note=note)
    note = f"{what} joined from the table of records {joined:.0f} ms; no list does that"
    yield Result(name=f"records-join-{kind}", value=round(ratios[1], 2), unit="x", bound=0, ok=True, note=note)


def run() -> Iterator[Result]:
    """On both databases."""
    with tempfile.TemporaryDirectory(prefix="stoker-bench-") as folder:
        database = Database(f"sqlite:///{folder}/stoker.db")
        yield from _measure("sqlite", database)
        database.close()
    with DatabaseServer() as server:
        database = Database(server.create())
        yield from _measure("postgresql", database)
        database.close()

# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Declared fields of plugins' records have indexes, which are used, come and go with the versions that declare them."""

from __future__ import annotations

import json

import code_plugins
import msgspec
import pytest
from sqlalchemy import insert, text
from stoker.db import record_indexes, tables
from stoker.db import records as rows
from stoker.db.database import Database
from stoker.db.records import Place
from stoker.db.row_files import insert_lines, lines_of
from stoker.services import plugin_removal, plugins
from stoker.services.records import Shelf

pytestmark = pytest.mark.databases("sqlite", "postgresql")


def collection(*indexes: str) -> str:
    return f'records.Collection(name="assets", json_schema={{}}, indexes={list(indexes)})'


def names(context) -> set[str]:
    with context.database.read() as connection:
        found = connection.execute(text(record_indexes._EXISTING[connection.dialect.name])).scalars()
        return {name for name in found if name.startswith("record_field_")}


def test_indexes_come_and_go_with_the_versions_that_declare_them(server_context, tmp_path):
    for version, indexes in (("1.0.0", ("rack", "place.room-nr")), ("2.0.0", ("rack",))):
        bundle = code_plugins.build(tmp_path, version=version, contributions=[collection(*indexes)])
        plugins.install(server_context, bundle.read_bytes())
    made = names(server_context)
    assert len(made) == 2
    with server_context.database.transaction() as connection:
        connection.execute(insert(tables.environments).values(id="e1", name="e1", created_at=0, revision=1))
    shelf = Shelf(server_context, "hello", "1.0.0", "e1")
    values = {f"k{i}": {"rack": f"r{i}", "place": {"room-nr": i % 3}} for i in range(400)} | {"long": {"rack": "x" * 20_000}}
    shelf.put("assets", {key: msgspec.Raw(json.dumps(value).encode()) for key, value in values.items()}, {})
    assert [one.key for one in shelf.find("assets", {"rack": "r7"}).records] == ["k7"]
    assert [one.key for one in shelf.find("assets", {"rack": "x" * 20_000}).records] == ["long"]
    assert shelf.count("assets", {"place.room-nr": 1}) == 133
    assert any(name in plan(server_context) for name in made)
    with server_context.database.transaction() as connection:  # as after a restore
        for name in made:
            connection.exec_driver_sql(f"DROP INDEX {name}")
        record_indexes.follow_all(connection)
    assert names(server_context) == made
    plugin_removal.uninstall(server_context, "hello", "1.0.0")
    assert len(names(server_context)) == 1
    plugin_removal.uninstall(server_context, "hello", "2.0.0", delete_records=True)
    assert names(server_context) == set()


@pytest.mark.parametrize("target", ["sqlite", "postgresql"])
def test_records_go_from_one_database_to_the_other_as_they_are(target, request, server_context, tmp_path):
    """As a backup and a restore do."""
    url = request.getfixturevalue("postgres_url") if target == "postgresql" else f"sqlite:///{tmp_path / 'other.db'}"
    place = Place(plugin="hello", environment_id="", collection="assets")
    values = [("a", '{"a": "1", "b": [1.5, null, true]}', 1), ("b", '"text"', 2), ("c", "null", 3)]
    with server_context.database.transaction() as connection:
        rows.begin_collection(connection, place, 1)
        rows.write(connection, place, 1, values, key_of="")
    other = Database(url)
    try:
        other.migrate()
        with server_context.database.read() as connection, other.transaction() as there:
            if target == "sqlite":
                there.exec_driver_sql("CREATE INDEX field ON plugin_records (json_extract(value, '$.a'))")
            for name in ("record_collections", "plugin_records"):
                insert_lines(there, name, lines_of(connection, name))
        with other.read() as connection:
            found = rows.find(connection, place, 1, {}, "", 9)
            assert [(one.key, json.loads(one.value), one.revision) for one in found] == [
                (key, json.loads(value), revision) for key, value, revision in values
            ]
            assert [one.key for one in rows.find(connection, place, 1, {"a": "1"}, "", 9)] == ["a"]
    finally:
        other.close()


def plan(context) -> str:
    """How the database looks for records by a field."""
    place = Place(plugin="hello", environment_id="e1", collection="assets")
    seen: list[str] = []
    with context.database.transaction() as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("ANALYZE plugin_records")
        explain = "EXPLAIN QUERY PLAN " if connection.dialect.name == "sqlite" else "EXPLAIN "
        query = rows.found(connection, place, 1, {"rack": "r7"}, "", 10)
        compiled = query.compile(connection, compile_kwargs={"literal_binds": True})
        seen = [str(row) for row in connection.exec_driver_sql(explain + str(compiled).replace("%", "%%"))]
    return "\n".join(seen)

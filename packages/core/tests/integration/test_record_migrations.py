# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Migrations of plugins' records: nothing that is written meanwhile is lost, failures change nothing, and there is a way back."""

from __future__ import annotations

import json
import threading
import time

import code_plugins
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, insert, select
from stoker.db import tables
from stoker.errors import ConflictError
from stoker.services import plugins, record_migrations, record_rollbacks
from stoker.services.record_copying import RecordMigrationError
from stoker.services.record_migrations import RecordsInUseError
from stoker.services.record_rollbacks import RecordsWrittenSinceError
from stoker.services.records import RecordsRefusedError, Shelf
from stoker_sdk.context.values import Environment

pytestmark = pytest.mark.databases("sqlite", "postgresql")
HOME = Environment(id="e1", name="e1")

SOURCE = """
    import os
    import time

    def place(documents, context):
        made = {}
        for key, value in documents.items():
            if value["rack"] == "bad":
                raise ValueError("a secret rack")
            if value["rack"] == "exit":
                os._exit(3)
            if value["rack"] == "slow":
                time.sleep(0.02)
            made[key] = None if value["rack"] == "drop" else {"place": {"rack": value["rack"]}}
        return made

    def count(documents):
        return {key: {"n": int(value["n"])} for key, value in documents.items()}
"""
RACK = '{"type": "object", "properties": {"rack": {"type": "string"}}, "required": ["rack"], "additionalProperties": False}'
PLACE = (
    '{"type": "object", "properties": {"place": {"properties": {"rack": {"type": "string", "maxLength": 20}}}},'
    '"required": ["place"], "additionalProperties": False}'
)
ASSETS_1 = f'records.Collection(name="assets", json_schema={RACK})'
ASSETS_2 = f"""records.Collection(name="assets", version=2, json_schema={PLACE},
    migrations=[records.Migration(version=2, call=code(place), batch=7)])"""
SHARED_1 = 'records.Collection(name="shared", scope="server", json_schema={"properties": {"n": {"type": "string"}}})'
SHARED_2 = """records.Collection(name="shared", scope="server", version=2, json_schema={"properties": {"n": {"type": "integer"}}},
    migrations=[records.Migration(version=2, call=code(count))])"""
VERSIONS = {
    "1.0.0": (ASSETS_1, SHARED_1),
    "2.0.0": (ASSETS_2, SHARED_1),
    "3.0.0": (ASSETS_2, SHARED_2),
    "3.1.0": (ASSETS_2, SHARED_2.replace("version=2,", "version=2, reads_versions=[1],", 1)),
}


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundles")
    return {
        version: code_plugins.build(folder, version=version, source=SOURCE, contributions=contributions).read_bytes()
        for version, contributions in VERSIONS.items()
    }


@pytest.fixture
def context(client, server_context, bundles):
    """A server with all versions, and two environments that use the first."""
    for bundle in bundles.values():
        plugins.install(server_context, bundle)
    with server_context.database.transaction() as connection:
        for identity in ("e1", "e2"):
            connection.execute(insert(tables.environments).values(id=identity, name=identity, created_at=0, revision=1))
            use(connection, identity, "1.0.0")
    return server_context


def use(connection, environment, version):
    table = tables.environment_plugins
    connection.execute(table.delete().where(table.c.environment_id == environment))
    values = {"plugin": "hello", "version": version, "settings": "{}", "state": "enabled"}
    connection.execute(insert(table).values(environment_id=environment, **values))


def shelf(context, version, environment="e1"):
    return Shelf(context, "hello", version, environment)


def raw(values):
    return {key: msgspec.Raw(json.dumps(value).encode()) for key, value in values.items()}


def racks(**values):
    return raw({key: {"rack": rack} for key, rack in values.items()})


def contents(shelf, collection="assets"):
    found, after = {}, ""
    while True:
        page = shelf.find(collection, {}, after, 500)
        found |= {one.key: json.loads(bytes(one.value)) for one in page.records}
        if not (after := page.next):
            return found


def generations(context):
    """How many records there are of each generation of the assets."""
    table = tables.plugin_records
    query = select(table.c.generation, func.count()).where(table.c.collection == "assets").group_by(table.c.generation)
    with context.database.read() as connection:
        return dict(connection.execute(query).all())


def upgrade(context, version="2.0.0", **more):
    return record_migrations.migrate(context, "e1", "hello", "1.0.0", version, **more)


def test_what_is_written_while_it_migrates_is_there_afterwards(context):
    """Somebody writes, changes and deletes all the time: each write is refused, or is there in the new version."""
    old, new = shelf(context, "1.0.0"), shelf(context, "2.0.0")
    expected = {f"k{i:03}": "slow" if i % 3 else "drop" for i in range(120)}
    old.put("assets", racks(**expected), {})
    ended = threading.Event()
    refusals = []

    def write():
        number = 0
        while not ended.is_set():
            number += 1
            key, rack = f"k{number * 37 % 160:03}", f"r{number}"
            try:
                if number % 5:
                    old.put("assets", racks(**{key: rack}), {})
                    expected[key] = rack
                else:
                    old.delete("assets", [key])
                    expected.pop(key, None)
            except RecordsRefusedError as error:
                refusals.append(error.data["reason"])
                return
            time.sleep(0.003)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        (view,) = upgrade(context)
    finally:
        ended.set()
        writer.join(10)
    assert view.state == "migrated"
    assert view.late > 0
    assert set(refusals) <= {"outdated"}
    assert contents(new) == {key: {"place": {"rack": rack}} for key, rack in expected.items() if rack != "drop"}
    with pytest.raises(RecordsRefusedError, match="schema version 2"):
        old.get("assets", ["k000"])
    with context.database.read() as connection:
        row = connection.execute(select(tables.audit_log).where(tables.audit_log.c.action == "records.migrate")).one()
    assert json.loads(row.after)["schema_version"] == 2
    assert row.environment == "e1"


KEYS = st.sampled_from(["a", "b", "c", "d"])
WRITES = st.lists(st.tuples(KEYS, st.sampled_from(["x", "y", "drop", None])), max_size=5)


def test_each_document_is_the_migration_of_its_latest_value(context):
    old, new = shelf(context, "1.0.0"), shelf(context, "2.0.0")

    @settings(max_examples=12, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(WRITES, min_size=2, max_size=4))
    def check(rounds):
        with context.database.transaction() as connection:
            for table in (tables.plugin_records, tables.record_collections):
                connection.execute(table.delete())
        latest = {"a": "x"}
        old.put("assets", racks(a="x"), {})
        (copy,) = record_migrations.plan_migration(context, HOME, "hello", "2.0.0").copies
        copy.begin()
        for writes in rounds:
            for key, rack in writes:
                if rack is None:
                    old.delete("assets", [key])
                    latest.pop(key, None)
                else:
                    old.put("assets", racks(**{key: rack}), {})
                    latest[key] = rack
            copy.advance()
        with context.database.transaction() as connection:
            copy.go_live(connection)
        assert contents(new) == {key: {"place": {"rack": rack}} for key, rack in latest.items() if rack != "drop"}

    check()


def test_a_failure_half_way_changes_nothing_and_names_the_document(context):
    old = shelf(context, "1.0.0")
    written = {f"k{i:02}": "a" for i in range(30)} | {"k20": "bad", "k25": "x" * 30}
    old.put("assets", racks(**written), {})
    (tried,) = upgrade(context, dry_run=True)
    assert [(one.key, one.step, one.reason) for one in tried.failures] == [
        ("k20", "2", "the function raised ValueError"),
        ("k25", "schema", tried.failures[1].reason),
    ]
    assert "place.rack" in tried.failures[1].reason
    assert (tried.documents, tried.from_version, tried.to_version) == (30, 1, 2)
    assert upgrade(context, dry_run=True, sample=10)[0].failures == []
    with pytest.raises(RecordMigrationError, match=r"'k20'.*step to version 2") as failed:
        upgrade(context)
    assert "secret" not in str(failed.value.__dict__)
    assert (failed.value.data["key"], failed.value.data["step"]) == ("k20", "2")
    assert generations(context) == {1: 30}
    assert len(contents(old)) == 30
    old.put("assets", racks(k20="exit", k25="a"), {})
    with pytest.raises(RecordMigrationError, match="step to version 2"):
        upgrade(context)
    old.put("assets", racks(k20="a"), {})
    upgrade(context)
    assert generations(context) == {1: 30, 2: 30}  # the one from before is kept


def test_a_change_that_fails_after_all_was_prepared_leaves_the_old_version_at_work(context):
    old = shelf(context, "1.0.0")
    old.put("assets", racks(a="a"), {})
    with (
        pytest.raises(ZeroDivisionError),
        record_migrations.preparing(context, HOME, "hello", "2.0.0") as prepared,
        context.database.transaction() as connection,
    ):
        prepared.go_live(connection)
        raise ZeroDivisionError
    assert generations(context) == {1: 1}
    old.put("assets", racks(b="b"), {})
    with record_migrations.preparing(context, HOME, "hello", "2.0.0"), pytest.raises(ConflictError, match="already"):
        upgrade(context)
    assert contents(old) == {"a": {"rack": "a"}, "b": {"rack": "b"}}


def test_what_a_killed_server_left_is_dropped_at_the_next_start(context):
    old = shelf(context, "1.0.0")
    old.put("assets", racks(a="a"), {})
    (copy,) = record_migrations.plan_migration(context, HOME, "hello", "2.0.0").copies
    copy.begin()
    copy.advance()
    assert generations(context) == {1: 1, 2: 1}
    record_migrations.recover(context)
    assert generations(context) == {1: 1}
    upgrade(context)
    assert contents(shelf(context, "2.0.0")) == {"a": {"place": {"rack": "a"}}}


def test_a_rollback_names_what_it_undoes_and_wants_it_confirmed(context):
    old, new = shelf(context, "1.0.0"), shelf(context, "2.0.0")
    old.put("assets", racks(a="a", b="b", c="drop"), {})
    upgrade(context)
    assert record_rollbacks.look(context, HOME, "hello", "1.0.0")[0].lost == 0
    new.put("assets", raw({"a": {"place": {"rack": "n"}}, "d": {"place": {}}}), {})
    new.delete("assets", ["b"])
    with pytest.raises(RecordsWrittenSinceError, match="b \\(deleted\\)") as refused:
        record_rollbacks.rollback(context, "e1", "hello", "1.0.0")
    (view,) = refused.value.data["collections"]
    assert (view["written"], view["deleted"], view["lost"]) == (["a", "d"], ["b"], 3)
    assert set(contents(new)) == {"a", "d"}
    record_rollbacks.rollback(context, "e1", "hello", "1.0.0", confirm=True)
    assert contents(old) == {key: {"rack": rack} for key, rack in {"a": "a", "b": "b", "c": "drop"}.items()}
    assert generations(context) == {1: 3}
    # Once more: nothing of the first time stands in the way.
    upgrade(context)
    record_rollbacks.rollback(context, "e1", "hello", "1.0.0")
    assert len(contents(old)) == 3
    # Nothing is kept of what a later version began.
    with context.database.transaction() as connection:
        connection.execute(tables.record_collections.delete())
        connection.execute(tables.plugin_records.delete())
    new.put("assets", raw({"a": {"place": {}}}), {})
    with pytest.raises(RecordsWrittenSinceError):
        record_rollbacks.rollback(context, "e1", "hello", "1.0.0")
    record_rollbacks.rollback(context, "e1", "hello", "1.0.0", confirm=True)
    assert contents(old) == {}


def test_records_of_the_whole_server_wait_for_the_last_environment(context):
    old = shelf(context, "2.0.0", "e2")
    old.put("shared", raw({"k": {"n": "7"}}), {})
    with pytest.raises(RecordsInUseError, match="environment e2 uses the old one") as refused:
        upgrade(context, "3.0.0")
    assert refused.value.data["environments"] == ["e2"]
    views = {view.collection: view for view in upgrade(context, "3.1.0")}
    assert views["shared"].state == "deferred"
    both = shelf(context, "3.1.0")
    assert contents(both, "shared") == {"k": {"n": "7"}}
    with context.database.transaction() as connection:
        use(connection, "e1", "3.1.0")
    (view,) = record_migrations.migrate(context, "e2", "hello", "1.0.0", "3.1.0")
    assert (view.collection, view.state) == ("shared", "migrated")
    assert contents(both, "shared") == {"k": {"n": 7}}
    with context.database.transaction() as connection:
        use(connection, "e2", "3.0.0")
    with pytest.raises(RecordsInUseError, match="e2"):
        record_rollbacks.rollback(context, "e1", "hello", "2.0.0")


def test_people_see_what_is_there_and_delete_a_copy_that_is_kept(context, client):
    made = client.post("/api/environments", json={"name": "lab"}).json()
    assert client.put("/api/environments/lab/plugins/hello", json={"version": "1.0.0"}).status_code == 200
    other = shelf(context, "1.0.0", made["id"])
    other.put("assets", racks(a="a", b="b", c="c"), {})
    listed = [item for item in client.get("/api/plugin-records/hello").json()["items"] if item["collection"] == "assets"]
    assert [(one["environment"], one["documents"], one["schema_version"]) for one in listed] == [("lab", 3, 1)]
    url = "/api/plugin-records/hello/assets"
    first = client.get(url, params={"environment": "lab", "limit": 2}).json()
    assert [(one["key"], one["value"]) for one in first["items"]] == [("a", {"rack": "a"}), ("b", {"rack": "b"})]
    rest = client.get(url, params={"environment": "lab", "limit": 2, "cursor": first["next"]}).json()
    assert ([one["key"] for one in rest["items"]], rest.get("next")) == (["c"], None)
    assert client.get(url).status_code == 404
    assert client.get("/api/plugin-records/other").status_code == 404
    assert client.delete(f"{url}/kept", params={"environment": "lab"}).status_code == 409
    other.delete("assets", ["b", "c"])
    upgraded = {"plugin": "hello", "version": "2.0.0"}
    assert client.post("/api/environments/lab/plugin-upgrades", json=upgraded).status_code == 200
    kept = next(item for item in client.get("/api/plugin-records/hello").json()["items"] if item["collection"] == "assets")
    assert (kept["kept_schema_version"], kept["kept_documents"], kept["migrating"]) == (1, 1, False)
    purged = client.delete(f"{url}/kept", params={"environment": "lab"})
    assert (purged.status_code, purged.json()["kept_schema_version"]) == (200, None)
    lost = client.post("/api/environments/lab/plugin-rollbacks", json={"plugin": "hello"})
    assert (lost.status_code, lost.json()["collections"][0]["kept"]) == (409, False)
    newer = client.put("/api/environments/lab/plugins/hello", json={"version": "1.0.0"})
    assert (newer.status_code, "not kept" in newer.json()["remedy"]) == (409, True)
    confirmed = client.post("/api/environments/lab/plugin-rollbacks", json={"plugin": "hello", "discard_records": True})
    assert confirmed.status_code == 200
    assert contents(other) == {}
    # One that is empty may get an older version and a newer one; going back to the newer one migrates what is there.
    assert client.post("/api/environments/lab/plugin-upgrades", json=upgraded).status_code == 200
    older = client.put("/api/environments/lab/plugins/hello", json={"version": "1.0.0"})
    assert older.status_code == 200, older.text
    other.put("assets", racks(a="a"), {})
    assert client.post("/api/environments/lab/plugin-rollbacks", json={"plugin": "hello"}).json()["after"] == "2.0.0"
    assert contents(shelf(context, "2.0.0", made["id"])) == {"a": {"place": {"rack": "a"}}}

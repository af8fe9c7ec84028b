# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Plugins' records: kept, held against their schema, found by fields, reached by nobody else."""

from __future__ import annotations

import asyncio
import json

import code_plugins
import msgspec
import pytest
from sqlalchemy import delete, insert, select
from stoker.db import tables
from stoker.plugin_host.dispatch import BACKGROUND_CALLER, Hook
from stoker.services import plugins
from stoker.services.records import RecordsRefusedError, Shelf
from stoker_sdk.context.values import Environment

pytestmark = pytest.mark.databases("sqlite", "postgresql")

ASSETS = """records.Collection(name="assets", key_of="node", max_bytes=200, max_documents=6, indexes=["rack"], schema={
    "type": "object", "properties": {"rack": {"type": "string", "maxLength": 9}}, "required": ["rack"]})"""
COUNTS = 'records.Collection(name="counts", scope="server", schema={})'
SOURCE = """
    def check(settings, context):
        from stoker_sdk.context import Problem
        from stoker_sdk.errors import RecordsError

        records = context.records
        said = [records.put("counts", "a", {"n": 1}).revision, records.count("counts")]
        said.append(records.put_many("counts", {"b": {"n": 2}, "c": {"n": 1}}))
        said.append([one.key for one in records.find("counts", {"n": 1}).records])
        said.append(records.get("counts", "b").value)
        said.append(records.delete("counts", ["a", "x"]))
        for collection, value in (("secrets", {}), ("assets", {"rack": 7})):
            try:
                records.put(collection, "k", value)
            except RecordsError as error:
                said.append(error.kind)
        return [Problem(field="", message=repr(said), remedy="")]
"""


@pytest.fixture
def shelf(server_context, tmp_path):
    bundle = code_plugins.build(
        tmp_path, contributions=[ASSETS.replace("schema=", "json_schema="), COUNTS.replace("schema=", "json_schema=")]
    )
    plugins.install(server_context, bundle.read_bytes())
    with server_context.database.transaction() as connection:
        for identity in ("e1", "e2"):
            connection.execute(insert(tables.environments).values(id=identity, name=identity, created_at=0, revision=1))
        connection.execute(
            insert(tables.nodes).values(id="n1", name="one", address="x", environment_id="e1", created_at=0, facts="{}")
        )
    return Shelf(server_context, "hello", "1.0.0", "e1")


def raw(**values):
    return {key: msgspec.Raw(json.dumps(value).encode()) for key, value in values.items()}


def refused(call, *args, **more):
    with pytest.raises(RecordsRefusedError) as caught:
        call(*args, **more)
    assert caught.value.remedy
    return caught.value.data["reason"]


def test_documents_are_written_by_who_saw_them_and_found_by_fields(shelf, server_context):
    (first,) = shelf.put("assets", raw(n1={"rack": "a"}), {})
    assert refused(shelf.put, "assets", raw(n1={"rack": "b"}), {"n1": 0}) == "outdated"
    (second,) = shelf.put("assets", raw(n1={"rack": "b"}), {"n1": first.revision})
    assert second.revision > first.revision
    assert shelf.put("assets", raw(n1={"rack": "b"}), {})[0].revision == second.revision  # nothing was changed
    # all or none
    assert refused(shelf.put, "assets", raw(n2={"rack": "a"}, n1={"rack": "c"}), {"n1": first.revision}) == "outdated"
    assert shelf.count("assets", {}) == 1
    values = {f"k{i}": value for i, value in enumerate(["1", 1, 1.0, True, None, "x"])}
    Shelf(server_context, "hello", "1.0.0", None).put("counts", raw(**{k: {"a": {"b": v}} for k, v in values.items()}, k6={}), {})
    found = lambda value: [one.key for one in shelf.find("counts", {"a.b": value}).records]  # noqa: E731
    assert [found(v) for v in ("1", 1, True, False, None, "x")] == [["k0"], ["k1", "k2"], ["k3"], [], ["k4"], ["k5"]]
    page = shelf.find("counts", {}, limit=4)
    assert [one.key for one in page.records] == ["k0", "k1", "k2", "k3"]
    assert [one.key for one in shelf.find("counts", {}, page.next, 4).records] == ["k4", "k5", "k6"]
    assert shelf.delete("counts", ["k0", "none"]) == 1


def test_what_does_not_fit_is_refused_and_nothing_of_it_is_written(shelf, server_context):
    for values, reason in (
        (raw(n1={"rack": 1}), "shape"),
        (raw(n1={"rack": "0123456789"}), "shape"),
        ({"n1": msgspec.Raw(b"{")}, "shape"),
        ({"n1": msgspec.Raw(b'{"rack": NaN}')}, "shape"),
        (raw(n1={"rack": "a\0"}), "shape"),
        ({"": msgspec.Raw(b"{}")}, "shape"),
        ({"a\nb": msgspec.Raw(b"{}")}, "shape"),
        (raw(n1={"rack": "a", "more": "x" * 300}), "limit"),
        (raw(**{f"n{i}": {"rack": "a"} for i in range(7)}), "limit"),
    ):
        assert refused(shelf.put, "assets", {**values, **raw(n9={"rack": "a"})}, {}) == reason
    assert shelf.count("assets", {}) == 0
    assert refused(shelf.get, "nothing", ["a"]) == "unknown"
    assert refused(Shelf(server_context, "hello", "1.0.0", None).get, "assets", ["a"]) == "refused"
    for path in ("a'b", 'a"b', "a]", "", "a..b", "a;drop"):
        assert refused(shelf.find, "assets", {path: 1}) == "shape"
    assert refused(shelf.find, "assets", {"a": [1]}) == "shape"
    assert refused(shelf.find, "assets", {}, limit=0) == "limit"


def test_records_are_of_one_environment_and_go_with_their_object(shelf, server_context):
    other = Shelf(server_context, "hello", "1.0.0", "e2")
    shelf.put("assets", raw(n1={"rack": "a"}, n2={"rack": "b"}), {})
    other.put("assets", raw(n3={"rack": "c"}), {})
    assert [one.key for one in other.find("assets", {}).records] == ["n3"]
    with server_context.database.transaction() as connection:
        connection.execute(delete(tables.nodes).where(tables.nodes.c.id == "n1"))
    assert [one.key for one in shelf.find("assets", {"rack": "b"}).records] == ["n2"]
    assert shelf.get("assets", ["n1"]) == []
    with server_context.database.transaction() as connection:
        connection.execute(delete(tables.environments).where(tables.environments.c.id == "e2"))
        left = connection.execute(select(tables.record_collections.c.environment_id)).scalars().all()
    assert list(left) == ["e1"]


def test_a_plugins_code_reaches_its_records_and_no_others(server_context, tmp_path):
    bundle = code_plugins.build(
        tmp_path,
        source=SOURCE,
        contributions=[
            ASSETS.replace("schema=", "json_schema="),
            COUNTS.replace("schema=", "json_schema="),
            "validate_settings.ValidateSettings(call=code(check))",
        ],
    )
    plugins.install(server_context, bundle.read_bytes())
    hook = Hook(
        plugin="hello", version="1.0.0", point="validate_settings", name="", function="stoker_plugin_hello:check", deadline=30
    )

    async def call():
        try:
            return await server_context.dispatcher.call(
                hook, {"settings": b"{}"}, environment=Environment(id="e1", name="e1"), caller=BACKGROUND_CALLER, settings={}
            )
        finally:
            await server_context.workers.close()

    said = json.loads(asyncio.run(call()))[0]["message"]
    assert said == repr([1, 1, 2, ["a", "c"], {"n": 2}, 1, "unknown", "shape"])

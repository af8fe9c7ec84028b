# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The refresh of what serializer hooks add: what queues what, exact, batched, over restarts and failures; a function stands in
for the workers.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable

import msgspec
import pytest
from sqlalchemy import delete, insert, select, update
from stoker.db import tables
from stoker.db.changes import state_of
from stoker.db.serializer_hooks import settle
from stoker.domain.access import AccessLevel
from stoker.domain.actor import Actor, acting_as
from stoker.errors import HookFailedError, StokerError
from stoker.services import deployments, environments, ext, hook_answers, hook_views, node_lists, nodes, refresh_work
from stoker.services import refresh as refreshing
from stoker.services.refresh import Refresher
from stoker.services.windows import Window
from stoker_sdk import Plugin
from stoker_sdk.extension_points.permissions import Permission
from stoker_sdk.extension_points.serializer_hooks import SerializerHook
from stoker_sdk.extension_points.settings import Settings
from stoker_sdk.manifest import to_manifest

pytestmark = pytest.mark.databases("sqlite", "postgresql")
E, F = "e" * 32, "f" * 32


def hook(name: str = "labels", **fields: object) -> SerializerHook:
    given = {"target": "node", "call": "code:labels", "json_schema": {"type": "object"}, **fields}
    return SerializerHook(name=name, **given)


class House:
    """A database with two environments and three nodes, a stand-in for plugins' code, and a refresher."""

    def __init__(self, context) -> None:
        self.context = context
        self.database = context.database
        self.calls: list[tuple[str, list[dict[str, object]], dict[str, object]]] = []
        self.answer: Callable[[str, dict[str, object]], object] = lambda name, item: {"of": item["columns"].get("name", name)}
        self.on_call: Callable[[str], object] = lambda _name: None
        with self.database.transaction() as connection:
            for identity, name in ((E, "prod"), (F, "test")):
                connection.execute(insert(tables.environments).values(id=identity, name=name, created_at=0.0, revision=1))
            for number in range(3):
                connection.execute(
                    insert(tables.nodes).values(
                        id=f"n{number}",
                        name=f"node-{number}",
                        address="a",
                        facts='{"os_id":"x"}',
                        created_at=0.0,
                        environment_id=E if number < 2 else None,
                    )
                )
        self.restart()

    def restart(self) -> None:
        self.refresher = Refresher(self.database, self.call)

    async def call(self, called, arguments, *, environment, caller, settings, accept):
        objects = msgspec.json.decode(arguments["objects"])
        self.calls.append((f"{called.plugin}.{called.name}", objects, settings))
        if (slow := self.on_call(called.name)) is not None:
            await slow
        given = {item["id"]: self.answer(called.name, item) for item in objects}
        answer = json.dumps({key: value for key, value in given.items() if value is not None}).encode()
        if wrong := accept(answer):
            raise HookFailedError(called.plugin, called.label, "shape", wrong)
        return answer

    def install(self, *contributions, name: str = "inventory", version: str = "1.0.0") -> None:
        manifest = msgspec.json.encode(to_manifest(Plugin(name=name, version=version, title="t", contributions=contributions)))
        with self.database.transaction() as connection:
            connection.execute(
                insert(tables.plugins).values(
                    name=name, version=version, digest=version, title="t", manifest=manifest.decode(), path="", installed_at=0.0
                )
            )

    def enable(self, environment: str = E, name: str = "inventory", version: str = "1.0.0", **settings: object) -> None:
        used = tables.environment_plugins
        with self.database.transaction() as connection:
            connection.execute(delete(used).where(used.c.environment_id == environment, used.c.plugin == name))
            connection.execute(
                insert(used).values(environment_id=environment, plugin=name, version=version, settings=json.dumps(settings))
            )
            settle(connection, environment, name)

    def change(self, statement) -> None:
        with self.database.transaction() as connection:
            connection.execute(statement)

    def set_node(self, identity: str, **values: object) -> None:
        self.change(update(tables.nodes).where(tables.nodes.c.id == identity).values(**values))

    def fresh(self) -> list[tuple[str, list[str]]]:
        """Make anew what waits; which hooks were called, for which objects."""
        self.calls.clear()

        async def work() -> None:
            while True:
                with self.database.read() as connection:
                    waiting = refresh_work.is_waiting(connection, self.refresher._running.keys())
                if not waiting:
                    return
                await self.refresher.once()

        asyncio.run(work())
        return sorted((name, sorted(item["id"] for item in objects)) for name, objects, _ in self.calls)

    def shown(self, node: str = "n0", **wanted: object) -> tuple[object, object]:
        view = nodes.show(self.context, node, ext.Wanted(**wanted))
        listed = next(
            item for item in node_lists.list_nodes(self.context, Window(), added=ext.Wanted(**wanted)).items if item.id == view.id
        )
        assert msgspec.json.encode(listed) == msgspec.json.encode(view)
        document = msgspec.json.decode(msgspec.json.encode(view))
        return document.get("ext"), document.get("ext_state")

    def queued(self) -> int:
        with self.database.read() as connection:
            return len(connection.execute(select(tables.refresh_queue)).all())


@pytest.fixture
def house(server_context) -> House:
    return House(server_context)


def test_without_hooks_nothing_is_queued_and_nothing_shown(house: House) -> None:
    house.set_node("n0", status="online", facts="{}")
    house.change(insert(tables.node_roles).values(node_id="n0", role="web"))
    assert house.queued() == 0
    assert house.shown() == (None, None)


def test_data_are_pending_then_fresh_then_stale_then_fresh(house: House) -> None:
    house.install(
        hook(reads=["name", "roles", "facts", "environment"], settings=True),
        Settings(json_schema={"type": "object", "properties": {"x": {"type": "integer"}}}),
    )
    house.enable(x=1)
    assert house.shown() == (None, {"inventory.labels": "pending"})
    assert house.shown("n2") == (None, None)
    assert house.fresh() == [("inventory.labels", ["n0", "n1"])]
    _name, objects, settings = house.calls[0]
    assert objects[0]["columns"] == {"name": "node-0", "roles": [], "facts": {"os_id": "x"}, "environment": "prod"}
    assert settings == {"x": 1}
    assert house.shown() == ({"inventory": {"labels": {"of": "node-0"}}}, None)
    house.set_node("n0", address="elsewhere", status="online")  # nothing that it reads
    assert house.fresh() == []
    house.set_node("n0", name="renamed")
    assert house.shown("n0") == ({"inventory": {"labels": {"of": "node-0"}}}, {"inventory.labels": "stale"})
    assert house.shown("n1")[1] is None
    assert house.fresh() == [("inventory.labels", ["n0"])]
    assert house.shown("n0") == ({"inventory": {"labels": {"of": "renamed"}}}, None)
    house.change(insert(tables.node_roles).values(node_id="n1", role="web"))
    assert house.fresh() == [("inventory.labels", ["n1"])]
    house.change(delete(tables.node_roles))
    assert house.fresh() == [("inventory.labels", ["n1"])]
    house.enable(x=2)
    assert house.shown("n1")[1] == {"inventory.labels": "stale"}
    assert house.fresh() == [("inventory.labels", ["n0", "n1"])]
    assert house.calls[0][2] == {"x": 2}
    house.enable(x=2)
    assert house.fresh() == []


def test_nodes_come_and_go(house: House) -> None:
    house.install(hook(reads=["name"]))
    house.enable(E)
    house.fresh()
    house.set_node("n2", environment_id=E)
    assert house.shown("n2") == (None, {"inventory.labels": "pending"})
    assert house.fresh() == [("inventory.labels", ["n2"])]
    house.set_node("n2", environment_id=F)  # does not use the plugin
    assert house.shown("n2") == (None, None)
    house.set_node("n1", environment_id=None)
    house.change(delete(tables.nodes).where(tables.nodes.c.id == "n0"))
    house.fresh()
    with house.database.read() as connection:
        assert connection.execute(select(tables.object_ext)).all() == []


def test_all_kinds_of_objects(house: House) -> None:
    house.install(
        hook("home", target="environment", reads=["name", "revision"]),
        hook("run", target="deployment", reads=["state", "plan"]),
    )
    house.enable()
    plan = {
        "id": "p",
        "environment_id": E,
        "digest": "d",
        "revision": 1,
        "summary": "{}",
        "snapshot": b"",
        "body": b"",
        "created_at": 0.0,
    }
    house.change(insert(tables.plans).values(**plan))
    house.change(insert(tables.deployments).values(id="d", environment_id=E, plan_id="p", state="running", created_at=0.0))
    assert house.fresh() == [("inventory.home", [E]), ("inventory.run", ["d"])]
    assert house.calls[1][1] == [{"id": "d", "columns": {"state": "running", "plan": "p"}}]
    house.answer = lambda name, item: {"again": item["columns"]}
    house.change(update(tables.environments).values(revision=7))
    house.change(update(tables.deployments).values(state="ready"))
    assert house.fresh() == [("inventory.home", [E]), ("inventory.run", ["d"])]
    everything = ext.Wanted()
    assert msgspec.json.decode(environments.show(house.context, "prod", everything).ext) == {
        "inventory": {"home": {"again": {"name": "prod", "revision": 7}}}
    }
    listed = environments.list_all(house.context, Window(), everything).items
    assert [item.ext is msgspec.UNSET for item in listed] == [False, True]
    (item,) = deployments.list_all(house.context, "prod", Window(), wanted=everything).items
    assert msgspec.json.decode(item.ext) == {"inventory": {"run": {"again": {"state": "ready", "plan": "p"}}}}


def test_records_that_a_hook_reads(house: House) -> None:
    house.install(hook(records=["my_labels", "other"]))
    house.install(hook(reads=["name"]), name="second")
    house.enable()
    house.enable(name="second")
    house.enable(F)
    house.set_node("n2", environment_id=F)
    house.fresh()
    place = {"plugin": "inventory", "environment_id": E, "collection": "my_labels"}
    record = {**place, "key": "n1", "key_of": "node", "value": "{}", "revision": 1, "source": 0, "changed_at": 0.0}
    collections, records = tables.record_collections, tables.plugin_records
    counted = {"schema_version": 1, "counter": 1, "documents": 1}
    house.change(insert(collections).values(**place, generation=1, **counted))
    house.change(insert(records).values(**record, generation=1))
    assert house.shown("n1")[1] == {"inventory.labels": "stale"}
    assert house.shown("n0")[1] is None
    assert house.fresh() == [("inventory.labels", ["n1"])]
    house.change(insert(records).values(**record, generation=2))  # a migration's, not live
    house.change(update(records).where(records.c.generation == 2).values(revision=2))
    assert house.fresh() == []
    house.change(update(collections).values(generation=2))
    assert house.fresh() == [("inventory.labels", ["n0", "n1"])]
    house.change(delete(records).where(records.c.generation == 2))
    assert house.fresh() == [("inventory.labels", ["n1"])]
    of_all = {**place, "environment_id": ""}
    house.change(insert(collections).values(**of_all, generation=1, **counted))
    house.change(insert(records).values(**{**record, **of_all, "key": "n2"}, generation=1))
    assert house.fresh() == [("inventory.labels", ["n2"])]
    house.change(insert(records).values(**{**record, "collection": "labels"}, generation=1))
    assert house.fresh() == []


def test_disabling_takes_away_what_was_added_in_the_same_moment(house: House) -> None:
    house.install(hook(reads=["name"]))
    house.install(hook(reads=["name"]), name="other")
    house.enable()
    house.enable(name="other")
    house.fresh()
    used = tables.environment_plugins
    with house.database.transaction() as connection:
        connection.execute(update(used).where(used.c.plugin == "inventory").values(state="removing"))
        settle(connection, E, "inventory")
    assert house.shown() == ({"other": {"labels": {"of": "node-0"}}}, None)
    house.change(delete(used))  # whoever does it, the database queues it
    assert house.fresh() == []
    assert house.shown() == (None, None)
    with house.database.read() as connection:
        for table in (tables.object_ext, tables.serializer_hooks, tables.refresh_queue):
            assert connection.execute(select(table)).all() == []


def test_an_upgrade_makes_data_anew_and_takes_away_hooks_that_are_gone(house: House) -> None:
    house.install(hook("labels", reads=["name"]), hook("old", reads=["name"]))
    house.install(hook("labels", reads=["name"]), hook("new", reads=["name"]), version="2.0.0")
    house.enable()
    house.fresh()
    house.enable(version="2.0.0")
    assert house.shown() == (
        {"inventory": {"labels": {"of": "node-0"}}},
        {"inventory.labels": "stale", "inventory.new": "pending"},
    )
    assert [name for name, _ in house.fresh()] == ["inventory.labels", "inventory.new"]
    assert house.shown()[0] == {"inventory": {"labels": {"of": "node-0"}, "new": {"of": "node-0"}}}


def test_a_change_during_the_call_queues_again(house: House) -> None:
    house.install(hook(reads=["name"]))
    house.enable()
    house.fresh()
    house.set_node("n0", name="one")
    names = iter(["two", "three"])

    def meanwhile(_name: str) -> None:
        if (name := next(names, None)) is not None:
            house.set_node("n0", name=name)

    house.on_call = meanwhile
    assert len(house.fresh()) == 3
    assert house.shown() == ({"inventory": {"labels": {"of": "three"}}}, None)


def test_what_is_not_done_is_done_after_a_restart(house: House) -> None:
    house.install(hook(reads=["name"]))
    house.enable()

    async def killed() -> None:
        house.on_call = lambda _name: asyncio.sleep(60)
        running = asyncio.create_task(house.refresher.once())
        while not house.calls:
            await asyncio.sleep(0.01)
        running.cancel()
        for task in house.refresher._running.values():
            task.cancel()

    asyncio.run(killed())
    house.restart()
    house.on_call = lambda _name: None
    assert house.shown() == (None, {"inventory.labels": "pending"})
    assert house.fresh() == [("inventory.labels", ["n0", "n1"])]
    assert house.shown() == ({"inventory": {"labels": {"of": "node-0"}}}, None)


def test_a_slow_hook_holds_up_no_other(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refreshing, "PATIENCE_SECONDS", 0.1)
    house.install(hook("slow", reads=["name"]), name="slow")
    house.install(hook("fast", reads=["name"]), name="fast")
    house.enable(name="slow")
    house.enable(name="fast")

    async def work() -> None:
        released = asyncio.Event()
        house.on_call = lambda name: released.wait() if name == "slow" else None
        await house.refresher.once()
        assert house.shown() == ({"fast": {"fast": {"of": "node-0"}}}, {"slow.slow": "pending"})
        house.set_node("n0", name="changed")
        await house.refresher.once()
        assert house.shown()[0] == {"fast": {"fast": {"of": "changed"}}}
        released.set()
        while house.refresher._running:
            await house.refresher.once()
            await asyncio.sleep(0.01)
        while house.queued():
            await house.refresher.once()

    asyncio.run(work())
    assert house.shown() == ({"fast": {"fast": {"of": "changed"}}, "slow": {"slow": {"of": "changed"}}}, None)


def test_a_hook_that_fails_leaves_what_was_there_and_is_called_again_later(house: House) -> None:
    house.install(hook(reads=["name"]), hook("sound", reads=["name"]))
    house.enable()
    house.fresh()

    def fail(name: str) -> None:
        if name == "labels":
            raise StokerError("it divides by zero")

    house.on_call = fail
    house.set_node("n0", name="new")
    assert len(house.fresh()) == 2
    assert house.shown("n0") == (
        {"inventory": {"labels": {"of": "node-0"}, "sound": {"of": "new"}}},
        {"inventory.labels": "stale"},
    )
    house.set_node("n0", name="newer")
    assert house.fresh() == [("inventory.sound", ["n0"])]  # the other one waits
    with house.database.read() as connection:
        row = connection.execute(select(tables.serializer_hooks).where(tables.serializer_hooks.c.name == "labels")).one()
    assert (row.failures, row.reason) == (1, "it divides by zero")
    assert 3 < row.not_before - time.time() <= 5
    house.on_call = lambda _name: None
    house.change(update(tables.serializer_hooks).values(not_before=0.0))
    assert house.fresh() == [("inventory.labels", ["n0", "n1"])]
    assert house.shown("n0") == ({"inventory": {"labels": {"of": "newer"}, "sound": {"of": "newer"}}}, None)
    assert house.queued() == 0


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"of": 5}, "object n0: of: it must be of type string"),
        ({"of": "x" * hook_answers.MAX_FRAGMENT}, "object n0: 16393 bytes are more than 16384"),
    ],
)
def test_data_that_do_not_fit_are_never_shown(house: House, given: object, reason: str) -> None:
    house.install(hook(reads=["name"], json_schema={"type": "object", "properties": {"of": {"type": "string"}}}))
    house.enable()
    house.answer = lambda _name, item: given if item["id"] == "n0" else {"of": "fits"}
    house.fresh()
    assert house.shown("n0") == (None, {"inventory.labels": "pending"})
    assert house.shown("n1")[0] == {"inventory": {"labels": {"of": "fits"}}}
    with house.database.read() as connection:
        assert connection.execute(select(tables.serializer_hooks.c.reason)).scalar().endswith(f"labels: {reason}")
    (view,) = hook_views.list_hooks(house.context, "prod")
    assert (view.state, view.failures, view.next_try is None) == ("pending", 1, False)


def test_data_that_live_for_a_time_are_made_anew(house: House) -> None:
    house.install(hook(time_to_live=10))
    house.enable()
    house.fresh()
    with house.database.read() as connection:
        due = connection.execute(select(tables.serializer_hooks.c.due_at)).scalar_one()
    assert 8 < due - time.time() <= 10
    assert house.fresh() == []
    house.change(update(tables.serializer_hooks).values(due_at=time.time() - 1))
    assert house.fresh() == [("inventory.labels", ["n0", "n1"])]


def test_who_lacks_a_permission_gets_the_text_without_it(house: House) -> None:
    house.install(
        Permission(name="see", title="See", access="operator"),
        Permission(name="own", title="Own", access="admin"),
        hook("open", reads=["name"]),
        hook("some", permission="see"),
        hook("few", permission="own"),
    )
    house.enable()
    house.fresh()

    def names(access: str, environments: frozenset[str] | None = None, **wanted: object) -> list[str]:
        with acting_as(Actor(kind="user", name="u", access=AccessLevel(access), environments=environments)):
            return sorted(house.shown("n0", **wanted)[0]["inventory"])

    assert names("viewer") == ["open"]
    assert names("operator") == ["open", "some"]
    assert names("admin") == ["few", "open", "some"]
    assert names("admin", frozenset({"prod"})) == ["few", "open", "some"]
    assert names("admin", frozenset({"test"})) == ["open"]
    assert names("viewer", plugins=frozenset({"inventory", "x"})) == ["open"]
    assert house.shown("n0", plugins=frozenset({"other"})) == (None, None)
    assert house.shown("n0", plugins=frozenset()) == (None, None)


def test_a_list_has_another_name_for_each_state_and_each_reader(house: House) -> None:
    def state(access: str = "admin", **wanted: object) -> str:
        with acting_as(Actor(kind="user", name="u", access=AccessLevel(access))), house.database.read() as connection:
            return ext.state_with_ext(connection, node_lists.SHOWN, ext.Wanted(**wanted))

    house.install(hook(reads=["name"]))
    house.enable()
    pending = state()
    house.fresh()
    fresh = state()
    assert len({pending, fresh, state("viewer"), state(plugins=frozenset({"a"}))}) == 4
    with house.database.transaction() as connection:
        before = state_of(connection, ("node",))
        ext_table = tables.object_ext
        connection.execute(update(ext_table).where(ext_table.c.object_id == "n0").values(everybody="{}"))
        row = connection.execute(select(tables.changes).order_by(tables.changes.c.id.desc()).limit(1)).one()
        assert state_of(connection, ("node",)) != before
    assert (row.kind, row.action, row.object, row.environment_id, json.loads(row.data)) == (
        "node",
        "changed",
        "node-0",
        E,
        {"what": "ext"},
    )
